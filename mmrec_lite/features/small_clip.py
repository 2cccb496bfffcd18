"""A small open_clip model of one's own, trained from nothing on one's own pictures and captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .image import _open_clip

if TYPE_CHECKING:
    import torch
    from PIL import Image

SMALL_CLIP = {
    "embed_dim": 64,
    # a convolutional tower: a vision transformer of this size had not learnt the shapes after five times the steps
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 12, "head_width": 32},
    "text_cfg": {"context_length": 12, "width": 64, "heads": 2, "layers": 1, "hf_tokenizer_name": "words"},
}
_NORM = {"mean": [0.75, 0.7, 0.7], "std": [0.25, 0.25, 0.25]}


def train_small_clip(
    pictures: Sequence[Image.Image],
    captions: Callable[[int, np.random.Generator], str] | Sequence[str],
    folder: str | Path,
    *,
    epochs: int = 30,
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    config: dict[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Train a small open_clip model from nothing and write it to ``folder``, to be opened by ``local-dir:folder``.

    ``captions`` are texts, or a function of (picture's number, generator) that words a caption anew each time. The
    tokenizer's vocabulary is the words of the captions: with the usual table of 49,408 tokens six of seven million
    weights would stand for words never seen. Weights are stored in float16. Returns the folder.
    """
    import torch

    write = captions if callable(captions) else (lambda n, _: captions[n])
    rng = np.random.default_rng(seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = sorted({w for n in range(len(pictures)) for _ in range(3) for w in _words(write(n, rng))})
    _write_model_folder(folder, words, config or SMALL_CLIP)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, tokenizer = _new_model(folder)
        size = model.visual.image_size
        size = size if isinstance(size, tuple) else (size, size)
        pixels = _pixels(pictures, size)
        _train(model, tokenizer, pixels, write, rng, epochs, batch_size, learning_rate, progress)
    _save_weights(model, folder / "open_clip_model.safetensors")
    return folder


def _words(text: str) -> list[str]:
    import re

    return re.findall(r"[\w'-]+", text.lower())


def _write_model_folder(folder: Path, words: list[str], config: dict[str, Any]) -> None:
    """Write tokenizer and configuration; the end token has the highest number because open_clip pools there."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<unknown>", *words, "<start>", "<end>"]
    table = {name: n for n, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token=names[1]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[^\w'-]+"), "removed")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(t, table[t]) for t in ("<start>", "<end>")]
    )
    special = {"pad_token": "<pad>", "unk_token": "<unknown>", "bos_token": "<start>", "eos_token": "<end>"}  # nosec B105
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    # Version 5 of transformers writes a name that version 4 does not know; both know this one.
    file = folder / "tokenizer_config.json"
    said = json.loads(file.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    file.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    model_cfg = json.loads(json.dumps(config))
    model_cfg["text_cfg"]["vocab_size"] = len(names)
    preprocess = _NORM | {"interpolation": "bicubic", "resize_mode": "squash"}
    text = json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n", encoding="utf-8")


def _new_model(folder: Path) -> tuple[Any, Any]:
    import logging

    open_clip = _open_clip()
    name = f"local-dir:{folder}"
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it would warn that there are no weights yet
    try:
        model = open_clip.create_model(name, load_weights=False)
    finally:
        logging.disable(before)
    return model, open_clip.get_tokenizer(name)


def _pixels(pictures: Sequence[Image.Image], size: tuple[int, int]) -> torch.Tensor:
    import torch
    from PIL import Image

    stack = [np.asarray(p.convert("RGB").resize(size[::-1], Image.Resampling.BICUBIC)) for p in pictures]
    x = torch.from_numpy(np.stack(stack)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(_NORM[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    return (x - mean) / std


def _train(
    model: Any,
    tokenizer: Any,
    pixels: torch.Tensor,
    write: Callable[[int, np.random.Generator], str],
    rng: np.random.Generator,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    progress: bool,
) -> None:
    import torch
    from torch.nn.functional import cross_entropy
    from tqdm.auto import tqdm

    n = len(pixels)
    batch_size = min(batch_size, n)
    steps = max(1, epochs * (n // batch_size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    target = torch.arange(batch_size)
    model.train()
    bar = tqdm(total=steps, desc="CLIP", disable=not progress, leave=False)
    for _ in range(epochs):
        order = rng.permutation(n)
        for lo in range(0, n - batch_size + 1, batch_size):
            rows = order[lo : lo + batch_size]
            tokens = tokenizer([write(int(row), rng) for row in rows])
            image = model.encode_image(_jitter(pixels[rows], rng), normalize=True)
            logits = model.logit_scale.exp() * image @ model.encode_text(tokens, normalize=True).T
            loss = (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, np.log(100))
            bar.update()
            bar.set_postfix(loss=f"{loss.item():.3f}")
    bar.close()
    model.eval()


def _jitter(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Move the batch by up to two pixels, so that few pictures do for a model that knows nothing of place."""
    import torch

    dx, dy = rng.integers(-2, 3, 2)
    return torch.roll(pixels, (int(dy), int(dx)), (2, 3))


def _save_weights(model: Any, path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    state = {}
    for name, value in model.state_dict().items():
        state[name] = value.to(torch.float16 if value.is_floating_point() else value.dtype).contiguous()
    partial = path.with_suffix(".partial")
    save_file(state, partial)
    partial.replace(path)
    path.chmod(0o644)  # safetensors leaves it readable to its owner alone
