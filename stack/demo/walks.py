"""How people move before a camera: where the head is, how large and which way it looks, at each moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from stack.demo.scenes import HEIGHT, WIDTH
from stack.demo.truth import Passage

FRAMES_PER_SECOND: Final = 10
SPACING_SECONDS: Final = 2.0
"""From one person's start to the next one's: never so near that one hides another's face."""
CROSS_SECONDS: Final = 3.6
APPROACH_SECONDS: Final = 3.8
TAIL_SECONDS: Final = 0.5
"""The empty scene before the first person and after the last."""

Path = Literal["cross", "approach"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a head is in one frame."""

    x: float
    """Of the middle of the eyes, pixels."""
    y: float
    head: float
    """Pixels from crown to chin."""
    turn: float
    """Degrees, positive towards the picture's right."""
    presence: float
    """0…1: people fade in at the far door."""

    @property
    def whole(self) -> bool:
        """Whether all of the face is in the picture, and solid."""
        return 0.5 * self.head <= self.x <= WIDTH - 0.5 * self.head and self.presence >= 1.0


@dataclass(frozen=True, slots=True)
class Walk:
    """One person's way past one camera."""

    person: str
    begin: float
    """Seconds after the film's start."""
    seconds: float
    path: Path
    side: int
    """+1: ends on the picture's right; −1: mirrored."""
    head: float
    """Pixels of the head at its nearest."""

    def place(self, moment: float) -> Place | None:
        """Where the head is `moment` seconds after the film's start; None before and after the walk."""
        share = (moment - self.begin) / self.seconds
        if not 0.0 <= share <= 1.0:
            return None
        step = abs(float(np.sin(share * self.seconds * 2.4 * np.pi)))
        if self.path == "cross":
            across = -0.6 * self.head + share * (WIDTH + 1.2 * self.head)
            x = across if self.side > 0 else WIDTH - across
            return Place(x, HEIGHT * 0.345 - 5 * step, self.head, 8.0 * self.side, 1.0)
        head = 0.55 * self.head * (1 / 0.55) ** share
        x = WIDTH / 2 + self.side * (WIDTH / 2 + 0.7 * self.head) * share**2.0
        return Place(x, HEIGHT * (0.29 + 0.09 * share) - 4 * step, head, 8.0 * self.side, min(1.0, share / 0.08))

    def blinks(self, moment: float) -> bool:
        """Whether the eyes are shut: for two frames, and only while the person is still far away, so that the best
        picture of a passage is never one of shut eyes."""
        return self.path == "approach" and 0.2 <= (moment - self.begin) / self.seconds < 0.25

    def passage(self) -> Passage:
        """From the first to the last moment at which the whole face is seen."""
        count = round(self.seconds * FRAMES_PER_SECOND)
        moments = [self.begin + frame / FRAMES_PER_SECOND for frame in range(count + 1)]
        seen = [moment for moment in moments if (place := self.place(moment)) is not None and place.whole]
        return Passage(self.person, round(seen[0], 1), round(seen[-1], 1))


def walks_of(people: Sequence[str], *, mirrored: bool, scene: str) -> tuple[Walk, ...]:
    """The walks of people who follow one another. At a door they come near; in an aisle they cross."""
    walks = []
    for index, person in enumerate(people):
        path: Path = "approach" if scene == "entrance" else "cross"
        side = -1 if mirrored else 1
        if path == "approach" and index % 2 == 1:
            side = -side
        walks.append(
            Walk(
                person=person,
                begin=TAIL_SECONDS + index * SPACING_SECONDS,
                seconds=APPROACH_SECONDS if path == "approach" else CROSS_SECONDS,
                path=path,
                side=side,
                head=200.0 if path == "approach" else 168.0,
            )
        )
    return tuple(walks)


def seconds_of(walks: Sequence[Walk]) -> float:
    """How long the film of these walks is."""
    return max(walk.begin + walk.seconds for walk in walks) + TAIL_SECONDS
