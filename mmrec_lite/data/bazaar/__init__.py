"""Bazaar, the embedded shop: real text, real pictures, known truth.

`load_bazaar` reads what ships in the wheel, `build` makes it again from a seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmrec_lite.data.bazaar.world import oracle_scores
from mmrec_lite.data.dataset import MultimodalDataset

ASSETS = Path(__file__).parent / "assets"
CLIP_FOLDER = ASSETS / "clip"  # the small open_clip model the pictures were encoded with, for `local-dir:`

__all__ = ["ASSETS", "CLIP_FOLDER", "build", "load_bazaar", "oracle_scores"]


def load_bazaar() -> MultimodalDataset:
    """The embedded shop as it ships, with everything planted in ``truth`` (under a second)."""
    return MultimodalDataset.load(ASSETS)


def build(*args: Any, **kwargs: Any) -> Path:
    """Make the shop again from a seed; see `mmrec_lite.data.bazaar.making.build`."""
    from mmrec_lite.data.bazaar.making import build as build_

    return build_(*args, **kwargs)
