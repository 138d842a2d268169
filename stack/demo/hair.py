"""Hair, headwear and beards of drawn people."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stack.demo.canvas import Canvas, Colour, Points, both_sides, curve, ellipse, mixed, path
from stack.demo.looks import INK, Hair, Looks, Turn

_BEHIND: Final[dict[Hair, str]] = {
    "long": "0,-0.60 0.32,-0.52 0.47,-0.15 0.50,0.4 0.54,0.95 0,1.0",
    "bob": "0,-0.60 0.33,-0.51 0.48,-0.12 0.50,0.30 0.40,0.52 0,0.5",
    "scarf": "0,-0.60 0.34,-0.50 0.46,-0.1 0.44,0.35 0.58,0.95 0,1.05",
}
"""Right halves of what hangs behind the head."""

_HAIRLINE: Final[dict[Hair, str]] = {
    "short": "0.345,-0.06 0.31,-0.22 0.17,-0.315 0,-0.325 -0.17,-0.315 -0.31,-0.22 -0.345,-0.06",
    "parted": "0.345,-0.02 0.32,-0.20 0.22,-0.33 0.10,-0.37 -0.05,-0.30 -0.22,-0.22 -0.33,-0.16 -0.35,-0.02",
    "long": "0.39,0.25 0.335,-0.02 0.25,-0.24 0.03,-0.40 -0.22,-0.24 -0.335,-0.02 -0.39,0.25",
    "bob": "0.41,0.32 0.335,0 0.26,-0.22 -0.10,-0.36 -0.28,-0.18 -0.34,0 -0.41,0.32",
    "bun": "0.35,-0.08 0.30,-0.25 0.16,-0.35 0,-0.37 -0.16,-0.35 -0.30,-0.25 -0.35,-0.08",
    "ponytail": "0.35,-0.08 0.28,-0.24 0.10,-0.33 -0.08,-0.35 -0.20,-0.31 -0.31,-0.22 -0.35,-0.08",
    "curly": "0.355,-0.05 0.30,-0.20 0.18,-0.27 0,-0.29 -0.18,-0.27 -0.30,-0.20 -0.355,-0.05",
    "fringe": "0.36,0.05 0.325,-0.12 0.18,-0.165 0,-0.175 -0.18,-0.165 -0.325,-0.12 -0.36,0.05",
}
"""From the person's left temple to the right one."""

_FLAT: Final[frozenset[Hair]] = frozenset({"short", "bun", "ponytail"})
"""Styles that lie close to the head."""

_SKULLCAP: Final = (
    "-0.385,0.02 -0.41,-0.18 -0.33,{side} -0.16,{top} 0,{crown} 0.16,{top} 0.33,{side} 0.41,-0.18 0.385,0.02"
)


def behind(canvas: Canvas, looks: Looks) -> None:
    """What is seen of the hair behind head and neck."""
    w, colour = looks.width, mixed(looks.hair_colour, INK, 0.22)
    if looks.hair in _BEHIND:
        canvas.fill(curve(both_sides(_BEHIND[looks.hair], width=w)), colour)
    elif looks.hair == "curly":
        for angle in np.linspace(-0.15, np.pi + 0.15, 13):
            canvas.fill(ellipse(0.42 * w * np.cos(angle), -0.16 - 0.38 * np.sin(angle), 0.155, 0.155), colour)
    elif looks.hair == "bun":
        canvas.fill(ellipse(0, -0.63, 0.17, 0.14), colour)
    elif looks.hair == "ponytail":
        canvas.fill(curve(path("0.2,-0.45 0.50,-0.30 0.56,0.2 0.44,0.75 0.36,0.2 0.30,-0.2")), colour)


def before(canvas: Canvas, looks: Looks) -> None:
    """What lies over the brow and beside the face; on a bald head, its gloss."""
    if looks.hair == "none":
        canvas.fill(ellipse(-0.12, -0.40, 0.10, 0.04), (255, 255, 255), alpha=0.30, blur=0.03)
    elif looks.hair == "scarf":
        _scarf(canvas, looks)
    elif looks.hair == "beanie":
        _beanie(canvas, looks)
    else:
        _hair(canvas, looks)


def beard(canvas: Canvas, looks: Looks, turn: Turn, face: NDArray[np.float32]) -> None:
    """Any growth below the nose. `face`: the mask of the face."""
    colour, j, w, c = looks.beard_colour or looks.hair_colour, looks.jaw, looks.width, looks.chin
    over_lip = np.array([0.0, -looks.mouth_lift])
    if looks.beard in ("full", "stubble"):
        full = looks.beard == "full"
        drop = c + (0.06 if full else 0.0)
        right = [
            (0.30 * w, 0.16),
            (0.37 * w, 0.02),
            (0.36 * w, 0.18),
            (0.31 * j * w, 0.36),
            (0.19 * j * w, 0.49 + drop),
        ]
        left = [(-x, y) for x, y in reversed(right)]
        lip = path("-0.17,0.245 -0.05,0.235 0,0.245 0.05,0.235 0.17,0.245")
        edge = curve([*right, (0.0, 0.55 + drop), *left, *lip])
        # A full beard hangs over the chin; stubble is no wider than the skin.
        canvas.fill(
            edge, colour, alpha=0.96 if full else 0.34, blur=0.012 if full else 0.03, clip=None if full else face
        )
    if looks.beard in ("moustache", "goatee"):
        lip = both_sides("0,0.222 0.07,0.222 0.145,0.285 0.155,0.325 0.09,0.274 0,0.264")
        canvas.fill(turn(curve(lip) + over_lip, 0.02), colour, alpha=0.95, blur=0.006)
    if looks.beard == "goatee":
        tuft = curve([(0.0, 0.385), (0.10, 0.40), (0.11, 0.48 + c), (0.0, 0.57 + c), (-0.11, 0.48 + c), (-0.10, 0.40)])
        canvas.fill(turn(tuft), colour, alpha=0.95, blur=0.010)


def _over_the_crown(looks: Looks, line: list[tuple[float, float]], lift: float) -> Points:
    """Hair over the crown, `lift` head heights thick, down to a line from the left temple to the right one."""
    text = _SKULLCAP.format(side=-0.41 - lift * 0.7, top=-0.50 - lift, crown=-0.52 - lift)
    return np.vstack([curve(path(text, width=looks.width), closed=False), curve(line, closed=False)])


def _hair(canvas: Canvas, looks: Looks) -> None:
    w, colour = looks.width, looks.hair_colour
    gloss: Colour = mixed(colour, (255, 250, 235), 0.28)
    line = path(_HAIRLINE[looks.hair], width=w)
    canvas.fill(_over_the_crown(looks, line, 0.05 if looks.hair in _FLAT else 0.08), colour, blur=0.002)
    if looks.hair == "curly":
        for x, y in path("-0.26,-0.30 -0.13,-0.37 0,-0.40 0.13,-0.37 0.26,-0.30 -0.35,-0.16 0.35,-0.16", width=w):
            canvas.fill(ellipse(x, y, 0.085, 0.085), colour)
            curl = curve([(x - 0.05, y), (x, y - 0.05), (x + 0.05, y)], closed=False)
            canvas.line(curl, gloss, 0.016, alpha=0.5, blur=0.006, taper=True)
        return
    shine = curve(path("-0.26,-0.40 -0.12,-0.485 0.08,-0.495", width=w), closed=False)
    canvas.line(shine, gloss, 0.045, alpha=0.55, blur=0.014, taper=True)
    if looks.hair == "fringe":
        for x in np.linspace(-0.26, 0.26, 7) * w:
            strand = np.array([[x * 0.85, -0.40], [x, -0.19]])
            canvas.line(strand, mixed(colour, INK, 0.4), 0.010, alpha=0.55, blur=0.004)


def _scarf(canvas: Canvas, looks: Looks) -> None:
    w, colour = looks.width, looks.hair_colour
    opening = curve(both_sides("0,-0.36 0.24,-0.30 0.335,-0.05 0.31,0.25 0.16,0.50 0,0.555", width=w))
    outer = curve(both_sides("0,-0.60 0.34,-0.50 0.45,-0.1 0.42,0.35 0.30,0.66 0,0.72", width=w))
    canvas.fill(np.vstack([outer, outer[:1], opening[:1], opening[::-1]]), colour)
    for drape in ("-0.32,-0.40 -0.40,0 -0.34,0.40 -0.05,0.66", "0.25,-0.47 0.40,-0.1 0.36,0.36 0.1,0.64"):
        fold = curve(path(drape), closed=False)
        canvas.line(fold, mixed(colour, INK, 0.35), 0.02, alpha=0.6, blur=0.012, taper=True)


def _beanie(canvas: Canvas, looks: Looks) -> None:
    w, colour = looks.width, looks.hair_colour
    line = path("0.39,-0.14 0.2,-0.185 0,-0.20 -0.2,-0.185 -0.39,-0.14", width=w)
    cap = _over_the_crown(looks, line, 0.14)
    canvas.fill(cap[cap[:, 1] < -0.135], colour)
    band = curve(path("-0.40,-0.27 0,-0.33 0.40,-0.27 0.40,-0.14 0,-0.195 -0.40,-0.14", width=w), steps=14)
    canvas.fill(band, mixed(colour, INK, 0.25))
    for x in np.linspace(-0.36, 0.36, 15) * w:
        sag = 0.02 * np.cos(x * 4)
        canvas.line(np.array([[x, -0.29 - sag], [x, -0.17 - sag]]), mixed(colour, INK, 0.5), 0.010, alpha=0.8)
