"""Draws a person: a shaded head on a bust, no two of the cast alike.

Everything is measured in head heights (crown to chin) from the middle of the eyes, x to the right and y downwards.
"""

import numpy as np
from numpy.typing import NDArray

from stack.demo import attire, hair
from stack.demo.canvas import Canvas, Points, Sprite, both_sides, curve, ellipse, mixed, path
from stack.demo.looks import INK, WHITE, Looks, Pose, Turn


def draw(looks: Looks, code: int, pose: Pose, head: float) -> Sprite:
    """A person from the crown to the knees with a badge on the chest, `head` pixels from crown to chin.

    `code`: what the badge says to demo vision.
    """
    canvas = Canvas(head, -1.15, -0.80, 1.15, 3.6)
    turn = Turn(looks, pose)
    outline = _outline(looks)
    hair.behind(canvas, looks)
    attire.body(canvas, looks)
    attire.badge(canvas, looks, code, turn.eyes)
    _neck_and_ears(canvas, looks, turn)
    canvas.fill(outline, looks.skin)
    face = canvas.mask(outline)
    _light(canvas, face, pose, looks.shine)
    _skin_details(canvas, looks, turn, face)
    hair.beard(canvas, looks, turn, face)
    _mouth(canvas, looks, turn)
    _nose(canvas, looks, turn, face)
    for side in (-1, 1):
        _eye(canvas, looks, turn, side, pose.blink)
        _brow(canvas, looks, turn, side)
    hair.before(canvas, looks)
    attire.glasses(canvas, looks, turn)
    return canvas.sprite(origin=turn.eyes)


def _outline(looks: Looks) -> Points:
    w, j, c = looks.width, looks.jaw, looks.chin
    right = [
        *path("0,-0.50 0.17,-0.475 0.30,-0.37 0.365,-0.18 0.37,0", width=w),
        (0.355 * w * looks.cheeks, 0.16),
        (0.30 * j * w, 0.33),
        (0.19 * j * w, 0.455 + c * 0.7),
        (0.08 * j * w, 0.505 + c),
    ]
    return curve([*right, (0.0, 0.515 + c), *((-x, y) for x, y in reversed(right[1:]))])


def _light(canvas: Canvas, face: NDArray[np.float32], pose: Pose, shine: float) -> None:
    """Lambert's law on the head's ellipsoid, light from the upper left: it gives the flat face its roundness."""
    x, y = canvas.grid()
    nx = np.clip(x / 0.46, -1, 1)
    ny = np.clip((y - 0.02) / 0.66, -1, 1)
    nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0, 1))
    along = -0.38 * nx - 0.30 * ny + 0.87 * nz + 0.12 * np.sin(np.radians(pose.turn)) * nx
    light = 1.08 - shine * (1 - np.clip(along, 0, 1))
    canvas.shade(light.astype(np.float32), face)


def _skin_details(canvas: Canvas, looks: Looks, turn: Turn, face: NDArray[np.float32]) -> None:
    dark, rosy = mixed(looks.skin, (60, 20, 20), 0.35), mixed(looks.skin, (225, 90, 80), 0.5)
    for side in (-1, 1):
        x = side * 0.14 * looks.eye_gap
        canvas.fill(turn(ellipse(x, -0.015, 0.105, 0.06)), dark, alpha=looks.sockets, blur=0.025, clip=face)
        canvas.fill(
            turn(ellipse(side * 0.205 * looks.cheeks, 0.20, 0.085, 0.055)), rosy, alpha=0.32, blur=0.04, clip=face
        )
        if looks.cheekbones > 0:
            hollow = ellipse(side * 0.235 * looks.width, 0.27, 0.055, 0.10)
            canvas.fill(turn(hollow), dark, alpha=0.7 * looks.cheekbones, blur=0.035, clip=face)
        if looks.age > 0:
            fold = curve([(side * 0.075, 0.18), (side * 0.125, 0.25), (side * 0.145, 0.33)], closed=False)
            canvas.line(turn(fold), dark, 0.016, alpha=0.75 * looks.age, blur=0.006, taper=True, clip=face)
            bag = curve([(x - 0.07, 0.055), (x, 0.085), (x + 0.07, 0.055)], closed=False)
            canvas.line(turn(bag), dark, 0.012, alpha=0.6 * looks.age, blur=0.005, taper=True, clip=face)
    if looks.age > 0:
        for y in (-0.25, -0.29):
            wrinkle = curve([(-0.15, y), (0, y - 0.012), (0.15, y)], closed=False)
            canvas.line(turn(wrinkle), dark, 0.009, alpha=0.5 * looks.age, blur=0.004, taper=True, clip=face)
    if looks.freckles > 0:
        dots = np.random.default_rng(7).uniform((-0.24, 0.08), (0.24, 0.22), (46, 2))
        for x, y in dots:
            canvas.fill(turn(ellipse(x, y, 0.006, 0.006, steps=8)), dark, alpha=0.6 * looks.freckles, clip=face)
    canvas.fill(turn(ellipse(0.0, 0.43 + looks.chin * 0.5, 0.09, 0.022)), dark, alpha=0.25, blur=0.02, clip=face)


def _neck_and_ears(canvas: Canvas, looks: Looks, turn: Turn) -> None:
    shadow = mixed(looks.skin, (50, 20, 20), 0.38)
    half = 0.17 * looks.jaw
    if looks.hair != "scarf":
        neck = curve(both_sides("1,0.25 1.05,0.66 1.5,0.80 0,0.90", width=half))
        canvas.fill(neck, mixed(looks.skin, shadow, 0.45))
        canvas.fill(ellipse(0.02, 0.52, half * 1.2, 0.11), shadow, alpha=0.8, blur=0.04, clip=canvas.mask(neck))
    if looks.hair in ("scarf", "long", "bob"):
        return
    for side in (-1, 1):
        x = side * 0.375 * looks.width
        canvas.fill(turn(ellipse(x, 0.06, 0.05, 0.11)), mixed(looks.skin, shadow, 0.25))
        canvas.fill(turn(ellipse(x, 0.065, 0.026, 0.07)), shadow, alpha=0.6, blur=0.01)


def _eye(canvas: Canvas, looks: Looks, turn: Turn, side: int, blink: float) -> None:
    x, size = side * 0.14 * looks.eye_gap, looks.eye_size
    half, up, down = 0.078 * size, 0.040 * size * (1 - 0.55 * looks.eye_lid), 0.028 * size
    up, down = up * (1 - blink), down * (1 - 0.9 * blink)
    slant = looks.eye_slant
    inner, outer = (x - side * half, 0.008 + slant * 0.5), (x + side * half, 0.004 - slant)
    upper = curve(
        [inner, (x - side * half * 0.3, -up), (x + side * half * 0.35, -up - slant * 0.4), outer], closed=False
    )
    lower = curve([outer, (x + side * half * 0.3, down), (x - side * half * 0.4, down), inner], closed=False)
    almond = turn(np.vstack([upper, lower]))
    white = mixed(WHITE, looks.skin, 0.12)
    canvas.fill(almond, white)
    open_eye = canvas.mask(almond)
    if blink < 0.7:
        radius = 0.036 * size
        canvas.fill(turn(ellipse(x, -0.004, radius, radius)), mixed(looks.iris, INK, 0.35), clip=open_eye)
        canvas.fill(turn(ellipse(x, 0.0, radius * 0.8, radius * 0.8)), looks.iris, clip=open_eye)
        canvas.fill(turn(ellipse(x, -0.004, radius * 0.46, radius * 0.46)), (12, 10, 12), clip=open_eye)
        canvas.fill(turn(ellipse(x - 0.012, -0.016, 0.008, 0.008)), (255, 255, 255), alpha=0.95, clip=open_eye)
        canvas.fill(turn(ellipse(x, -up - 0.004, half, 0.016)), INK, alpha=0.35, blur=0.008, clip=open_eye)
    canvas.line(turn(upper), INK, 0.016 + 0.012 * looks.lashes, alpha=0.92, blur=0.002, taper=True)
    canvas.line(turn(lower), mixed(looks.skin, INK, 0.6), 0.008, alpha=0.7, blur=0.003, taper=True)
    crease = upper + np.array([0.0, -0.026 * size])
    canvas.line(turn(crease), mixed(looks.skin, INK, 0.5), 0.009, alpha=0.75, blur=0.004, taper=True)


def _brow(canvas: Canvas, looks: Looks, turn: Turn, side: int) -> None:
    x, y = side * 0.145 * looks.eye_gap, -0.115 - looks.brow_lift
    tilt = looks.brow_slant
    line = curve(
        [(x - side * 0.085, y + 0.012 + tilt), (x + side * 0.01, y - 0.018), (x + side * 0.10, y + 0.018 - tilt)],
        closed=False,
    )
    covered = looks.hair in ("scarf", "beanie")
    colour = mixed(INK, looks.hair_colour, 0.12) if covered else mixed(looks.hair_colour, INK, 0.35)
    canvas.line(turn(line), colour, 0.036 * looks.brow_width, alpha=0.92, blur=0.005, taper=True)


def _nose(canvas: Canvas, looks: Looks, turn: Turn, face: NDArray[np.float32]) -> None:
    dark, bright = mixed(looks.skin, (60, 20, 15), 0.42), mixed(looks.skin, (255, 250, 240), 0.45)
    w, tip = 0.062 * looks.nose_width, 0.165 * looks.nose_length
    for side, strength in ((1, 0.5 * looks.ridge), (-1, 0.25 * looks.ridge)):
        ridge = curve([(side * 0.04, -0.05), (side * 0.026, 0.05), (side * w * 0.85, tip - 0.02)], closed=False)
        canvas.line(turn(ridge, 0.04), dark, 0.02, alpha=strength, blur=0.012, clip=face)
    canvas.fill(turn(ellipse(-0.004, tip * 0.45, 0.012, tip * 0.5), 0.07), bright, alpha=0.45, blur=0.012, clip=face)
    canvas.fill(turn(ellipse(-0.008, tip - 0.012, 0.024, 0.02), 0.10), bright, alpha=0.5, blur=0.012, clip=face)
    canvas.fill(turn(ellipse(0.0, tip + 0.03, w * 1.1, 0.018), 0.05), dark, alpha=0.5, blur=0.014, clip=face)
    for side in (-1, 1):
        wing = curve(
            [(side * w * 0.8, tip - 0.045), (side * w * 1.22, tip - 0.005), (side * w * 0.85, tip + 0.026)],
            closed=False,
        )
        canvas.line(turn(wing, 0.05), dark, 0.014, alpha=0.8, blur=0.004, taper=True, clip=face)
        canvas.fill(
            turn(ellipse(side * w * 0.52, tip + 0.018, w * 0.30, 0.013), 0.06),
            mixed(dark, INK, 0.6),
            alpha=0.9,
            blur=0.003,
        )


def _mouth(canvas: Canvas, looks: Looks, turn: Turn) -> None:
    y, half = 0.315 - looks.mouth_lift, 0.118 * looks.mouth_width
    rise, full = 0.035 * looks.smile, looks.lip_fullness
    corners = ((-half, y - rise), (half, y - rise))
    middle = [(-half * 0.45, y + 0.004), (0.0, y + 0.006), (half * 0.45, y + 0.004)]
    upper = [
        (half * 0.5, y - 0.024 * full),
        (half * 0.16, y - 0.040 * full),
        (0.0, y - 0.030 * full),
        (-half * 0.16, y - 0.040 * full),
        (-half * 0.5, y - 0.024 * full),
    ]
    lower = [(half * 0.6, y + 0.036 * full), (0.0, y + 0.056 * full), (-half * 0.6, y + 0.036 * full)]
    seam = curve([corners[0], *middle, corners[1]], closed=False)
    top = np.vstack([seam, curve([corners[1], *upper, corners[0]], closed=False)])
    bottom = np.vstack([seam, curve([corners[1], *lower, corners[0]], closed=False)])
    canvas.fill(turn(top, 0.02), mixed(looks.lips, INK, 0.18), blur=0.003)
    canvas.fill(turn(bottom, 0.02), looks.lips, blur=0.003)
    canvas.fill(
        turn(ellipse(-0.01, y + 0.030 * full, half * 0.42, 0.009 * full), 0.02), (255, 235, 230), alpha=0.35, blur=0.006
    )
    canvas.line(turn(seam, 0.02), mixed(looks.lips, INK, 0.75), 0.012, alpha=0.95, blur=0.002, taper=True)
