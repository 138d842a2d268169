"""What the registry asks a worker to do once."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import betterproto2
import cv2
import numpy as np
from footfall_messages.footfall.registry import v1 as registry

from edge_agent.camera import WorkerClock
from edge_agent.inference import Inference
from edge_agent.messages import plan_of, problem
from edge_agent.plan import Plan, Trouble
from edge_agent.sources.factory import source_maker
from edge_agent.sources.port import Fault, Frame, Image, Source, SourceError
from vision.demo import NotADemoFilm
from vision.pipeline import Face

PICTURE_BYTES: Final = 128 * 1024
PICTURE_SIDE: Final = 1280
"""The contract's limits of a picture."""

MOST_FRAMES: Final = 30
"""Read at most, to tell the frame rate and to get past a stream's grey first pictures."""
LONGEST_TEST: Final = timedelta(seconds=30)

_Outcome = registry.CommandResultOutcome


class AgentCommands:
    """Runs commands. Previews belong to a later version, and are answered UNSUPPORTED."""

    def __init__(
        self, inference: Inference, clock: WorkerClock, reload_gallery: Callable[[], None], files: Path | None
    ) -> None:
        """`files`: the root of the recordings that this agent may read."""
        self._inference, self._clock, self._reload_gallery, self._files = inference, clock, reload_gallery, files

    async def run(self, command: registry.Command) -> registry.CommandResult:
        """See `Commands.run`."""
        now = self._clock.server_now()
        if command.deadline is not None and now > command.deadline:
            return _failed(command, _Outcome.EXPIRED, Trouble("COMMAND_EXPIRED", "its deadline had passed"))
        match betterproto2.which_one_of(command, "action"):
            case ("reload_gallery", _):
                self._reload_gallery()
                return registry.CommandResult(command_id=command.id, outcome=_Outcome.SUCCEEDED)
            case ("test_source", registry.TestSource() as test):
                return await self._test_source(command, test, now)
            case (name, _):
                return _failed(
                    command,
                    _Outcome.UNSUPPORTED,
                    Trouble("COMMAND_UNSUPPORTED", f"this agent cannot do it: {name or 'unknown'}"),
                )

    async def _test_source(
        self, command: registry.Command, test: registry.TestSource, now: datetime
    ) -> registry.CommandResult:
        plan = plan_of(test.source or registry.LeaseSource(), registry.LeaseSettings())
        left = min(LONGEST_TEST, command.deadline - now) if command.deadline else LONGEST_TEST
        try:
            picture = await asyncio.wait_for(self._look(plan, blur=test.blur_faces), left.total_seconds())
        except SourceError as error:
            return _failed(command, _Outcome.FAILED, Trouble(error.fault.value, error.message))
        except TimeoutError:
            trouble = Trouble("SOURCE_UNREACHABLE", "no picture came before the deadline")
            return _failed(command, _Outcome.FAILED, trouble)
        except NotADemoFilm as error:
            return _failed(command, _Outcome.FAILED, Trouble("MODEL_MISSING", str(error)))
        return registry.CommandResult(command_id=command.id, outcome=_Outcome.SUCCEEDED, picture=picture)

    async def _look(self, plan: Plan, *, blur: bool) -> registry.SourcePicture:
        started = self._clock.clock.monotonic()
        make = source_maker(
            plan.uri, plan.credentials, start=plan.recording_start, files=self._files, clock=self._clock.clock
        )
        frame, opened, rate = await asyncio.to_thread(_first_good_frame, make, self._clock.clock.monotonic)
        faces = await self._inference.run(lambda: self._inference.analyser.analyse(frame.image))
        image = _blurred(frame.image, faces) if blur else frame.image
        return registry.SourcePicture(
            jpeg=small_jpeg(image, PICTURE_SIDE, PICTURE_BYTES),
            frame_width=frame.image.shape[1],
            frame_height=frame.image.shape[0],
            frame_rate=rate,
            open_duration=timedelta(seconds=max(0.0, opened - started)),
            face_count=min(len(faces), 1000),
        )


def small_jpeg(image: Image, side: int, size: int) -> bytes:
    """A JPEG at most `side` pixels long and `size` bytes large: quality goes first, then pixels."""
    while True:
        scale = min(1.0, side / max(image.shape[:2]))
        width, height = (max(1, round(edge * scale)) for edge in (image.shape[1], image.shape[0]))
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else image
        for quality in (85, 70, 50):
            encoded, body = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if encoded and body.size <= size:
                return body.tobytes()
        side = side * 3 // 4


def _first_good_frame(make: Callable[[], Source], monotonic: Callable[[], float]) -> tuple[Frame, float, float]:
    """A frame that shows something, when the source had opened, and frames per second as they arrived."""
    source = make()
    try:
        source.open()
        opened = monotonic()
        best: Frame | None = None
        count = 0
        while count < MOST_FRAMES and (frame := source.read()) is not None:
            count += 1
            if best is None or float(np.std(frame.image)) > float(np.std(best.image)):
                best = frame
        if best is None:
            raise SourceError(Fault.UNREACHABLE, "the source shows no picture")
        seconds = monotonic() - opened
        return best, opened, min(1000.0, count / seconds) if seconds > 0 and count > 1 else 0.0
    finally:
        source.close()


def _blurred(image: Image, faces: list[Face]) -> Image:
    """The picture with every face beyond recognition."""
    blurred = image.copy()
    height, width = image.shape[:2]
    for face in faces:
        box = face.box.clipped(width, height)
        rows = slice(int(box.top), max(int(box.top) + 1, round(box.bottom)))
        columns = slice(int(box.left), max(int(box.left) + 1, round(box.right)))
        area = blurred[rows, columns]
        mosaic = cv2.resize(area, (6, 6), interpolation=cv2.INTER_AREA)
        blurred[rows, columns] = cv2.resize(mosaic, (area.shape[1], area.shape[0]), interpolation=cv2.INTER_NEAREST)
    return blurred


def _failed(command: registry.Command, outcome: registry.CommandResultOutcome, why: Trouble) -> registry.CommandResult:
    return registry.CommandResult(command_id=command.id, outcome=outcome, problem=problem(why))
