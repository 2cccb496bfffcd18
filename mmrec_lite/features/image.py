"""Pictures to vectors by an open_clip model with its own preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmrec_lite.data.storage import PICTURE_FORMATS

from .cache import folder_fingerprint, model_fingerprint
from .device import choose_device
from .pictures import as_seen
from .text import offline_hint

if TYPE_CHECKING:
    import torch
    from PIL import Image

    Picture = Image.Image | str | Path | None


def _open_clip() -> Any:
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision from another place than torch
        raise ImportError(
            f"encoding pictures needs open_clip and a torchvision that fits torch ({error}): "
            "pip install 'mmrec_lite[features]'"
        ) from error
    return open_clip


class ImageEncoder:
    """An open_clip model, used with the preprocessing it was trained with.

    ``model`` is ``"local-dir:/path"`` (a folder with open_clip_config.json and weights), ``"bazaar"`` (the small
    model that ships with the embedded shop), or an open_clip name such as "ViT-B-32" together with ``pretrained``, a
    tag of that name or the path of a checkpoint. ``device`` is "auto" (Lightning Fabric's choice), "cpu", "cuda", ...
    Nothing is loaded before the first use. For files of unknown origin use `encode_pictures`, which reports the bad
    ones and keeps what it encoded. Raises ImportError naming the extra if open_clip is missing, ValueError if the
    weights are not found, or named where the model has its own.
    """

    def __init__(
        self,
        model: str = "ViT-B-32",
        pretrained: str | Path | None = None,
        *,
        device: str | None = "auto",
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        whole = ":" in model or model == "bazaar"  # weights and all
        if not whole and pretrained is None:
            raise ValueError(
                f"'{model}' without weights would give random vectors: name `pretrained`, a tag or a checkpoint."
            )
        if whole and pretrained is not None:  # open_clip would ignore it
            raise ValueError(
                f"'{model}' has weights of its own: leave out `pretrained` ('{pretrained}'), which goes with a model's "
                f"name such as 'ViT-B-32'."
            )
        self.model = model
        self.pretrained = None if pretrained is None else str(pretrained)
        self.device = device
        self.batch_size = batch_size
        self._loaded: tuple[Any, Any, Any] | None = None

    def encode(self, pictures: Iterable[Picture], *, progress: bool = False) -> np.ndarray:
        """Unit vectors of the pictures, (N, d) float32; a zero row where a picture is None.

        ``pictures`` are PIL images or paths. They are opened batch by batch, so a generator will do.
        """
        from tqdm.auto import tqdm

        model, preprocess, _ = self._load()
        rows: list[np.ndarray] = []
        for batch in tqdm(_batches(pictures, self.batch_size), desc="pictures", disable=not progress, leave=False):
            there = [n for n, picture in enumerate(batch) if picture is not None]
            out = np.zeros((len(batch), self._width(model)), dtype=np.float32)
            if there:
                out[there] = self.encode_pixels([preprocess(_opened(batch[n])) for n in there])
            rows.append(out)
        return np.concatenate(rows) if rows else np.zeros((0, self._width(model)), dtype=np.float32)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of what decides a picture's vector: the files of a local model, else weights and preprocessing."""
        name = self._name()
        if name.startswith("local-dir:"):
            self._load()  # refuses a folder that is no model
            return folder_fingerprint(name.removeprefix("local-dir:"))
        model, preprocess, _ = self._load()
        return model_fingerprint(model.state_dict().items(), preprocess)

    @property
    def width(self) -> int:
        """The length of a picture's vector."""
        return self._width(self._load()[0])

    def preprocess(self, picture: Image.Image) -> torch.Tensor:
        """A picture as the model's input, (3, H, W) float32."""
        return self._load()[1](picture)

    def encode_pixels(self, pixels: Sequence[torch.Tensor]) -> np.ndarray:
        """Unit vectors (N, d) float32 of preprocessed pictures, as one batch."""
        import torch

        model = self._load()[0]
        with torch.inference_mode():
            batch = torch.stack(list(pixels)).to(choose_device(self.device))
            return model.encode_image(batch, normalize=True).float().cpu().numpy()

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors of texts in the space of the pictures, (N, d) float32."""
        import torch

        model, _, tokenizer = self._load()
        device = choose_device(self.device)
        rows = []
        with torch.inference_mode():
            for batch in _batches(texts, self.batch_size):
                tokens = tokenizer(batch).to(device)
                rows.append(model.encode_text(tokens, normalize=True).float().cpu().numpy())
        return np.concatenate(rows) if rows else np.zeros((0, self._width(model)), dtype=np.float32)

    def knows(self, words: Sequence[str]) -> np.ndarray:
        """(N,) bool: False for words the tokenizer can only call unknown (a byte-pair tokenizer knows all)."""
        inner = getattr(self._load()[2], "tokenizer", None)
        unknown = getattr(inner, "unk_token_id", None)
        if unknown is None:
            return np.ones(len(words), dtype=bool)
        return np.array([unknown not in inner(word).input_ids for word in words], dtype=bool)

    @staticmethod
    def _width(model: Any) -> int:
        return int(model.visual.output_dim)

    def _name(self) -> str:
        if self.model != "bazaar":
            return self.model
        from mmrec_lite.data.bazaar import CLIP_FOLDER

        return f"local-dir:{CLIP_FOLDER}"

    def _load(self) -> tuple[Any, Any, Any]:
        if self._loaded is None:
            open_clip = _open_clip()
            name = self._name()
            try:
                model, _, preprocess = open_clip.create_model_and_transforms(
                    name, pretrained=self.pretrained, device=choose_device(self.device)
                )
                tokenizer = open_clip.get_tokenizer(name)
            except (RuntimeError, OSError, ValueError) as error:
                raise ValueError(
                    f"the picture model '{self.model}' (pretrained={self.pretrained!r}) could not be "
                    f"loaded{offline_hint(error)}: {error}"
                ) from error
            self._loaded = (model.eval(), preprocess, tokenizer)
        return self._loaded


def _batches(things: Iterable[Any], size: int) -> Iterable[list[Any]]:
    batch: list[Any] = []
    for thing in things:
        batch.append(thing)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _opened(picture: Any) -> Image.Image:
    from PIL import Image

    if isinstance(picture, str | Path):
        with Image.open(picture, formats=PICTURE_FORMATS) as image:
            return as_seen(image)
    return as_seen(picture)
