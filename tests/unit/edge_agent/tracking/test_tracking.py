"""Tracking: one best shot per passage, whatever the boxes do."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.tracking.domain import Passage, Rules, Shot, Track, finish, step
from vision.detect import Box

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
RULES = Rules()
WIDTH = 60.0

Face = tuple[str, float, float]
"""Who, and the centre of their face in pixels."""


def shot(who: str, x: float, y: float, at: float, quality: float = 0.8) -> Shot[str]:
    return Shot(START + timedelta(seconds=at), Box(x - WIDTH / 2, y - WIDTH / 2, WIDTH, WIDTH), quality, who)


def by_name(one: Shot[str], other: Shot[str]) -> bool:
    """A recogniser that is never wrong."""
    return one.payload == other.payload


def unasked(one: Shot[str], other: Shot[str]) -> bool:
    raise AssertionError("nobody had to look at the faces")


def watch(
    frames: Iterable[tuple[float, Sequence[Shot[str]]]], rules: Rules = RULES, same: object = by_name
) -> tuple[list[Passage[str]], int]:
    """Passages of a film given as (second, shots), and the number of flickers."""
    tracks: tuple[Track[str], ...] = ()
    passages: list[Passage[str]] = []
    flickers = 0
    for at, shots in frames:
        done = step(tracks, shots, START + timedelta(seconds=at), rules, same)  # type: ignore[arg-type]
        tracks = done.tracks
        passages += done.passages
        flickers += done.flickers
    last = finish(tracks, rules)
    return [*passages, *last.passages], flickers + last.flickers


def walk(
    who: str, *, start: float = 0.0, seconds: float = 3.0, speed: float = 100.0, y: float = 100.0
) -> list[Shot[str]]:
    """A face that walks to the right, ten frames a second, and is seen best in the middle."""
    count = round(seconds * 10)
    return [
        shot(who, number / 10 * speed, y, start + number / 10, quality=1 - abs(number - count / 2) / count)
        for number in range(count)
    ]


def film(*walks: Sequence[Shot[str]], until: float = 60.0) -> list[tuple[float, list[Shot[str]]]]:
    """Everybody's shots by tenth of a second."""
    shots = [one for a_walk in walks for one in a_walk]
    return [
        (tick / 10, [one for one in shots if one.time == START + timedelta(seconds=tick / 10)])
        for tick in range(round(until * 10))
    ]


def test_a_passage_is_told_once_with_its_best_shot_and_its_times() -> None:
    passages, flickers = watch(film(walk("ann")), same=unasked)
    (passage,) = passages
    assert flickers == 0
    assert passage.best.quality == 1.0
    assert passage.start == START
    assert passage.end == START + timedelta(seconds=2.9)
    assert passage.hits == 30


def test_the_second_shot_is_another_picture_of_the_same_passage() -> None:
    ((passage,), _) = watch(film(walk("ann")))
    assert passage.second is not None
    assert abs(passage.second.time - passage.best.time) >= RULES.second_after


def test_two_people_side_by_side_are_two_passages_without_a_look_at_their_faces() -> None:
    passages, _ = watch(film(walk("ann", y=100), walk("bob", y=300)), same=unasked)
    assert sorted(passage.best.payload for passage in passages) == ["ann", "bob"]


def test_a_person_who_comes_again_is_another_passage() -> None:
    passages, _ = watch(film(walk("ann"), walk("ann", start=20)))
    assert len(passages) == 2


def test_a_blink_of_the_detector_does_not_cut_a_passage() -> None:
    shots = [one for one in walk("ann", speed=20) if not 1.0 <= (one.time - START).total_seconds() < 1.5]
    passages, _ = watch(film(shots))
    assert len(passages) == 1


def test_somebody_else_in_the_same_place_after_a_gap_is_another_passage() -> None:
    passages, _ = watch(film(walk("ann", speed=0), walk("bob", start=4.0, speed=0)))
    assert [passage.best.payload for passage in passages] == ["ann", "bob"]


def test_people_who_cross_keep_their_own_tracks() -> None:
    there = walk("ann", speed=80)
    back = [shot("bob", 240 - number / 10 * 80, 110, number / 10) for number in range(30)]
    passages, _ = watch(film(there, back))
    assert sorted(passage.best.payload for passage in passages) == ["ann", "bob"]
    assert [passage.hits for passage in passages] == [30, 30]


def test_a_flicker_of_the_detector_is_no_passage() -> None:
    assert watch(film(walk("ann", seconds=0.2))) == ([], 1)


def test_who_stays_long_is_told_in_pieces_while_they_stay() -> None:
    passages, _ = watch(film(walk("ann", seconds=150, speed=0), until=200))
    assert [passage.end - passage.start for passage in passages] == [
        timedelta(seconds=60),
        timedelta(seconds=60),
        timedelta(seconds=29.9),
    ]


def test_a_poor_shot_is_joined_by_its_place_and_not_by_its_looks() -> None:
    poor = [shot("ann", 100, 100, number / 10, quality=0.1) for number in range(10)]
    passages, _ = watch(film(poor), same=unasked)
    assert len(passages) == 1


def test_a_fast_walker_whose_boxes_do_not_overlap_is_followed_by_the_face() -> None:
    passages, _ = watch(film(walk("ann", speed=700)))
    assert len(passages) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 400), st.integers(0, 100)), max_size=4),
        ),
        max_size=40,
    )
)
def test_no_shot_is_lost_and_a_passage_holds_the_times_of_its_shots(
    script: list[tuple[int, list[tuple[str, int, int]]]],
) -> None:
    frames = [
        (at / 10, [shot(who, x, 100, at / 10, quality=max(0.3, quality / 100)) for who, x, quality in faces])
        for at, faces in sorted(script, key=lambda frame: frame[0])
    ]
    rules = Rules(min_hits=1)
    passages, flickers = watch(frames, rules)

    assert flickers == 0
    assert sum(passage.hits for passage in passages) >= sum(len(shots) for _, shots in frames)
    for passage in passages:
        assert passage.start <= passage.best.time <= passage.end
        if passage.second is not None:
            assert passage.start <= passage.second.time <= passage.end
            assert passage.second.quality <= passage.best.quality


@given(gap=st.floats(0, 10))
def test_the_gap_alone_decides_whether_a_still_face_is_one_passage(gap: float) -> None:
    second = [shot("ann", 100, 100, 1.0 + gap + number / 10) for number in range(5)]
    first = [shot("ann", 100, 100, 0.6 + number / 10) for number in range(5)]
    frames = [((one.time - START).total_seconds(), [one]) for one in [*first, *second]]
    passages, _ = watch(frames)
    real = second[0].time - first[-1].time
    assert len(passages) == (1 if real <= RULES.max_gap else 2)


@pytest.mark.parametrize("hits", [1, 2, 3])
def test_the_number_of_shots_decides_what_a_passage_is(hits: int) -> None:
    passages, flickers = watch(film(walk("ann", seconds=hits / 10)))
    assert (len(passages), flickers) == ((1, 0) if hits >= RULES.min_hits else (0, 1))
