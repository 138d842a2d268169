"""The shops in which the demo's people walk: flat drawings, no third party's art."""

from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stack.demo.canvas import Colour
from vision.demo import FRAME_MARK, FRAME_MARK_INSET, FRAME_MARK_SIDE, picture_of_code

WIDTH: Final = 960
HEIGHT: Final = 540

Scene = NDArray[np.uint8]
Edges = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the finished picture. Scenes are painted at twice that size."""

_SPINES: Final[tuple[Colour, ...]] = (
    (196, 78, 62), (226, 168, 74), (62, 112, 128), (240, 226, 196), (92, 132, 96),
    (54, 66, 98), (168, 96, 116), (214, 120, 70), (122, 152, 168), (236, 200, 150),
)  # fmt: skip


@cache
def scene(name: str) -> Scene:
    """The empty picture of one camera, WIDTH × HEIGHT × 3 BGR. `name`: entrance, aisle or station. Do not write to it.

    Raises KeyError for another name.
    """
    painter = {"entrance": _entrance, "aisle": _aisle, "station": _station}[name]
    picture = Image.new("RGB", (WIDTH * 2, HEIGHT * 2))
    painter(ImageDraw.Draw(picture))
    small = np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.uint8)[:, :, ::-1]
    # A touch out of focus: the eye goes to the people, and the codec has less to do.
    return np.asarray(cv2.GaussianBlur(_vignette(small), (0, 0), 1.1), np.uint8)


class Overlay:
    """What a demo frame carries over everything else: the demo's mark, lower right, and a caption, lower left."""

    def __init__(self, title: str, width: int = WIDTH, height: int = HEIGHT) -> None:
        """`title`: the camera's name; `width`, `height`: of the frames, pixels."""
        image = Image.new("RGBA", (width, height))
        canvas = ImageDraw.Draw(image)
        side, inset = round(FRAME_MARK_SIDE * height), FRAME_MARK_INSET * height
        left, top = round(width - inset - side / 2), round(height - inset - side / 2)
        margin = max(3, side // 5)
        canvas.rectangle((left - margin, top - margin, left + side + margin, top + side + margin), fill=(250, 250, 250))
        image.paste(Image.fromarray(picture_of_code(FRAME_MARK, side)), (left, top))
        size = max(10, round(height * 0.030))
        font = ImageFont.load_default(size)
        text = f"{title}   ·   Footfall demo film"
        box = canvas.textbbox((0, 0), text, font=font)
        x, y = round(height * 0.03), height - round(height * 0.075)
        outer = (x, y, x + box[2] + size * 1.4, y + size * 1.75)
        canvas.rounded_rectangle(outer, radius=size * 0.5, fill=(20, 24, 32, 150))
        canvas.text((x + size * 0.7, y + size * 0.28), text, font=font, fill=(255, 255, 255, 255))
        self._top = min(y, top - margin)
        strip = np.asarray(image, np.float32)[self._top :]
        self._alpha = strip[:, :, 3:] / 255.0
        self._colour = strip[:, :, 2::-1] * self._alpha

    def stamp(self, frame: Scene) -> None:
        """Changes the frame in place."""
        strip = frame[self._top :]
        strip[:] = (strip * (1.0 - self._alpha) + self._colour + 0.5).astype(np.uint8)


def _vignette(picture: Scene) -> Scene:
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    light = 1.04 - 0.16 * np.clip(x**2 * 0.7 + (y + 0.15) ** 2, 0, 1.6)
    return np.asarray(np.clip(picture * light[:, :, np.newaxis], 0, 255), np.uint8)


def _box(draw: ImageDraw.ImageDraw, edges: Edges, fill: Colour) -> None:
    """A rectangle."""
    left, top, right, bottom = edges
    draw.rectangle((left * 2, top * 2, right * 2 - 1, bottom * 2 - 1), fill=fill)


def _shape(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], fill: Colour) -> None:
    draw.polygon([(x * 2, y * 2) for x, y in points], fill=fill)


def _disc(draw: ImageDraw.ImageDraw, centre: tuple[float, float], radii: tuple[float, float], fill: Colour) -> None:
    (x, y), (rx, ry) = centre, radii
    draw.ellipse(((x - rx) * 2, (y - ry) * 2, (x + rx) * 2, (y + ry) * 2), fill=fill)


def _fade(draw: ImageDraw.ImageDraw, edges: Edges, above: Colour, below: Colour) -> None:
    """A vertical gradient."""
    left, top, right, bottom = edges
    for row in range(round(top * 2), round(bottom * 2)):
        share = (row / 2 - top) / max(bottom - top, 1)
        fill = tuple(round(a + (b - a) * share) for a, b in zip(above, below, strict=True))
        draw.line((left * 2, row, right * 2, row), fill=fill)


def _shelf(draw: ImageDraw.ImageDraw, edges: Edges, rows: int, seed: int, wood: Colour) -> None:
    """A bookcase, its books by chance of a seed."""
    left, top, right, bottom = edges
    dark = (wood[0] * 6 // 10, wood[1] * 6 // 10, wood[2] * 6 // 10)
    chance = np.random.default_rng(seed)
    _box(draw, (left, top, right, bottom), wood)
    step = (bottom - top) / rows
    for row in range(rows):
        ceiling, floor = top + row * step + 6, top + (row + 1) * step - 3
        _box(draw, (left + 6, ceiling, right - 6, floor), dark)
        x = left + 9
        while x < right - 18:
            width = float(chance.uniform(7, 15))
            if chance.random() < 0.10:
                x += width
                continue
            tall = (floor - ceiling) * float(chance.uniform(0.62, 0.92))
            spine = _SPINES[int(chance.integers(len(_SPINES)))]
            _box(draw, (x, floor - tall, x + width - 1, floor), spine)
            _box(draw, (x + 1.5, floor - tall * 0.82, x + width - 2.5, floor - tall * 0.76), (250, 244, 228))
            x += width


def _boards(draw: ImageDraw.ImageDraw, horizon: float, light: Colour, dark: Colour, vanish: float) -> None:
    """A wooden floor that runs towards a vanishing point."""
    _fade(draw, (0, horizon, WIDTH, HEIGHT), dark, light)
    line = tuple((a + b) // 2 - 14 for a, b in zip(light, dark, strict=True))
    for x in range(-900, WIDTH + 900, 74):
        draw.line((vanish * 2 + (x - vanish) * 0.55, horizon * 2, x * 2, HEIGHT * 2), fill=line, width=3)


def _lamp(draw: ImageDraw.ImageDraw, x: float, drop: float, colour: Colour) -> None:
    _box(draw, (x - 1, 0, x + 1, drop), (70, 64, 62))
    _shape(draw, [(x - 12, drop), (x + 12, drop), (x + 38, drop + 30), (x - 38, drop + 30)], colour)
    _disc(draw, (x, drop + 31), (20, 7), (255, 244, 206))


def _plant(draw: ImageDraw.ImageDraw, x: float, ground: float, size: float, pot: Colour) -> None:
    for angle in np.linspace(-1.25, 1.25, 9):
        tip_x, tip_y = x + np.sin(angle) * size * 0.8, ground - size * 0.5 - np.cos(angle) * size * 0.95
        green = (64 + int(20 * np.cos(angle * 3)), 122 + int(18 * np.sin(angle * 5)), 82)
        _shape(
            draw,
            [
                (x - 5, ground - size * 0.42),
                (tip_x - 9, tip_y + size * 0.28),
                (tip_x, tip_y),
                (tip_x + 9, tip_y + size * 0.28),
                (x + 5, ground - size * 0.42),
            ],
            green,
        )
    _shape(
        draw,
        [
            (x - size * 0.26, ground - size * 0.5),
            (x + size * 0.26, ground - size * 0.5),
            (x + size * 0.18, ground),
            (x - size * 0.18, ground),
        ],
        pot,
    )


def _street(draw: ImageDraw.ImageDraw, left: float, top: float, right: float, bottom: float) -> None:
    """What is seen through a pane of glass: sky, houses, a tree, pavement."""
    _fade(draw, (left, top, right, bottom), (176, 212, 232), (236, 240, 232))
    width, height = right - left, bottom - top
    for share, tall, colour in (
        (0.0, 0.62, (206, 190, 178)),
        (0.30, 0.78, (188, 170, 166)),
        (0.62, 0.55, (214, 202, 186)),
        (0.82, 0.7, (196, 182, 172)),
    ):
        x0, x1 = left + width * share, min(right, left + width * (share + 0.31))
        _box(draw, (x0, bottom - height * tall, x1, bottom), colour)
        for row in range(4):
            for column in range(3):
                wx, wy = x0 + (x1 - x0) * (0.18 + 0.26 * column), bottom - height * tall + 14 + row * 34
                if wy + 18 < bottom - 30:
                    _box(draw, (wx, wy, wx + (x1 - x0) * 0.14, wy + 18), (232, 238, 238))
    _box(draw, (left, bottom - height * 0.14, right, bottom), (178, 178, 176))
    _box(
        draw,
        (left + width * 0.745, bottom - height * 0.42, left + width * 0.765, bottom - height * 0.12),
        (112, 88, 72),
    )
    _disc(draw, (left + width * 0.755, bottom - height * 0.48), (width * 0.11, height * 0.15), (132, 168, 116))


def _sign(
    draw: ImageDraw.ImageDraw, top: tuple[float, float], text: str, *, fill: Colour, ink: Colour, size: float
) -> None:
    """A board with a word on it; `top`: the middle of its upper edge."""
    x, y = top
    font = ImageFont.load_default(round(size * 2))
    box = draw.textbbox((0, 0), text, font=font)
    half = box[2] / 2
    draw.rounded_rectangle(
        (x * 2 - half - size * 1.6, y * 2, x * 2 + half + size * 1.6, y * 2 + size * 3.8), radius=size, fill=fill
    )
    draw.text((x * 2 - half, y * 2 + size * 0.72), text, font=font, fill=ink)


def _entrance(draw: ImageDraw.ImageDraw) -> None:
    """A bookshop's door from within."""
    _fade(draw, (0, 0, WIDTH, 400), (238, 226, 206), (228, 212, 188))
    _boards(draw, 396, (196, 152, 112), (160, 120, 88), 480)
    _box(draw, (0, 388, WIDTH, 398), (198, 176, 148))
    frame: Colour = (58, 84, 84)
    _box(draw, (320, 60, 640, 398), frame)
    for left, right in ((332, 474), (486, 628)):
        _street(draw, left, 72, right, 388)
        _box(draw, (left, 232, right, 240), frame)
    for x in (466, 488):
        _box(draw, (x, 196, x + 6, 268), (222, 190, 112))
    _sign(draw, (480, 14), "LIGHTHOUSE BOOKS", fill=(58, 84, 84), ink=(246, 232, 200), size=13)
    _shelf(draw, (18, 70, 286, 396), 5, 11, (150, 108, 74))
    _shelf(draw, (676, 70, 942, 396), 5, 23, (150, 108, 74))
    _lamp(draw, 150, 26, (196, 78, 62))
    _lamp(draw, 808, 26, (196, 78, 62))
    _plant(draw, 306, 420, 76, (196, 110, 78))
    _shape(draw, [(330, 400), (630, 400), (720, 520), (240, 520)], (140, 72, 66))
    _shape(draw, [(344, 408), (616, 408), (694, 508), (266, 508)], (168, 92, 80))


def _aisle(draw: ImageDraw.ImageDraw) -> None:
    """Between the shelves."""
    _fade(draw, (0, 0, WIDTH, 380), (214, 222, 220), (204, 212, 208))
    _boards(draw, 372, (184, 156, 126), (146, 120, 96), 480)
    for index, (left, right) in enumerate(((0, 196), (206, 402), (558, 754), (764, WIDTH))):
        _shelf(draw, (left, 40, right, 384), 5, 31 + index, (176, 140, 102))
    _box(draw, (402, 40, 558, 384), (196, 204, 196))
    _box(draw, (428, 92, 532, 214), (242, 236, 222))
    _shape(draw, [(436, 206), (470, 140), (496, 178), (508, 160), (524, 206)], (108, 146, 150))
    _disc(draw, (510, 120), (12, 12), (232, 180, 96))
    _sign(draw, (480, 8), "FICTION", fill=(176, 92, 74), ink=(252, 240, 220), size=11)
    _shape(draw, [(424, 300), (536, 300), (548, 392), (412, 392)], (82, 112, 118))
    _disc(draw, (480, 300), (58, 34), (92, 124, 130))
    _lamp(draw, 300, 8, (64, 92, 96))
    _lamp(draw, 660, 8, (64, 92, 96))


def _station(draw: ImageDraw.ImageDraw) -> None:
    """The second shop: brick, a wide window, a counter."""
    _fade(draw, (0, 0, WIDTH, 400), (172, 110, 92), (156, 98, 84))
    for row in range(0, 400, 18):
        _box(draw, (0, row, WIDTH, row + 1.5), (190, 136, 118))
        for x in range((row // 18 % 2) * 26, WIDTH, 52):
            _box(draw, (x, row, x + 1.5, row + 18), (190, 136, 118))
    _fade(draw, (0, 392, WIDTH, HEIGHT), (128, 132, 138), (168, 172, 176))
    for x in range(-900, WIDTH + 900, 120):
        draw.line((480 * 2 + (x - 480) * 0.9, 392 * 2, x * 2, HEIGHT * 2), fill=(118, 122, 130), width=3)
    for y in (418, 456, 508):
        draw.line((0, y * 2, WIDTH * 2, y * 2), fill=(118, 122, 130), width=3)
    frame: Colour = (44, 48, 56)
    _box(draw, (90, 56, 560, 330), frame)
    _street(draw, 100, 66, 320, 320)
    _street(draw, 330, 66, 550, 320)
    _box(draw, (610, 40, 800, 398), frame)
    _street(draw, 624, 54, 786, 388)
    _box(draw, (776, 214, 782, 280), (222, 190, 112))
    _sign(draw, (325, 12), "STATION SQUARE", fill=(44, 48, 56), ink=(246, 226, 176), size=12)
    _box(draw, (70, 330, 580, 344), (214, 182, 140))
    for x, colour in (
        (130, (196, 78, 62)),
        (176, (226, 168, 74)),
        (222, (62, 112, 128)),
        (420, (240, 226, 196)),
        (466, (92, 132, 96)),
    ):
        _box(draw, (x, 286, x + 34, 330), colour)
        _box(draw, (x + 5, 296, x + 29, 302), (252, 246, 232))
    _plant(draw, 320, 332, 54, (234, 226, 210))
    _plant(draw, 872, 420, 120, (70, 84, 96))
    _lamp(draw, 210, 2, (226, 168, 74))
    _lamp(draw, 700, 2, (226, 168, 74))
