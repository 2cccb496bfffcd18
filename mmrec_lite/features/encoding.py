"""Catalogues of picture files to vectors: read ahead, encoded once, kept by content, bad files reported."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmrec_lite.data.storage import LinkOutside, image_bytes

from .cache import VectorCache, content_key
from .pictures import MAX_PIXELS, BadPicture, PictureReport, open_picture, read_picture

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from .image import ImageEncoder

_SHARD = 16  # batches between two writes to the cache: what a kill can cost
_AHEAD = 3  # batches that are read and decoded before the encoder asks for them


class _Ready(NamedTuple):
    name: str
    key: str
    pixels: torch.Tensor | None  # None: its vector is known already
    kinds: tuple[str, ...]
    bad: str | None


def encode_pictures(
    pictures: Sequence[str | Path | Sequence[str | Path] | None],
    encoder: ImageEncoder,
    root: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    workers: int = 4,
    max_pixels: int = MAX_PIXELS,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, PictureReport]:
    """Encode each item's pictures: vectors (I, d) float32, present (I,) bool, and a report on the files.

    ``pictures`` holds a file name an item, several of them, or none (None, "" or an empty list); names are below
    ``root``, a folder or zip archive, or paths of their own. The vector of several pictures is their mean, scaled to
    length one. A file that is missing, empty, corrupt, larger than ``max_pixels`` or extremely narrow is left out and
    named in the report; an item without a usable picture has a zero row and present False. Equal files are encoded
    once. With ``cache``, a folder, vectors are kept by the files' and the model's SHA-256. ``workers`` threads read,
    decode and preprocess ahead of the encoder; memory holds a few batches, however many pictures there are.
    """
    each, report = encode_each(pictures, encoder, root, cache, workers, max_pixels, progress)
    return *each.means(), report


def encode_each(
    pictures: Sequence[str | Path | Sequence[str | Path] | None],
    encoder: ImageEncoder,
    root: str | Path | None,
    cache: str | Path | None,
    workers: int,
    max_pixels: int,
    progress: bool,
) -> tuple[ItemPictures, PictureReport]:
    """Encode as ``encode_pictures`` does; return each item's usable pictures apart, and the report."""
    names = [_names(entry) for entry in pictures]
    flat = list(dict.fromkeys(name for entry in names for name in entry))
    store = VectorCache(cache, encoder.fingerprint) if cache is not None else _Memory()
    report, keys = PictureReport(), {}
    for ready in _encoded(flat, encoder, store, root, workers, max_pixels, progress):
        report.add(ready.name, ready.kinds, ready.bad)
        if ready.bad is None:
            keys[ready.name] = ready.key
    usable = [[keys[name] for name in entry if name in keys] for entry in names]
    report.without = sum(not found for found in usable)
    return ItemPictures(store, usable, encoder.width), report


class ItemPictures:
    """The vectors of each item's usable pictures, (p, d) float32 an item, read from where they are kept."""

    def __init__(self, store: VectorCache | _Memory, keys: list[list[str]], width: int):
        self._store, self._keys, self.width = store, keys, width
        self.counts = [len(own) for own in keys]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (p, d) an item."""
        none = np.zeros((0, self.width), dtype=np.float32)
        return (self._store.get(own) if own else none for own in self._keys)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return one vector an item (I, d), zero without a picture, and which items have one (I,) bool."""
        vectors = np.zeros((len(self._keys), self.width), dtype=np.float32)
        for row, found in enumerate(self):
            if len(found):
                vectors[row] = _mean(found)
        return vectors, np.array(self.counts, dtype=np.int64) > 0


def _names(entry: str | Path | Sequence[str | Path] | None) -> list[str]:
    if entry is None or isinstance(entry, str | Path):
        return [str(entry)] if entry else []
    return [str(name) for name in entry if name]


def _mean(vectors: np.ndarray) -> np.ndarray:
    if len(vectors) == 1:
        return vectors[0]
    mean = vectors.mean(axis=0)
    length = np.linalg.norm(mean)
    return mean / length if length > 0 else vectors[0]  # opposite vectors have no mean direction


def _encoded(
    names: list[str],
    encoder: ImageEncoder,
    store: VectorCache | _Memory,
    root: str | Path | None,
    workers: int,
    max_pixels: int,
    progress: bool,
) -> Iterator[_Ready]:
    """Yield every name with its key, once its vector is in the store or about to be."""
    from tqdm.auto import tqdm

    encoder.width  # noqa: B018  (loads the model before the threads share it)
    batch: dict[str, torch.Tensor] = {}
    fresh: dict[str, np.ndarray] = {}

    def encode() -> None:
        if batch:
            fresh.update(zip(batch, encoder.encode_pixels(list(batch.values())), strict=True))
            batch.clear()

    def write() -> None:
        if fresh:
            store.add(list(fresh), np.stack(list(fresh.values())))
            fresh.clear()

    with tqdm(total=len(names), desc="pictures", disable=not progress, leave=False) as bar:
        window = _AHEAD * encoder.batch_size
        for ready in _read_ahead(names, encoder, store, root, workers, max_pixels, window):
            bar.update()
            if ready.pixels is not None and ready.key not in fresh and ready.key not in store:
                batch[ready.key] = ready.pixels
                if len(batch) == encoder.batch_size:
                    encode()
                if len(fresh) >= _SHARD * encoder.batch_size:
                    write()
            yield ready._replace(pixels=None)
        encode()
        write()


def _read_ahead(
    names: Iterable[str],
    encoder: ImageEncoder,
    store: VectorCache | _Memory,
    root: str | Path | None,
    workers: int,
    max_pixels: int,
    window: int,
) -> Iterator[_Ready]:
    """Prepare pictures in threads, at most `window` of them ahead of who takes them, in the order of the names."""
    waiting: deque[Future[_Ready]] = deque()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for name in names:
                waiting.append(pool.submit(_prepare, name, encoder, store, root, max_pixels))
                if len(waiting) >= window:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _prepare(
    name: str, encoder: ImageEncoder, store: VectorCache | _Memory, root: str | Path | None, max_pixels: int
) -> _Ready:
    try:
        content = _content(name, root)
        key = content_key(content or b"")
        if key in store:  # it was decoded before; its header still says what to report
            return _Ready(name, key, None, open_picture(content, name, max_pixels)[1], None)
        picture, kinds = read_picture(content, name, max_pixels)
        return _Ready(name, key, _pixels(picture, name, encoder), kinds, None)
    except BadPicture as error:
        return _Ready(name, "", None, (), error.kind)


def _pixels(picture: Image.Image, name: str, encoder: ImageEncoder) -> torch.Tensor:
    from PIL import Image

    # What a picture can cause: a catalogue of thousands does not end at one of them.
    caused = (OSError, ValueError, OverflowError, ZeroDivisionError, Image.DecompressionBombError)
    try:
        return encoder.preprocess(picture)
    except caused as error:
        raise BadPicture("corrupt", f"{name} cannot be scaled for the encoder ({error})") from None
    except MemoryError:  # this machine is out of it, and no picture to blame
        raise MemoryError(f"too little memory to scale the picture {name!r} for the encoder") from None
    except Exception as error:  # torch out of memory, a broken encoder: every picture would be "corrupt"
        error.add_note(f"This happened while the picture {name!r} was scaled for the encoder.")
        raise


def _content(name: str, root: str | Path | None) -> bytes | None:
    """A file's bytes, None where there is none; a link that leads out of `root` is refused."""
    try:
        return Path(name).read_bytes() if root is None else image_bytes(Path(root), name)
    except LinkOutside:  # the file is there: to call it missing would hide why it is not read
        raise
    except (OSError, ValueError):  # a DataError, or a name that no file can have
        return None


class _Memory:
    """What `VectorCache` does, in memory."""

    def __init__(self) -> None:
        self._vectors: dict[str, np.ndarray] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._vectors

    def add(self, keys: Sequence[str], vectors: np.ndarray) -> None:
        self._vectors.update(zip(keys, vectors, strict=True))

    def get(self, keys: Sequence[str]) -> np.ndarray:
        return np.stack([self._vectors[key] for key in keys])
