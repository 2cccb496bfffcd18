"""One name for every data set: the embedded shop, a folder on disk, or one that is in memory already."""

from __future__ import annotations

import os
from pathlib import Path

from .dataset import MultimodalDataset
from .errors import DataError


def load(source: str | Path | MultimodalDataset) -> MultimodalDataset:
    """Return the data set called `source`: "bazaar" or a folder that `MultimodalDataset.save` wrote.

    The string "bazaar" is always the embedded shop; ``Path("bazaar")`` is the folder of that name where there is one,
    else the shop, too (as a string such a folder is "./bazaar"). A data set is handed through, so that functions may
    take either. Raises `DataError` where there is neither.
    """
    if isinstance(source, MultimodalDataset):
        return source
    if not isinstance(source, str | os.PathLike):
        raise DataError(f"load: a {type(source).__name__} is no data set; take one, its name or its folder.")
    folder = Path(source)
    if source == "bazaar" or (source == Path("bazaar") and not folder.exists()):
        from .bazaar import load_bazaar

        return load_bazaar()
    if not folder.is_dir():
        raise DataError(
            f"load: there is no data set {str(source)!r}. The embedded one is called 'bazaar'; anything "
            f"else must be a folder that MultimodalDataset.save or `mmrec data prepare` wrote."
        )
    return MultimodalDataset.load(folder)
