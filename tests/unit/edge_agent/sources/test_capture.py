"""Capture: the thread that opens, reads and begins anew."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.capture import Activity, Capture, Health, Pace
from edge_agent.sources.fake import ScriptedSource
from edge_agent.sources.port import Fault, Frame, Source, SourceError
from edge_agent.sources.slot import End, FrameSlot
from footfall_client.backoff import FullJitter
from mesh.clock import Clock, FakeClock, SystemClock
from tests.support.waiting import until

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
BLACK = np.zeros((4, 4, 3), np.uint8)


def at(number: int) -> datetime:
    return START + timedelta(seconds=number / 10)


def film(frames: int) -> list[tuple[datetime, np.ndarray]]:
    return [(at(number), BLACK) for number in range(frames)]


def capture_of(make: Callable[[], Source], *, rate: float = 10.0, clock: Clock | None = None) -> Capture:
    return Capture(
        make,
        pace=Pace(rate, recorded_speed=0),
        clock=clock or SystemClock(),
        backoff=FullJitter(base=0.001, cap=0.002),
        camera="hall",
    )


async def film_of(capture: Capture) -> list[int]:
    """The numbers of the frames until the film ends."""
    seen = []
    async for frame in capture.frames():
        if frame is End.OF_FILM:
            break
        seen.append(frame.index)
    return seen


async def test_every_frame_of_a_recording_is_analysed() -> None:
    capture = capture_of(lambda: ScriptedSource(film(20)))
    assert await film_of(capture) == list(range(20))
    assert capture.health.activity is Activity.ENDED
    await capture.stop()


async def test_a_camera_is_analysed_no_faster_than_wanted() -> None:
    capture = capture_of(lambda: ScriptedSource(film(20)), rate=5)
    assert await film_of(capture) == list(range(0, 20, 2))
    await capture.stop()


async def test_a_broken_source_is_closed_and_opened_anew() -> None:
    broken = ScriptedSource([*film(1), SourceError(Fault.UNREACHABLE, "gone")])
    whole = ScriptedSource(film(3))
    refused = ScriptedSource([SourceError(Fault.UNAUTHORIZED, "no")])
    sources = iter([broken, refused, whole])
    capture = capture_of(lambda: next(sources))

    assert await film_of(capture) == [0, 0, 1, 2]
    await capture.stop()
    assert (broken.closed, refused.closed, whole.closed) == (1, 1, 1)


async def test_a_source_that_may_not_be_opened_is_failing_with_its_reason() -> None:
    def refuse() -> Source:
        raise SourceError(Fault.NOT_ALLOWED, "this agent opens no files")

    capture = capture_of(refuse)
    frames = asyncio.ensure_future(anext(capture.frames(), None))
    await until(lambda: capture.health.activity is Activity.FAILING)
    assert capture.health.fault is Fault.NOT_ALLOWED
    assert capture.health.frame_age is None
    await capture.stop()
    assert await frames is None


class SilentSource(ScriptedSource):
    """Delivers one frame, and then hangs in the driver until it is let go."""

    def __init__(self) -> None:
        super().__init__(film(1), recorded=False)
        self.let_go = threading.Event()

    def read(self, *, after: datetime | None = None) -> Frame | None:
        frame = super().read()
        if frame is None:
            self.let_go.wait()
        return frame


async def test_a_camera_that_falls_silent_is_frozen_although_it_is_open() -> None:
    clock, source = FakeClock(), SilentSource()
    capture = capture_of(lambda: source, clock=clock)
    assert (await anext(capture.frames())) is not None

    clock.advance(9.5)
    assert capture.health == Health(Activity.WATCHING, 9.5)
    clock.advance(1)
    frozen = Health(Activity.FAILING, 10.5, Fault.FROZEN, "the camera sends no new picture")
    assert capture.health == frozen

    source.let_go.set()
    await capture.stop()


def index(frame: Frame | End | None) -> int:
    assert isinstance(frame, Frame)
    return frame.index


async def test_the_newest_frame_of_a_camera_replaces_the_one_in_waiting() -> None:
    slot = FrameSlot(asyncio.get_running_loop())
    for number in range(3):
        assert await asyncio.to_thread(slot.put, Frame(BLACK, at(number), number, recorded=False))
    assert index(await slot.get()) == 2
    assert slot.replaced == 2


async def test_a_recordings_thread_waits_until_its_frame_is_taken() -> None:
    slot = FrameSlot(asyncio.get_running_loop())
    await asyncio.to_thread(slot.put, Frame(BLACK, at(0), 0, recorded=True))
    second = asyncio.create_task(asyncio.to_thread(slot.put, Frame(BLACK, at(1), 1, recorded=True)))

    assert index(await slot.get()) == 0
    assert await second
    assert index(await slot.get()) == 1
    assert slot.replaced == 0


async def test_a_closed_slot_frees_the_thread_and_ends_the_reader() -> None:
    slot = FrameSlot(asyncio.get_running_loop())
    await asyncio.to_thread(slot.put, Frame(BLACK, at(0), 0, recorded=True))
    stuck = asyncio.create_task(asyncio.to_thread(slot.put, Frame(BLACK, at(1), 1, recorded=True)))
    slot.close()
    assert not await stuck
    assert await slot.get() is not None
    assert await slot.get() is None


@given(rate=st.floats(0.5, 30), camera=st.floats(1, 60))
def test_the_mean_rate_never_exceeds_what_is_wanted_nor_falls_far_below_what_can_be_had(
    rate: float, camera: float
) -> None:
    pace = Pace(rate)
    due: datetime | None = None
    taken = 0
    seconds = 60
    for number in range(round(camera * seconds)):
        captured = START + timedelta(seconds=number / camera)
        if due is None or captured >= due - pace.slack:
            taken += 1
            due = pace.due(due, captured)
    assert taken <= seconds * rate * 1.05 + 1
    assert taken >= min(rate, camera) * seconds * 0.5 - 1
