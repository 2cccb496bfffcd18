"""Forty-eight drawings, three shapes for each of the sixteen categories.

Each function puts one item on the canvas, back to front, and returns where the theme's emblem goes (x, y).
Coordinates are pixels of the 96 x 96 picture; the floor is at about y = 82.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmrec_lite.data.bazaar.canvas import CREAM, SLATE, Canvas, ellipse, lathe, rect, smooth

Spot = tuple[float, float]


def mug(c: Canvas, shape: int) -> Spot:
    c.shadow(45, 82, 23)
    if shape == 0:
        c.line(ellipse(64, 54, 13, 14, -80, 80), 6)
        c.part(rect(25, 28, 64, 82, 5))
        c.part(ellipse(44.5, 28, 19.5, 4.5), "trim", shade=None)
        return 44.5, 56
    if shape == 1:
        c.line(ellipse(66, 55, 12, 12, -80, 80), 6)
        c.part(lathe([(34, 18), (42, 23), (55, 26), (68, 24), (78, 16), (82, 12)], 44))
        c.part(ellipse(44, 34, 18, 4.5), "trim", shade=None)
        return 44, 58
    c.line(ellipse(59, 51, 15, 12, -75, 70), 5.5)
    c.part(lathe([(28, 24), (82, 13)], 44, curved=False))
    c.part(ellipse(44, 28, 24, 5), "trim", shade=None)
    return 44, 52


def teapot(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 82, 27)
    top, half, low = ((40, 25, 82), (26, 18, 82), (50, 28, 82))[shape]
    middle = (top + low) / 2
    c.line(ellipse(48 + half - 1, middle, 13, 11 + 4 * (shape == 1), -85, 85), 5)
    spout = smooth([(48 - half + 4, middle + 12), (48 - half - 7, middle + 2), (48 - half - 13, top + 2),
                    (48 - half - 8, top), (48 - half - 1, middle - 6), (48 - half + 6, middle - 4)])  # fmt: skip
    c.part(spout, "trim")
    if shape == 0:
        c.part(lathe([(40, 12), (45, 20), (60, 26), (74, 21), (82, 13)]))
    elif shape == 1:
        c.part(lathe([(28, 13), (40, 15.5), (60, 18.5), (76, 19), (82, 16)]))
    else:
        c.part(lathe([(50, 16), (56, 25), (66, 29), (76, 26), (82, 20)]))
    lid = 12 + 3 * (shape == 2)
    c.part(ellipse(48, top + 1, lid, 7, 180, 360), "trim")
    c.part(ellipse(48, top - 8, 3.6, 3.6), "light")
    return 48, middle + (4 if shape != 2 else 1.5)


def vase(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 82, 17)
    for dx, tip, bend in ((-1, 8, -7), (0, 3, 0), (1, 10, 8)):
        c.line(smooth([(48 + dx, 36), (48 + bend * 0.7, 24), (48 + bend * 1.7, tip + 4)], closed=False), 1.2, SLATE, 0)
        c.part(ellipse(48 + bend * 1.8, tip + 3, 3.4, 3.4), CREAM, 1.0, None)
    if shape == 0:
        c.part(lathe([(30, 7), (42, 7), (50, 15), (62, 19), (76, 18), (82, 14)]))
        c.part(ellipse(48, 30, 7, 2.2), "trim", shade=None)
        return 48, 65
    if shape == 1:
        c.part(lathe([(34, 10), (38, 9), (46, 19), (58, 25), (70, 21), (82, 9)]))
        c.part(ellipse(48, 34, 10, 2.6), "trim", shade=None)
        return 48, 58
    c.part(lathe([(30, 22), (38, 15), (52, 11), (68, 12), (78, 15), (82, 15)]))
    c.part(ellipse(48, 30, 22, 4), "trim", shade=None)
    return 48, 61


def lamp(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 83, 19)
    c.part(ellipse(48, 81, 16, 4), "trim")
    if shape == 2:
        c.line(np.array([(48, 80), (48, 62)]), 5)
        c.part(rect(38, 60, 58, 68, 3), "trim")
        c.part(ellipse(48, 38, 25, 25))
        return 48, 38
    c.line(np.array([(48, 80), (48, 48)]), 4)
    if shape == 0:
        c.part(lathe([(14, 12), (52, 30)], curved=False))
        c.part(ellipse(48, 52, 30, 4), "light", shade=None)
        return 48, 36
    c.line(np.array([(48, 18), (48, 13)]), 3)
    c.part(np.concatenate([ellipse(48, 50, 30, 34, 180, 360)]))
    c.part(ellipse(48, 50, 30, 4), "light", shade=None)
    return 48, 35


def clock(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 84, 22)
    for dx in (-17, 17):
        c.line(np.array([(48 + dx, 72), (48 + dx * 1.2, 82)]), 4)
    if shape == 0:
        c.part(ellipse(32, 17, 8, 6), "trim")
        c.part(ellipse(64, 17, 8, 6), "trim")
        c.part(ellipse(48, 47, 32, 32))
    elif shape == 1:
        c.line(ellipse(48, 15, 8, 7, 180, 360), 3)
        c.part(rect(17, 16, 79, 78, 8))
    else:
        c.line(np.array([(48, 16), (48, 9)]), 4)
        c.part(ellipse(48, 47, 35, 35)[::12][:6])
    c.part(ellipse(48, 47, 22, 22), CREAM, 1.2, None)
    for hour in range(12):
        a = np.radians(30 * hour)
        r = np.array([(48 + 19.5 * np.sin(a), 47 - 19.5 * np.cos(a)), (48 + 17.5 * np.sin(a), 47 - 17.5 * np.cos(a))])
        c.line(r, 1.5 if hour % 3 == 0 else 0.9, SLATE, 0)
    c.line(np.array([(48, 47), (48, 31)]), 1.8, SLATE, 0)
    c.line(np.array([(48, 47), (37, 41)]), 2.4, SLATE, 0)
    c.part(ellipse(48, 47, 2.2, 2.2), SLATE, 0, None)
    return 66, 66


def chair(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 83, 28)
    if shape == 0:
        for x, y in ((31, 80), (65, 80), (35, 76), (61, 76)):
            c.line(np.array([(x, 54), (x, y)]), 3.6)
        c.part(rect(31, 8, 65, 52, 7))
        c.part(np.array([(30, 50), (66, 50), (70, 60), (26, 60)]), "light")
        return 48, 29
    if shape == 1:
        for x in (28, 68):
            c.line(np.array([(x, 74), (x, 81)]), 4.5)
        c.part(rect(24, 20, 72, 66, 14))
        c.part(rect(28, 52, 68, 66, 4), "light")
        c.part(rect(15, 42, 30, 76, 7))
        c.part(rect(66, 42, 81, 76, 7))
        c.part(rect(30, 64, 66, 76, 2), "trim")
        return 48, 37
    for dx in (-1, 1):
        c.line(np.array([(48 + 14 * dx, 48), (48 + 20 * dx, 81)]), 4)
        c.line(np.array([(48 + 5 * dx, 48), (48 + 7 * dx, 78)]), 3.4)
    c.line(np.array([(31, 66), (65, 66)]), 2.6)
    c.part(rect(24, 34, 72, 52, 6))
    c.part(ellipse(48, 35, 24, 6), "light", shade=None)
    return 48, 44


def watering_can(c: Canvas, shape: int) -> Spot:
    c.shadow(52, 82, 24)
    top, half = ((46, 22), (30, 17), (42, 21))[shape]
    c.line(smooth([(54 - half + 3, 74), (22, 54), (12, 34)], closed=False), 5)
    c.part(np.array([(5, 36), (9, 41), (21, 30), (14, 24)]), "light")
    c.line(ellipse(54 + half - 3, (top + 78) / 2, 13, (78 - top) / 2.3, -80, 80), 4)
    c.line(ellipse(54, top + 1, half * 0.75, 14, 180, 360), 4)
    if shape == 2:
        c.part(ellipse(54, 61, 22, 21))
        c.part(ellipse(54, 42, 10, 3), "trim", shade=None)
        return 54, 62
    c.part(lathe([(top, half - 2), (82, half + 1)], 54, curved=False))
    c.part(ellipse(54, top, half - 2, 4), "trim", shade=None)
    return 54, (top + 86) / 2


def birdhouse(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 84, 20)
    c.line(np.array([(48, 66), (48, 83)]), 4.5, SLATE)
    hole = (48, 38)
    if shape == 0:
        c.part(np.array([(25, 36), (48, 16), (71, 36), (71, 72), (25, 72)]), shade="flat")
        c.line(np.array([(19, 37), (48, 11), (77, 37)]), 5)
    elif shape == 1:
        c.line(np.array([(48, 18), (48, 10)]), 2.4, SLATE)
        c.part(ellipse(48, 45, 27, 28))
        c.part(ellipse(48, 30, 29, 17, 188, 352), "trim")
    else:
        hole = (48, 36)
        c.part(rect(32, 26, 64, 74, 2))
        c.part(np.array([(26, 29), (48, 5), (70, 29)]), "trim")
    c.part(ellipse(*hole, 6.2, 6.2), SLATE, 1.4, None)
    c.line(np.array([(48, hole[1] + 9.5), (48, hole[1] + 11)]), 2.6, "light")
    return 48, 60 if shape != 1 else 61


def cushion(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 80, 30)
    if shape == 0:
        corners = [(16, 18), (48, 23), (80, 18), (75, 48), (80, 78), (48, 74), (16, 78), (21, 48)]
        c.part(smooth(corners))
        for x, y in ((15, 17), (81, 17), (81, 79), (15, 79)):
            c.part(ellipse(x, y, 3.6, 3.6), "trim", 1.0)
    elif shape == 1:
        c.part(ellipse(48, 48, 33, 31), "trim")
        c.part(ellipse(48, 48, 28, 26))
    else:
        c.part(rect(12, 34, 84, 70, 9))
        for x in (13, 83):
            c.part(ellipse(x, 52, 6, 17), "trim")
        for x in (26, 70):
            c.line(np.array([(x, 35), (x, 69)]), 1.6, "trim", 0)
        return 48, 52
    return 48, 48


def backpack(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 83, 24)
    c.line(ellipse(48, 15, 7, 7, 180, 360), 3.2)
    for dx in (-1, 1):
        c.part(rect(48 + dx * 26 - 5, 50, 48 + dx * 26 + 5, 76, 4), "trim")
    if shape == 0:
        c.part(np.concatenate([ellipse(48, 40, 26, 27, 180, 360), rect(22, 40, 74, 82, 7)[10:30]]))
        c.part(rect(30, 56, 66, 76, 5), "light")
        c.line(np.array([(34, 61), (62, 61)]), 1.3, "line", 0)
        return 48, 38
    if shape == 1:
        c.part(rect(23, 26, 73, 82, 7))
        c.part(rect(26, 13, 70, 30, 6), "trim")
        for x in (35, 61):
            c.line(np.array([(x, 14), (x, 42)]), 2.6, "light", 0.8)
        return 48, 58
    c.part(rect(22, 15, 74, 82, 4), shade="flat")
    c.part(rect(22, 15, 74, 34, 4), "trim", shade="flat")
    for x in (34, 62):
        c.line(np.array([(x, 29), (x, 40)]), 3, "light", 0.8)
    c.part(rect(30, 66, 66, 79, 2), "light", shade="flat")
    return 48, 52


def suitcase(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 83, 27)
    if shape == 0:
        for x in (40, 56):
            c.line(np.array([(x, 24), (x, 8)]), 2, SLATE, 0)
        c.line(np.array([(39, 8), (57, 8)]), 3.4)
        for x in (32, 64):
            c.part(ellipse(x, 82, 3.4, 3.4), SLATE, 0.8, None)
        c.part(rect(25, 22, 71, 80, 8))
        for y in (30, 72):
            c.line(np.array([(27, y), (69, y)]), 1.8, "trim", 0)
        return 48, 51
    if shape == 1:
        c.line(np.concatenate([[(38, 31)], rect(38, 22, 58, 40, 4)[28:36], rect(38, 22, 58, 40, 4)[:8], [(58, 31)]]), 3)
        c.part(rect(12, 30, 84, 80, 6), shade="flat")
        for x in (26, 70):
            c.part(rect(x - 4, 30, x + 4, 80), "trim", 1.0)
        for x, y in ((12, 30), (84, 30), (84, 80), (12, 80)):
            c.part(ellipse(x + (3 if x < 48 else -3), y + (3 if y < 48 else -3), 4, 4), "light", 0.8, None)
        return 48, 56
    c.line(ellipse(48, 34, 13, 13, 180, 360), 3.6)
    c.part(smooth([(25, 40), (34, 33), (62, 33), (71, 40), (82, 70), (78, 81), (18, 81), (14, 70)]))
    c.part(rect(31, 31, 65, 38, 3), "trim")
    c.part(rect(44, 34, 52, 43, 2), "light")
    return 48, 60


def shirt(c: Canvas, shape: int) -> Spot:
    c.line(np.concatenate([[(48, 16), (48, 9)], ellipse(51, 8, 3, 3.4, 180, 400)]), 1.3, SLATE, 0)
    c.line(np.array([(28, 23), (48, 14), (68, 23)]), 2.2, SLATE, 0)
    torso = [(36, 16), (60, 16), (70, 22), (70, 84), (26, 84), (26, 22)]
    if shape < 2:
        sleeve = [(20, 20), (34, 34), (26, 42), (15, 40)] if shape == 0 else [(18, 19), (35, 70), (25, 75), (17, 44)]
        for side in (-1, 1):
            c.part(np.array(sleeve, dtype=float) * (side, 1) + (48, 0), shade="flat")
            if shape == 1:
                c.part(np.array([(35.5, 69), (37, 75), (27.5, 79), (25, 74)]) * (side, 1) + (48, 0), "trim")
    else:
        torso = [(36, 14), (60, 14), (61, 26), (71, 38), (70, 84), (26, 84), (25, 38), (35, 26)]
    c.part(np.array(torso, dtype=float), shade="flat")
    neck = 14 if shape == 2 else 16
    c.part(np.concatenate([ellipse(48, neck, 11, 8, 0, 180)]), "trim", 1.2, None)
    if shape == 1:
        for y in (34, 46, 58, 70):
            c.part(ellipse(48, y, 1.3, 1.3), "light", 0.5, None)
        return 59, 40
    return 48, 46 if shape == 0 else 52


def hat(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 80, 30, 3)
    if shape == 0:
        c.part(smooth([(14, 70), (26, 58), (70, 58), (82, 70), (66, 78), (30, 78)]), "trim")
        c.part(lathe([(26, 18), (32, 22), (62, 27), (66, 27)], curved=False))
        c.part(ellipse(48, 27, 20, 5), "light", shade=None)
        return 48, 48
    if shape == 1:
        c.part(smooth([(10, 71), (22, 63), (50, 64), (54, 70), (36, 73), (16, 77)]), "trim")
        c.part(np.concatenate([ellipse(53, 66, 31, 38, 180, 360)]))
        c.line(smooth([(53, 29), (49, 46), (49, 66)], closed=False), 1.1, "line", 0)
        c.part(ellipse(53, 28, 3, 2.4), "trim")
        return 63, 51
    c.part(ellipse(48, 17, 10, 10), "light")
    c.part(np.concatenate([ellipse(48, 62, 29, 38, 180, 360)]))
    c.part(rect(16, 59, 80, 76, 6), "trim")
    for x in range(23, 76, 7):
        c.line(np.array([(x, 62), (x, 73)]), 0.9, "line", 0)
    return 48, 44


def shoe(c: Canvas, shape: int) -> Spot:
    c.shadow(48, 79, 36, 3.2)
    sole = smooth([(12, 70), (13, 77), (48, 78), (86, 77), (87, 70), (60, 70)])
    if shape == 0:
        c.part(smooth([(14, 72), (14, 48), (22, 42), (36, 48), (52, 46), (64, 58), (82, 62), (86, 72)]))
        c.part(smooth([(66, 60), (82, 62), (87, 73), (66, 73)]), "light")
        laces, spot = ((44, 46), (50, 50), (56, 54)), (31, 59)
    elif shape == 1:
        c.part(smooth([(16, 72), (18, 30), (24, 23), (46, 23), (50, 42), (64, 57), (82, 61), (86, 72)]))
        c.part(smooth([(66, 60), (82, 62), (87, 73), (66, 73)]), "light")
        c.part(rect(18, 21, 48, 27, 3), "trim")
        laces, spot = ((45, 33), (47, 41), (53, 49)), (31, 46)
    else:
        c.part(smooth([(20, 72), (21, 14), (30, 10), (52, 11), (53, 44), (62, 56), (80, 59), (86, 72)]))
        c.part(rect(18, 10, 56, 20, 4), "trim")
        c.line(ellipse(57, 14, 4, 4, -90, 90), 1.8)
        laces, spot = (), (37, 42)
        c.part(rect(15, 70, 34, 81, 1), "trim")
    c.part(sole, CREAM, 1.3, None)
    for x, y in laces:
        c.line(np.array([(x - 4, y + 3), (x + 4, y - 1)]), 2, CREAM, 0.7)
    return spot


def umbrella(c: Canvas, shape: int) -> Spot:
    if shape == 2:
        c.shadow(48, 88, 10, 2)
        c.line(np.array([(48, 80), (48, 89)]), 2.2, SLATE, 0)
        c.line(np.concatenate([[(48, 26), (48, 14)], ellipse(54, 13, 6, 6, 180, 350)]), 3.4)
        c.part(smooth([(42, 24), (54, 24), (60, 44), (57, 66), (48, 84), (39, 66), (36, 44)]))
        c.part(rect(37.5, 58, 58.5, 63, 1), "trim")
        for x in (42.5, 53.5):
            c.line(np.array([(x, 26), (48, 82)]), 0.8, "line", 0)
        return 48, 46
    c.line(np.concatenate([[(48, 20), (48, 78)], ellipse(54, 78, 6, 7, 180, 20)]), 2.6)
    c.line(np.array([(48, 14), (48, 8)]), 2.4, SLATE, 0)
    hem = np.concatenate([ellipse(48 + dx, 52, 6.9, 4.5, 0, -180) for dx in (27.6, 13.8, 0, -13.8, -27.6)])
    if shape == 0:
        c.part(np.concatenate([ellipse(48, 52, 34.5, 40, 180, 360), hem]))
        ribs = [smooth([(48, 12), (48 + dx * 0.8, 28), (48 + dx, 50)], closed=False) for dx in (-20.7, 20.7)]
    else:
        left = smooth([(48, 10), (42, 27), (30, 42), (13.5, 52)], closed=False)[::-1]
        c.part(np.concatenate([left, left[::-1] * (-1, 1) + (96, 0), hem]))
        ribs = [smooth([(48, 12), (48 + dx * 0.4, 30), (48 + dx, 50)], closed=False) for dx in (-20.7, 20.7)]
    for rib in ribs:
        c.line(rib, 0.9, "line", 0)
    return 48, 36


def kite(c: Canvas, shape: int) -> Spot:
    end = (50, 64) if shape != 1 else (48, 46)
    tail = smooth([end, (58, 72), (46, 80), (58, 87), (50, 93)], closed=False)
    c.line(tail, 1.2, SLATE, 0)
    for x, y in tail[6::11]:
        c.part(np.array([(x, y), (x - 5, y - 3), (x - 5, y + 3)]), "trim", 0.8, None)
        c.part(np.array([(x, y), (x + 5, y - 3), (x + 5, y + 3)]), "light", 0.8, None)
    if shape == 0:
        c.part(np.array([(48, 5), (74, 30), (50, 66), (22, 30)]), shade="flat")
        for a, b in (((48, 5), (50, 66)), ((22, 30), (74, 30))):
            c.line(np.array([a, b]), 1.2, "line", 0)
        return 48, 30
    if shape == 1:
        c.part(np.array([(48, 9), (90, 50), (48, 44), (6, 50)]), shade="flat")
        c.part(np.array([(48, 38), (58, 56), (38, 56)]), "trim", shade="flat")
        c.line(np.array([(48, 9), (48, 44)]), 1.2, "line", 0)
        return 48, 32
    for y in (8, 44):
        c.part(np.array([(26, y + 5), (48, y), (70, y + 5), (48, y + 10)]), "light", shade=None)
        c.part(np.array([(26, y + 5), (48, y + 10), (48, y + 24), (26, y + 19)]), shade="flat")
        c.part(np.array([(70, y + 5), (48, y + 10), (48, y + 24), (70, y + 19)]), shade="flat")
    for x, y in ((26, 27), (70, 27), (48, 32)):
        c.line(np.array([(x, y), (x, y + 22 - 0.0)]), 1.6, SLATE, 0)
    return 48, 21


DRAWINGS: tuple[Callable[[Canvas, int], Spot], ...] = (
    mug, teapot, vase, lamp, clock, chair, watering_can, birdhouse,
    cushion, backpack, suitcase, shirt, hat, shoe, umbrella, kite,
)  # fmt: skip
