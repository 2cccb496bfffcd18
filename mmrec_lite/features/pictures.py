"""Opening pictures of unknown origin: what cannot be used is named and counted, never a crash or a silent zero."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from mmrec_lite.data.readers.pictures import pictures_by_item
from mmrec_lite.data.storage import PICTURE_FORMATS

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["BadPicture", "PictureReport", "pictures_by_item", "read_picture"]

MAX_PIXELS = 50_000_000  # 150 MB as RGB; a photograph of today's cameras has half of it
# Encoders scale the short side to 224 pixels or so, and the long one with it: 30,000 x 1 pixels, a file of 200 bytes,
# would become 6.7 million x 224. At this ratio a picture scaled to a short side of up to 700 pixels stays below
# MAX_PIXELS.
MAX_RATIO = 100
UNUSABLE = ("missing", "zero bytes", "corrupt", "huge")
CONVERTED = ("grey", "CMYK", "animated", "transparent", "other mode")
_DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of 16 bits, by the order of their bytes


class BadPicture(ValueError):
    """A picture that cannot be used; `kind` is one of `UNUSABLE`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


@dataclass
class PictureReport:
    """What became of each picture: counts, and by kind the names of those unusable and those converted.

    `unusable` pictures become a missing modality. `converted` ones are read: grey and CMYK as RGB, of an animation the
    first frame, transparency on white. `without` counts items without a single usable picture.
    """

    read: int = 0
    unusable: dict[str, list[str]] = field(default_factory=dict)
    converted: dict[str, list[str]] = field(default_factory=dict)
    without: int = 0

    def add(self, name: str, kinds: Iterable[str] = (), bad: str | None = None) -> None:
        """Count one picture: unusable for the reason `bad`, or read and converted from `kinds`."""
        if bad is not None:
            self.unusable.setdefault(bad, []).append(name)
            return
        self.read += 1
        for kind in kinds:
            self.converted.setdefault(kind, []).append(name)

    def table(self) -> pd.DataFrame:
        """One row for each kind of trouble: count, what was done, and the names."""
        rows = [
            {"kind": kind, "pictures": len(names[kind]), "what was done": done, "names": ", ".join(sorted(names[kind]))}
            for names, kinds, done in (
                (self.unusable, UNUSABLE, "left out"),
                (self.converted, CONVERTED, "converted to RGB"),
            )
            for kind in kinds
            if kind in names
        ]
        return pd.DataFrame(rows, columns=["kind", "pictures", "what was done", "names"])

    def card(self) -> dict:
        """The report as a data card's entry."""
        return {
            "read": self.read,
            "items without a usable picture": self.without,
            "unusable": {kind: sorted(names) for kind, names in self.unusable.items()},
            "converted": {kind: sorted(names) for kind, names in self.converted.items()},
        }


def read_picture(content: bytes | None, name: str, max_pixels: int = MAX_PIXELS) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode one picture's bytes to RGB: the picture, and what it was converted from.

    The size is read from the header before anything is decoded, so that a decompression bomb costs nothing. Raises
    `BadPicture` for bytes that are not there, none, no picture, cut short, more than `max_pixels` pixels, or one side
    more than `MAX_RATIO` times the other.
    """
    picture, kinds = open_picture(content, name, max_pixels)
    try:
        return as_seen(picture), kinds
    except Exception as error:  # damaged EXIF or GIF blocks raise struct.error, IndexError, MemoryError, ...
        raise BadPicture("corrupt", f"{name} ({error})") from None


def as_seen(picture: Image.Image) -> Image.Image:
    """Return a picture in RGB as a page shows it: upright, 16 bits scaled to 8, what is transparent on white."""
    from PIL import Image, ImageOps

    picture.load()
    transparent = "transparent" in _kinds(picture)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP:  # a plain conversion would clip nearly everything to white
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if transparent:
        rgba = picture.convert("RGBA")
        picture = Image.new("RGB", rgba.size, "white")
        picture.paste(rgba, mask=rgba.getchannel("A"))
    return picture.convert("RGB")


def open_picture(content: bytes | None, name: str, max_pixels: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Read a picture's header alone: the picture, not yet decoded, and what it has to be converted from."""
    from PIL import Image

    if content is None:
        raise BadPicture("missing", name)
    if not content:
        raise BadPicture("zero bytes", name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own bound is the lower one
            picture = Image.open(io.BytesIO(content), formats=PICTURE_FORMATS)
        kinds = _kinds(picture)
    except Image.DecompressionBombError as error:
        raise BadPicture("huge", f"{name} ({error})") from None
    except MemoryError:  # a header needs none: this machine is out of it, and no picture to blame
        raise
    except Exception as error:
        raise BadPicture("corrupt", f"{name} ({error})") from None
    if picture.width * picture.height > max_pixels:
        raise BadPicture("huge", f"{name} has {picture.width:,} x {picture.height:,} pixels")
    if max(picture.size) > MAX_RATIO * min(picture.size):
        size = f"{picture.width:,} x {picture.height:,} pixels"
        raise BadPicture("huge", f"{name} has {size}; scaled for an encoder it would have millions")
    return picture, kinds


def _kinds(picture: Image.Image) -> tuple[str, ...]:
    kinds = ["animated"] if getattr(picture, "n_frames", 1) > 1 else []
    mode = picture.mode
    if mode in ("1", "L", "LA", "F", *_DEEP):
        kinds.append("grey")
    elif mode == "CMYK":
        kinds.append("CMYK")
    elif mode not in ("RGB", "RGBA", "P", "PA"):
        kinds.append("other mode")
    if mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        kinds.append("transparent")
    return tuple(kinds)
