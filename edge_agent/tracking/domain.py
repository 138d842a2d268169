"""The rules of tracking, pure: boxes that overlap from frame to frame are one face; faces are compared in doubt only.

A *shot* is one face in one frame. A *track* is shots that follow one another. A *passage* is a track that has ended: it
becomes one event, with the best shot for recognition. Comparing faces costs an inference, so the rules ask for it only
where boxes cannot tell: two people who cross, a jump, a gap.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from vision.detect import Box

Payload = TypeVar("Payload")
"""What the caller ties to a shot; the rules never look into it."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot(Generic[Payload]):
    """One face in one frame."""

    time: datetime
    """Of capture; the same clock for all shots of a tracker."""
    box: Box
    """Pixels of the frame."""
    quality: float
    """0…1: how good a picture to recognise someone by."""
    payload: Payload


@dataclass(frozen=True, slots=True)
class Rules:
    """When shots are one track, and when a track is a passage."""

    min_overlap: float = 0.2
    """Boxes that overlap less (intersection over union) are joined only by the face itself."""
    sure_overlap: float = 0.45
    """Boxes that overlap this much are one face without a look, if no other face is near."""
    sure_gap: timedelta = timedelta(seconds=0.6)
    """After a longer gap no overlap is sure: somebody else may stand there now."""
    reach: float = 2.5
    """A face can have moved this many of its widths per second beyond its box; further away it is not looked for."""
    comparable_quality: float = 0.25
    """A worse shot is not compared: it resembles nobody, not even its own person."""
    max_gap: timedelta = timedelta(seconds=2)
    """A track unseen for longer has ended."""
    max_duration: timedelta = timedelta(seconds=60)
    """A track that lasts longer is told in pieces, so that who stays is seen while they stay."""
    min_hits: int = 3
    """A track of fewer shots is a flicker of the detector, not a passage."""
    second_after: timedelta = timedelta(seconds=0.4)
    """The second shot of a passage lies this far from its best one: another picture, not the same once more."""


@dataclass(frozen=True, slots=True, eq=False)
class Track(Generic[Payload]):
    """A face that is being followed."""

    start: datetime
    last: Shot[Payload]
    best: Shot[Payload]
    second: Shot[Payload] | None = None
    hits: int = 1
    velocity: tuple[float, float] = (0.0, 0.0)
    """Of the box's centre, pixels per second."""

    def predicted(self, time: datetime) -> Box:
        """Where the box is at `time` if it moves on as it did, for one second at most."""
        seconds = min((time - self.last.time).total_seconds(), 1.0)
        box = self.last.box
        return replace(box, left=box.left + self.velocity[0] * seconds, top=box.top + self.velocity[1] * seconds)

    def overlap(self, shot: Shot[Payload]) -> float:
        """The better of the overlaps with where the face was, and with where it should be now. 0…1."""
        return max(self.last.box.overlap(shot.box), self.predicted(shot.time).overlap(shot.box))

    def distance(self, shot: Shot[Payload]) -> float:
        """Between the centres, in widths of the face."""
        (x, y), (other_x, other_y) = self.predicted(shot.time).centre, shot.box.centre
        return math.hypot(x - other_x, y - other_y) / max(self.last.box.width, shot.box.width, 1.0)

    def gap(self, time: datetime) -> timedelta:
        """Since the face was last seen."""
        return time - self.last.time


@dataclass(frozen=True, slots=True, eq=False)
class Passage(Generic[Payload]):
    """A track that has ended. One event."""

    start: datetime
    end: datetime
    hits: int
    best: Shot[Payload]
    second: Shot[Payload] | None
    """Another good shot of the same track; None when there is none at some distance from the best."""


@dataclass(frozen=True, slots=True, eq=False)
class Step(Generic[Payload]):
    """What a frame changed."""

    tracks: tuple[Track[Payload], ...]
    passages: tuple[Passage[Payload], ...]
    flickers: int
    """Tracks that ended with too few shots."""


Same = Callable[[Shot[Payload], Shot[Payload]], bool]
"""Whether two shots show one person; may cost an inference."""


def step(
    tracks: Sequence[Track[Payload]], shots: Sequence[Shot[Payload]], time: datetime, rules: Rules, same: Same[Payload]
) -> Step[Payload]:
    """Continues the tracks with the shots of one frame, begins new ones, and ends those not seen for too long.

    `time`: of the frame, not before that of any earlier one. Every shot becomes part of exactly one track.
    """
    ended = [track for track in tracks if track.gap(time) > rules.max_gap]
    alive = [track for track in tracks if track.gap(time) <= rules.max_gap]
    pairs = _associate(alive, shots, rules, same)
    continued = [
        _extended(track, shots[pairs[index]], rules) if index in pairs else track for index, track in enumerate(alive)
    ]
    begun = [_begun(shot) for index, shot in enumerate(shots) if index not in pairs.values()]
    # A long stay is told in pieces: the piece ends before its last shot, which begins the next.
    pieces = [track for track in continued if track.last.time - track.start >= rules.max_duration and track.hits > 1]
    following = [_begun(track.last) if track in pieces else track for track in continued]
    done = [*ended, *pieces]
    passages = tuple(_passage(track) for track in done if track.hits >= rules.min_hits)
    return Step((*following, *begun), passages, len(done) - len(passages))


def finish(tracks: Sequence[Track[Payload]], rules: Rules) -> Step[Payload]:
    """Ends every track: the camera stops."""
    passages = tuple(_passage(track) for track in tracks if track.hits >= rules.min_hits)
    return Step((), passages, len(tracks) - len(passages))


def _associate(
    tracks: Sequence[Track[Payload]], shots: Sequence[Shot[Payload]], rules: Rules, same: Same[Payload]
) -> dict[int, int]:
    """Index of a track → index of the shot that continues it; one to one, the closest pairs first."""
    overlaps = {(t, s): track.overlap(shot) for t, track in enumerate(tracks) for s, shot in enumerate(shots)}
    near = {pair for pair, overlap in overlaps.items() if overlap >= rules.min_overlap}
    pairs: dict[int, int] = {}
    for t, s in _closest_first(tracks, shots, overlaps, near, rules):
        if t in pairs or s in pairs.values():
            continue
        rivals = sum(other != (t, s) and (other[0] == t or other[1] == s) for other in near)
        track, shot = tracks[t], shots[s]
        sure = overlaps[t, s] >= rules.sure_overlap and not rivals and track.gap(shot.time) <= rules.sure_gap
        if sure or _looks_same(track, shot, overlaps[t, s], rules, same):
            pairs[t] = s
    return pairs


def _closest_first(
    tracks: Sequence[Track[Payload]],
    shots: Sequence[Shot[Payload]],
    overlaps: dict[tuple[int, int], float],
    near: set[tuple[int, int]],
    rules: Rules,
) -> Iterator[tuple[int, int]]:
    """Pairs that may be one face: those that overlap, the most first; then those in reach, the nearest first."""
    yield from sorted(near, key=lambda pair: (-overlaps[pair], pair))
    distances = {
        (t, s): distance
        for t, track in enumerate(tracks)
        for s, shot in enumerate(shots)
        if (t, s) not in near
        and (distance := track.distance(shot)) <= 1 + rules.reach * track.gap(shot.time).total_seconds()
    }
    yield from sorted(distances, key=lambda pair: (distances[pair], pair))


def _looks_same(track: Track[Payload], shot: Shot[Payload], overlap: float, rules: Rules, same: Same[Payload]) -> bool:
    if min(track.best.quality, shot.quality) < rules.comparable_quality:
        # Nothing to compare: only the boxes can tell, and only while the face was in view.
        return overlap >= rules.sure_overlap and track.gap(shot.time) <= rules.sure_gap
    return same(track.best, shot)


def _begun(shot: Shot[Payload]) -> Track[Payload]:
    return Track(start=shot.time, last=shot, best=shot)


def _extended(track: Track[Payload], shot: Shot[Payload], rules: Rules) -> Track[Payload]:
    seconds = track.gap(shot.time).total_seconds()
    (x, y), (new_x, new_y) = track.last.box.centre, shot.box.centre
    velocity = ((new_x - x) / seconds, (new_y - y) / seconds) if seconds > 0 else track.velocity
    best, other = (shot, track.best) if shot.quality > track.best.quality else (track.best, shot)
    second = _better_second(best, [track.second, other], rules)
    return replace(track, last=shot, best=best, second=second, hits=track.hits + 1, velocity=velocity)


def _better_second(
    best: Shot[Payload], candidates: Sequence[Shot[Payload] | None], rules: Rules
) -> Shot[Payload] | None:
    apart = [shot for shot in candidates if shot is not None and abs(shot.time - best.time) >= rules.second_after]
    return max(apart, key=lambda shot: shot.quality, default=None)


def _passage(track: Track[Payload]) -> Passage[Payload]:
    return Passage(track.start, track.last.time, track.hits, track.best, track.second)
