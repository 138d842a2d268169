"""A small painter: soft polygons on a transparent canvas, measured in head heights from the middle of the eyes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, 0…255."""

Points = NDArray[np.float64]
"""n × 2, (x, y) in head heights."""

_SUBPIXEL_BITS: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A painted figure with transparency, to be laid over a scene."""

    pixels: NDArray[np.uint8]
    """H × W × 4: blue, green, red premultiplied by alpha; alpha."""
    head: float
    """Pixels per head height."""
    origin: tuple[float, float]
    """Pixel (x, y) of the middle of the eyes."""


class Canvas:
    """Paints in the order of the calls, each shape over the last."""

    def __init__(self, head: float, left: float, top: float, right: float, bottom: float) -> None:
        """`head`: pixels per head height; the edges in head heights."""
        self._head, self._left, self._top = head, left, top
        self._width, self._height = round((right - left) * head), round((bottom - top) * head)
        self._pixels = np.zeros((self._height, self._width, 4), np.float32)

    def sprite(self, origin: float = 0.0) -> Sprite:
        """What was painted; `origin`: x of the middle of the eyes, head heights."""
        pixels = self._pixels.copy()
        pixels[:, :, 3] *= 255.0
        return Sprite(
            (pixels + 0.5).astype(np.uint8), self._head, ((origin - self._left) * self._head, -self._top * self._head)
        )

    def mask(self, points: Points, blur: float = 0.0) -> NDArray[np.float32]:
        """How much of each pixel a polygon covers, 0…1; `blur` is a Gaussian's σ in head heights."""
        scaled = (points - np.array([self._left, self._top])) * self._head * (1 << _SUBPIXEL_BITS)
        mask = np.zeros((self._height, self._width), np.uint8)
        cv2.fillPoly(mask, [np.round(scaled).astype(np.int32)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        if blur > 0:
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(blur * self._head, 0.3)), np.uint8)
        return mask.astype(np.float32) / 255.0

    def fill(
        self,
        points: Points,
        colour: Colour,
        *,
        alpha: float = 1.0,
        blur: float = 0.0,
        clip: NDArray[np.float32] | None = None,
    ) -> None:
        """Paints a polygon, softened by `blur` (head heights), only where `clip` allows."""
        rows, columns = self._window(points, blur)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return
        offset = np.array([self._left + columns.start / self._head, self._top + rows.start / self._head])
        scaled = (points - offset) * self._head * (1 << _SUBPIXEL_BITS)
        mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
        cv2.fillPoly(mask, [np.round(scaled).astype(np.int32)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        if blur > 0:
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), max(blur * self._head, 0.3)), np.uint8)
        cover = mask.astype(np.float32) * np.float32(alpha / 255.0)
        if clip is not None:
            cover *= clip[rows, columns]
        self._lay(rows, columns, cover, colour)

    def line(
        self,
        points: Points,
        colour: Colour,
        width: float,
        *,
        alpha: float = 1.0,
        blur: float = 0.0,
        taper: bool = False,
        clip: NDArray[np.float32] | None = None,
    ) -> None:
        """Paints a stroke along the points, `width` head heights wide; with `taper` it thins towards both ends."""
        self.fill(stroke(points, width, taper=taper), colour, alpha=alpha, blur=blur, clip=clip)

    def shade(self, light: NDArray[np.float32], where: NDArray[np.float32]) -> None:
        """Multiplies what is painted by `light` (1 leaves it) in proportion to `where`."""
        factor = 1.0 + (light - 1.0) * where
        self._pixels[:, :, :3] = np.clip(self._pixels[:, :, :3] * factor[:, :, np.newaxis], 0, 255)

    def grid(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """x and y of every pixel, in head heights."""
        x = self._left + (np.arange(self._width, dtype=np.float32) + 0.5) / self._head
        y = self._top + (np.arange(self._height, dtype=np.float32) + 0.5) / self._head
        return np.broadcast_to(x, (self._height, self._width)), np.broadcast_to(y[:, None], (self._height, self._width))

    def stamp(self, grey: NDArray[np.uint8], centre: tuple[float, float], side: float) -> None:
        """Sets a grey picture, `side` head heights wide, into the canvas. Must lie wholly inside."""
        pixels = round(side * self._head)
        picture = cv2.resize(grey, (pixels, pixels), interpolation=cv2.INTER_AREA).astype(np.float32)
        row = round((centre[1] - self._top) * self._head - pixels / 2)
        column = round((centre[0] - self._left) * self._head - pixels / 2)
        self._pixels[row : row + pixels, column : column + pixels, :3] = picture[:, :, np.newaxis]
        self._pixels[row : row + pixels, column : column + pixels, 3] = 1.0

    def _window(self, points: Points, blur: float) -> tuple[slice, slice]:
        """The rows and columns that a shape can touch."""
        margin = 3 * blur * self._head + 2
        low = (points.min(axis=0) - np.array([self._left, self._top])) * self._head - margin
        high = (points.max(axis=0) - np.array([self._left, self._top])) * self._head + margin
        columns = slice(max(0, int(low[0])), max(0, min(self._width, int(high[0]) + 1)))
        rows = slice(max(0, int(low[1])), max(0, min(self._height, int(high[1]) + 1)))
        return rows, columns

    def _lay(self, rows: slice, columns: slice, cover: NDArray[np.float32], colour: Colour) -> None:
        red, green, blue = colour
        window = self._pixels[rows, columns]
        window *= (1.0 - cover)[:, :, np.newaxis]
        window += cover[:, :, np.newaxis] * np.array([blue, green, red, 1.0], np.float32)


def curve(points: Sequence[tuple[float, float]], *, closed: bool = True, steps: int = 10) -> Points:
    """A smooth line through the points (Catmull-Rom spline)."""
    given = np.array(points, np.float64)
    if closed:
        padded = np.vstack([given[-1], given, given[:2]])
    else:
        padded = np.vstack([2 * given[0] - given[1], given, 2 * given[-1] - given[-2]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, np.newaxis]
    pieces = []
    for index in range(len(padded) - 3):
        a, b, c, d = padded[index : index + 4]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3))
    if not closed:
        pieces.append(given[-1:])
    return np.vstack(pieces)


def path(text: str, *, width: float = 1.0) -> list[tuple[float, float]]:
    """Points written as "x,y x,y …", every x multiplied by `width`; a negative one mirrors them."""
    pairs = (pair.split(",") for pair in text.split())
    return [(float(x) * width, float(y)) for x, y in pairs]


def both_sides(text: str, *, width: float = 1.0) -> list[tuple[float, float]]:
    """A symmetrical outline from its right half, written from top to bottom. Points with x = 0 are not doubled."""
    right = path(text, width=width)
    return right + [(-x, y) for x, y in reversed(right) if x != 0]


def ellipse(x: float, y: float, half_width: float, half_height: float, *, steps: int = 40) -> Points:
    """An upright ellipse around (x, y)."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([x + half_width * np.cos(angle), y + half_height * np.sin(angle)], axis=1)


def stroke(points: Points, width: float, *, taper: bool = False) -> Points:
    """The outline of a line of the given width along the points."""
    along = np.gradient(points, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.full((len(points), 1), width / 2)
    if taper:
        half *= np.sin(np.linspace(0.12, np.pi - 0.12, len(points)))[:, np.newaxis] ** 0.7
    return np.vstack([points + normal * half, (points - normal * half)[::-1]])


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with a share (0…1) of `other` in it."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lay(scene: NDArray[np.uint8], sprite: Sprite, eyes: tuple[float, float], head: float) -> None:
    """Lays a sprite over a scene (H × W × 3 BGR, changed in place), its eyes at a pixel, `head` pixels high."""
    scale = head / sprite.head
    height, width = scene.shape[:2]
    left, top = eyes[0] - sprite.origin[0] * scale, eyes[1] - sprite.origin[1] * scale
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1 = min(width, int(left + sprite.pixels.shape[1] * scale) + 1)
    y1 = min(height, int(top + sprite.pixels.shape[0] * scale) + 1)
    if x0 >= x1 or y0 >= y1:
        return
    matrix = np.array([[scale, 0, left - x0], [0, scale, top - y0]], np.float64)
    figure = cv2.warpAffine(sprite.pixels, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    rest = cv2.cvtColor(255 - figure[:, :, 3], cv2.COLOR_GRAY2BGR)
    window = scene[y0:y1, x0:x1]
    window[:] = cv2.add(cv2.multiply(window, rest, scale=1 / 255), np.ascontiguousarray(figure[:, :, :3]))
