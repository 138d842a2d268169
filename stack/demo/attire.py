"""What a drawn person wears: clothes, spectacles, and the badge."""

import numpy as np

from stack.demo.canvas import Canvas, both_sides, curve, ellipse, mixed, path
from stack.demo.looks import INK, Looks, Turn
from vision.demo import BADGE_CENTRE, BADGE_SIDE, picture_of_code


def body(canvas: Canvas, looks: Looks) -> None:
    """Clothes, arms and hands, down to the knees."""
    colour = looks.top_colour
    shadow, light = mixed(colour, INK, 0.35), mixed(colour, (255, 255, 255), 0.18)
    trousers = mixed((52, 58, 78), colour, 0.12)
    if looks.top == "dress":
        lower = curve([(-0.55, 2.0), (0.55, 2.0), (0.85, 3.7), (-0.85, 3.7)], steps=4)
        canvas.fill(lower, colour)
    else:
        legs = np.array(both_sides("0,2.5 0.56,2.5 0.50,3.7 0.04,3.7 0,2.95"))
        canvas.fill(legs, trousers)
    for side in (-1, 1):
        arm = curve(path("0.70,0.98 0.90,1.25 0.93,1.9 0.86,2.5 0.70,2.5 0.68,1.9 0.6,1.3", width=side))
        canvas.fill(arm, shadow if side > 0 else mixed(colour, INK, 0.12))
        canvas.fill(ellipse(side * 0.79, 2.58, 0.10, 0.13), looks.skin)
    torso = curve(both_sides("0,0.80 0.20,0.73 0.48,0.84 0.74,0.98 0.74,1.4 0.62,1.9 0.60,2.65"))
    canvas.fill(torso, colour)
    inside = canvas.mask(torso)
    shaded, lit = path("0.32,0.7 0.9,0.7 0.9,2.8 0.44,2.8"), path("-0.75,0.8 -0.45,0.8 -0.40,2.8 -0.75,2.8")
    canvas.fill(np.array(shaded), shadow, alpha=0.45, blur=0.10, clip=inside)
    canvas.fill(np.array(lit), light, alpha=0.35, blur=0.08, clip=inside)
    if looks.top == "jacket":
        for side in (-1, 1):
            lapel = np.array(path("0.19,0.74 0.40,0.88 0.34,1.25 0,1.75", width=side))
            canvas.fill(lapel, mixed(colour, INK, 0.22))
        canvas.fill(np.array([[-0.19, 0.74], [0.19, 0.74], [0.0, 1.7]]), looks.accent)
    elif looks.top == "shirt":
        canvas.line(np.array([[0.0, 0.85], [0.0, 2.65]]), shadow, 0.014, alpha=0.7)
        for side in (-1, 1):
            wing = np.array(path("0.02,0.86 0.19,0.70 0.30,0.84 0.13,0.99", width=side))
            canvas.fill(wing, mixed(colour, (255, 255, 255), 0.35))
    elif looks.top == "jumper":
        collar = curve(path("-0.26,0.74 -0.12,0.86 0,0.89 0.12,0.86 0.26,0.74"), closed=False)
        canvas.line(collar, looks.accent, 0.06)
        for y in (1.72, 1.84):
            canvas.line(np.array([[-0.75, y], [0.75, y]]), looks.accent, 0.05, alpha=0.85, clip=inside)


def badge(canvas: Canvas, looks: Looks, code: int, eyes: float) -> None:
    """A visitor's card on a lanyard, with the code that demo vision reads."""
    # It hangs below the eyes, not below the neck, since that is where demo vision looks.
    x, y = BADGE_CENTRE[0] + eyes, BADGE_CENTRE[1]
    half = BADGE_SIDE / 2
    for side in (-1, 1):
        canvas.line(np.array([[side * 0.20, 0.74], [x, y - half - 0.06]]), looks.accent, 0.030)
        canvas.line(np.array([[side * 0.20, 0.74], [x, y - half - 0.06]]), INK, 0.012, alpha=0.35)
    card = np.array(path("-1,-1 1,-1 1,1 -1,1")) * np.array([half + 0.055, half + 0.06]) + np.array([x, y])
    canvas.fill(card + np.array([0.012, 0.018]), INK, alpha=0.35, blur=0.015)
    canvas.fill(card, (252, 252, 250))
    canvas.stamp(picture_of_code(code, 7 * 24), (x, y), BADGE_SIDE)


def glasses(canvas: Canvas, looks: Looks, turn: Turn) -> None:
    """Spectacles, if any."""
    if looks.glasses == "none":
        return
    x, colour = 0.148 * looks.eye_gap, looks.glasses_colour
    for side in (-1, 1):
        if looks.glasses == "round":
            lens = ellipse(side * x, 0.012, 0.112, 0.105)
        else:
            lens = curve(path("-0.115,-0.062 0.115,-0.062 0.105,0.082 -0.105,0.082"), steps=12)
            lens = lens + np.array([side * x, 0.0])
            lens = np.clip(lens, [side * x - 0.118, -0.07], [side * x + 0.118, 0.09])
        canvas.fill(turn(lens, 0.03), (220, 235, 245), alpha=0.12)
        canvas.line(turn(np.vstack([lens, lens[:2]]), 0.03), colour, 0.022, blur=0.002)
        arm = curve([(side * (x + 0.112), -0.02), (side * 0.37 * looks.width, -0.01)], closed=False)
        canvas.line(turn(arm), colour, 0.018, blur=0.002)
    bridge = curve([(-x + 0.11, 0.0), (0.0, -0.022), (x - 0.11, 0.0)], closed=False)
    canvas.line(turn(bridge, 0.05), colour, 0.02, blur=0.002)
