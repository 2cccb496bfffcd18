"""The drawing board of Bazaar's pictures: antialiased shapes with patterns, shading, outlines and emblems."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

SIZE = 96  # pixels of a finished picture; all coordinates below are in these units
SCALE = 4  # drawn so many times larger, then reduced: that is the antialiasing

Colour = tuple[int, int, int]
SLATE: Colour = (58, 62, 74)
CREAM: Colour = (252, 247, 236)

# hue angle in degrees and, per tone (pale, vivid, deep), lightness and saturation in percent
_ANGLES = (358, 25, 48, 125, 177, 213, 270, 325)
_TONES = ((81, 74), (56, 80), (34, 62))
# dark orange and yellow turn brown and olive: keep them lighter and more saturated (added to the above, per tone)
_YELLOWISH = {1: ((-1, 8), (0, 8), (9, 30)), 2: ((-3, 8), (-3, 8), (7, 28))}


def hls(angle: float, lightness: float, saturation: float) -> Colour:
    r, g, b = colorsys.hls_to_rgb(angle / 360, min(max(lightness, 0), 100) / 100, min(saturation, 100) / 100)
    return round(255 * r), round(255 * g), round(255 * b)


@dataclass(frozen=True)
class Palette:
    """The colours of one item: ``main`` fills, ``second`` makes the pattern, ``trim`` the parts, ``line`` the edges."""

    main: Colour
    second: Colour
    trim: Colour
    light: Colour
    line: Colour

    @classmethod
    def of(cls, hue: int, tone: int) -> Palette:
        angle = _ANGLES[hue]
        lightness, saturation = _TONES[tone]
        more = _YELLOWISH.get(hue, ((0, 0),) * 3)[tone]
        lightness, saturation = lightness + more[0], saturation + more[1]
        second = (98, 75, 68)[tone] if tone != 1 else 88
        return cls(
            main=hls(angle, lightness, saturation),
            second=hls(angle, second, saturation * 0.9),
            trim=hls(angle, lightness - (22, 16, 11)[tone], saturation * (0.7, 0.85, 1)[tone]),
            light=hls(angle, min(lightness + 14, 93), saturation * 0.85),
            line=hls(angle, (32, 22, 13)[tone], 45),
        )


# ---------------------------------------------------------------- outlines as (n, 2) arrays of points


def ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> np.ndarray:
    """Points of an ellipse or of its arc from ``start`` to ``end`` degrees (clockwise on the screen, 0 = right)."""
    a = np.radians(np.linspace(start, end, 73))
    return np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], axis=1)


def rect(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> np.ndarray:
    """A rectangle with rounded corners."""
    if radius <= 0:
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)
    r = min(radius, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = [(x1 - r, y0 + r, -90), (x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180)]
    return np.concatenate([ellipse(x, y, r, r, a, a + 90)[::8] for x, y, a in corners])


def smooth(points: list[tuple[float, float]] | np.ndarray, closed: bool = True, steps: int = 10) -> np.ndarray:
    """A Catmull-Rom curve through the points."""
    p = np.asarray(points, dtype=float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    out = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        out.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*out, p[-2:-1]]) if not closed else np.concatenate(out)


def lathe(profile: list[tuple[float, float]], cx: float = 48, curved: bool = True) -> np.ndarray:
    """A symmetric body from ``(y, half width)`` pairs, top to bottom, as if turned on a lathe."""
    right = np.array([(cx + half, y) for y, half in profile], dtype=float)
    right = smooth(right, closed=False) if curved else right
    left = right[::-1] * (-1, 1) + (2 * cx, 0)
    return np.concatenate([right, left])


# ---------------------------------------------------------------- patterns and shading


@lru_cache(maxsize=256)
def pattern_tile(pattern: int, main: Colour, second: Colour) -> Image.Image:
    """A full-size sheet of the pattern: plain, striped, dotted, checked, zigzag or diamond."""
    n = SIZE * SCALE
    y, x = np.mgrid[0:n, 0:n] / SCALE
    if pattern == 0:
        mask = np.zeros((n, n), dtype=bool)
    elif pattern == 1:
        mask = (y % 13) < 6.2
    elif pattern == 2:
        row = np.floor(y / 9.6)
        mask = ((x + 4.8 * (row % 2)) % 9.6 - 4.8) ** 2 + (y % 9.6 - 4.8) ** 2 < 3**2
    elif pattern == 3:
        mask = ((np.floor(x / 8.5) + np.floor(y / 8.5)) % 2).astype(bool)
    elif pattern == 4:
        mask = ((y + 1.15 * np.abs(x % 13 - 6.5)) % 13) < 5.4
    else:
        mask = np.abs(x % 16 - 8) / 6.6 + np.abs(y % 21 - 10.5) / 9.2 < 1
    sheet = np.where(mask[..., None], np.uint8(second), np.uint8(main))
    return Image.fromarray(sheet)


@lru_cache(maxsize=2)
def _shade_ramp(kind: str) -> tuple[Image.Image, Image.Image]:
    """White and black transparency from left to right: a soft light from the upper left."""
    x = np.linspace(0, 1, 128)
    white = 88 * np.exp(-(((x - 0.24) / 0.17) ** 2)) if kind == "round" else 40 * (1 - x)
    black = 78 * np.clip((x - 0.5) / 0.5, 0, 1) ** 1.5 if kind == "round" else 34 * x
    return tuple(Image.fromarray(np.uint8(v)[None, :]) for v in (white, black))  # type: ignore[return-value]


class Canvas:
    """One picture in the making: parts are put on it back to front."""

    def __init__(self, palette: Palette, pattern: int, background: Image.Image, transform: np.ndarray) -> None:
        self.palette = palette
        self.pattern = pattern
        self.transform = transform  # (2, 3): the item's size, tilt, side and place on the picture
        self.image = background.resize((SIZE * SCALE, SIZE * SCALE), Image.Resampling.BICUBIC)
        self.draw = ImageDraw.Draw(self.image)

    def _place(self, points: np.ndarray) -> list[tuple[float, float]]:
        p = np.asarray(points, dtype=float) @ self.transform[:, :2].T + self.transform[:, 2]
        return [tuple(row) for row in p * SCALE]

    def part(
        self, points: np.ndarray, fill: Colour | str = "main", line: float = 1.3, shade: str | None = "round"
    ) -> None:
        """A closed shape: ``fill`` is "main" (with the item's pattern), "trim", "light", "second" or a colour."""
        place = self._place(points)
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(place, fill=255)
        if fill == "main":
            self.image.paste(pattern_tile(self.pattern, self.palette.main, self.palette.second), (0, 0), mask)
        else:
            self.image.paste(getattr(self.palette, fill) if isinstance(fill, str) else fill, (0, 0), mask)
        box = mask.getbbox()
        if shade and box:
            for ramp, colour in zip(_shade_ramp(shade), ((255, 255, 255), (20, 20, 45)), strict=True):
                alpha = Image.new("L", self.image.size)
                alpha.paste(ramp.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.BILINEAR), box[:2])
                alpha = Image.fromarray(np.uint8(np.asarray(alpha) * (np.asarray(mask) > 127)))
                self.image.paste(colour, (0, 0), alpha)
        if line:
            self._stroke([*place, place[0], place[1]], line, self.palette.line)

    def line(self, points: np.ndarray, width: float, fill: Colour | str = "trim", edge: float = 1.1) -> None:
        """An open stroke with round ends and, if ``edge`` > 0, an outline: handles, legs, strings."""
        place = self._place(points)
        if edge:
            self._stroke(place, width + 2 * edge, self.palette.line)
        self._stroke(place, width, getattr(self.palette, fill) if isinstance(fill, str) else fill)

    def _stroke(self, place: list[tuple[float, float]], width: float, colour: Colour) -> None:
        w = max(1, round(width * SCALE))
        self.draw.line(place, fill=colour, width=w, joint="curve")
        for x, y in (place[0], place[-1]):
            self.draw.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)

    def shadow(self, cx: float = 48, y: float = 82, rx: float = 26, ry: float = 3.6) -> None:
        """A soft shadow on the floor."""
        for grow, alpha in ((1.12, 26), (1.0, 34), (0.84, 40)):
            mask = Image.new("L", self.image.size)
            ImageDraw.Draw(mask).polygon(self._place(ellipse(cx, y, rx * grow, ry * grow)), fill=alpha)
            self.image.paste((40, 36, 48), (0, 0), mask)

    def finish(self) -> Image.Image:
        return self.image.resize((SIZE, SIZE), Image.Resampling.LANCZOS)
