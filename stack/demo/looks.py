"""What a drawn person looks like, in a few dozen proportions and colours, and how the head is held."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from stack.demo.canvas import Colour, Points

Hair = Literal["none", "short", "parted", "long", "bob", "bun", "curly", "fringe", "scarf", "beanie", "ponytail"]
Beard = Literal["none", "stubble", "full", "moustache", "goatee"]
Glasses = Literal["none", "round", "square"]
Top = Literal["shirt", "jumper", "jacket", "dress"]

INK: Final[Colour] = (28, 20, 22)
WHITE: Final[Colour] = (246, 243, 238)

HEAD_WIDTH: Final = 0.40
"""Half axis of the head's ellipsoid across, head heights."""
HEAD_DEPTH: Final = 0.42
"""The same towards the viewer: how far features wander when the head turns."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What one person looks like. Factors are around 1, offsets in head heights around 0."""

    skin: Colour
    hair: Hair
    hair_colour: Colour
    iris: Colour = (84, 60, 40)
    lips: Colour = (176, 92, 88)
    beard: Beard = "none"
    beard_colour: Colour | None = None
    """The hair's where None."""
    glasses: Glasses = "none"
    glasses_colour: Colour = (40, 36, 44)
    top: Top = "jumper"
    top_colour: Colour = (70, 110, 140)
    accent: Colour = (230, 220, 200)
    width: float = 1.0
    jaw: float = 1.0
    chin: float = 0.0
    cheeks: float = 1.0
    eye_size: float = 1.0
    eye_gap: float = 1.0
    eye_slant: float = 0.0
    eye_lid: float = 0.0
    brow_width: float = 1.0
    brow_lift: float = 0.0
    brow_slant: float = 0.0
    nose_width: float = 1.0
    nose_length: float = 1.0
    mouth_width: float = 1.0
    mouth_lift: float = 0.0
    lip_fullness: float = 1.0
    smile: float = 0.3
    age: float = 0.0
    lashes: float = 0.0
    freckles: float = 0.0
    sockets: float = 0.34
    """How deep the eyes lie: darkness around them, 0…1."""
    cheekbones: float = 0.0
    """Hollows below the cheekbones, 0…1."""
    ridge: float = 1.0
    """How sharply the nose's ridge stands out."""
    shine: float = 0.46
    """Contrast between the lit and the shaded side of the face."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a person holds the head in one frame."""

    turn: float = 0.0
    """Degrees; positive towards the picture's right."""
    blink: float = 0.0
    """0 open, 1 shut."""


class Turn:
    """Carries points of a face in front view to where they are seen when the head turns."""

    def __init__(self, looks: Looks, pose: Pose) -> None:
        """For one head in one pose."""
        self._half = HEAD_WIDTH * looks.width
        turn = np.radians(pose.turn)
        self._sin, self._cos = float(np.sin(turn)), float(np.cos(turn))

    def __call__(self, points: Points, stand_out: float = 0.0) -> Points:
        """`stand_out`: head heights by which they stand before the ellipsoid, as the nose does."""
        x, y = points[:, 0], points[:, 1]
        depth = HEAD_DEPTH * np.sqrt(np.clip(1 - (x / self._half) ** 2 - ((y - 0.02) / 0.62) ** 2, 0, 1)) + stand_out
        return np.stack([x * self._cos + depth * self._sin, y], axis=1)

    @property
    def eyes(self) -> float:
        """Where the middle of the eyes has gone, head heights to the right."""
        return HEAD_DEPTH * self._sin
