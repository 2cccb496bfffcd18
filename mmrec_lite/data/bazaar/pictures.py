"""Bazaar's pictures: one 96 x 96 drawing an item, from its common and image-only attributes alone."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from mmrec_lite.data.bazaar.canvas import CREAM, SCALE, SIZE, Canvas, Colour, Palette, ellipse, hls, smooth
from mmrec_lite.data.bazaar.drawings import DRAWINGS
from mmrec_lite.data.bazaar.vocabulary import SHAPES_PER_CATEGORY

# a badge has the colours of its theme, not of the item: (disc, ink)
_BADGES: tuple[tuple[Colour, Colour], ...] = (
    ((176, 219, 245), (22, 58, 110)),
    ((190, 226, 178), (26, 84, 48)),
    ((38, 40, 84), (255, 222, 110)),
    ((250, 244, 230), (40, 40, 46)),
    ((255, 240, 242), (208, 32, 66)),
)
# the wall behind an item is chance, not a factor: (angle, lightness, saturation), all pale and nearly neutral
_WALLS = ((40, 94, 45), (210, 94, 30), (95, 94, 22), (20, 92, 26), (260, 95, 24), (0, 93, 0))


def draw_item(attributes: dict[str, int], seed: int | list[int]) -> Image.Image:
    """Draw one item, deterministic in ``attributes`` and ``seed``.

    ``attributes`` holds category, shape (numbered over all categories), theme, hue, pattern and tone. The seed only
    moves what nobody cares about: wall, size, tilt, side and place. Returns an RGB image of 96 x 96.
    """
    rng = np.random.default_rng(seed)
    turn, size = np.radians(rng.uniform(-4, 4)), rng.uniform(0.88, 0.97)
    flip = rng.choice((-1.0, 1.0))
    rotation = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * (flip, 1.0)
    centre = np.array([48.0, 48.0])
    shift = centre - rotation @ centre + rng.uniform(-2, 2, 2)
    canvas = Canvas(
        Palette.of(attributes["hue"], attributes["tone"]),
        attributes["pattern"],
        _background(int(rng.integers(len(_WALLS))), int(rng.integers(3))),
        np.column_stack([rotation, shift]),
    )
    spot = DRAWINGS[attributes["category"]](canvas, attributes["shape"] % SHAPES_PER_CATEGORY)
    _emblem(canvas, attributes["theme"], spot)
    return canvas.finish()


def encode(image: Image.Image) -> bytes:
    """The picture as a WebP file of about 1.3 kB."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75, method=6)
    return buffer.getvalue()


def contact_sheet(images: list[Image.Image], columns: int = 16, gap: int = 2) -> Image.Image:
    """The pictures side by side, row by row."""
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (SIZE + gap) + gap, rows * (SIZE + gap) + gap), "white")
    for n, image in enumerate(images):
        sheet.paste(image, (gap + (n % columns) * (SIZE + gap), gap + (n // columns) * (SIZE + gap)))
    return sheet


@lru_cache(maxsize=32)
def _background(wall: int, decor: int) -> Image.Image:
    """A pale wall with a floor, at double size: plain, with a round spot behind the item, or with a window's light."""
    n = 2 * SIZE
    angle, lightness, saturation = _WALLS[wall]
    image = Image.new("RGB", (n, n), hls(angle, lightness, saturation))
    draw = ImageDraw.Draw(image)
    if decor == 1:
        draw.ellipse((24, 12, 168, 156), fill=hls(angle, lightness - 4, saturation))
    elif decor == 2:
        draw.polygon([(20, 0), (96, 0), (176, 150), (100, 150)], fill=hls(angle, lightness + 3, saturation))
    draw.rectangle((0, 146, n, n), fill=hls(angle, lightness - 8, saturation * 0.9))
    draw.line((0, 146, n, 146), fill=hls(angle, lightness - 14, saturation * 0.8), width=1)
    return image


def _emblem(c: Canvas, theme: int, spot: tuple[float, float]) -> None:
    """The theme's badge, upright and never mirrored: fish, tree, moon, note or heart on a round disc of its own."""
    x, y = c.transform[:, :2] @ np.array(spot) + c.transform[:, 2]
    c.transform = np.array([[1.0, 0.0, x], [0.0, 1.0, y]])
    disc, ink = _BADGES[theme]
    c.part(ellipse(0, 0, 10.2, 10.2), CREAM, 1.1, None)
    c.part(ellipse(0, 0, 9.0, 9.0), disc, 0, None)
    if theme == 0:
        c.part(smooth([(-6.5, 0), (-3, -3.4), (1, -3), (3.4, 0), (1, 3), (-3, 3.4)]), ink, 0, None)
        c.part(np.array([(2.2, 0), (6.8, -3.8), (5.6, 0), (6.8, 3.8)]), ink, 0, None)
        c.part(ellipse(-3.6, -0.8, 0.8, 0.8), disc, 0, None)
    elif theme == 1:
        c.part(np.array([(-0.9, 3), (0.9, 3), (0.9, 6.8), (-0.9, 6.8)]), ink, 0, None)
        for top, half, low in ((-7, 3.2, -2), (-4.4, 4.4, 1.2), (-1.4, 5.4, 4.4)):
            c.part(np.array([(0, top), (half, low), (-half, low)]), ink, 0, None)
    elif theme == 2:
        c.part(ellipse(-0.6, 0, 6, 6), ink, 0, None)
        c.part(ellipse(2.2, -1.2, 5.1, 5.1), disc, 0, None)
        star = [(2.9 + r * np.sin(a), -1.5 - r * np.cos(a)) for a, r in
                zip(np.arange(10) * np.pi / 5, (2.9, 1.2) * 5, strict=True)]  # fmt: skip
        c.part(np.array(star), ink, 0, None)
    elif theme == 3:
        c.part(ellipse(-3.4, 4.2, 2.5, 2.0), ink, 0, None)
        c.part(ellipse(4.0, 2.8, 2.5, 2.0), ink, 0, None)
        c.part(np.array([(-1.9, 4.2), (-1.9, -5), (6.5, -6.6), (6.5, 2.8), (5.1, 2.8), (5.1, -2.9),
                         (-0.6, -1.8), (-0.6, 4.2)]), ink, 0, None)  # fmt: skip
    else:
        t = np.linspace(0, 2 * np.pi, 60)
        heart = np.stack([16 * np.sin(t) ** 3, 5 * np.cos(2 * t) + 2 * np.cos(3 * t) + np.cos(4 * t) - 13 * np.cos(t)])
        c.part(heart.T * 0.38 + (0, 0.4), ink, 0, None)


__all__ = ["SCALE", "SIZE", "contact_sheet", "draw_item", "encode"]
