"""Bazaar from a seed: world, texts, pictures, CLIP model, vectors, keywords, and the folder that holds it all."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from mmrec_lite.data.bazaar import pictures, texts
from mmrec_lite.data.bazaar.world import Settings, World, make_world
from mmrec_lite.data.dataset import DataError, IndexedVectors, MultimodalDataset

RECIPE = 1  # raise it when any step makes something else than before, so that no old artefact is taken for a new one
DRAWN = ("category", "shape", "theme", "hue", "pattern", "tone")  # what the pictures get to know of an item


def build(
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
    *,
    users: int = 2000,
    items: int = 2500,
    interactions: int = 14_000,
    clip_epochs: int = 50,
    text_model: str = "offline",
    overwrite: bool = False,
) -> Path:
    """Make the shop and save it to the folder ``out`` (default ``bazaar-<seed>`` here), to be read by ``mm.load``.

    Each step writes its artefact into a work folder beside ``out`` and renames it when it is whole: an interrupted
    build goes on where it stopped, and a finished one is not made again. The trained CLIP model lies in ``out/clip``.
    Needs the extras ``features`` and ``offline``. Returns the folder. DataError if ``out`` holds something else.
    """
    settings = Settings(users=users, items=items, interactions=interactions)
    out = Path(f"bazaar-{seed}" if out is None else out).absolute()
    recipe = {"recipe": RECIPE, "seed": seed, "clip_epochs": clip_epochs, "text_model": text_model}
    recipe["settings"] = asdict(settings)
    if _holds(out, recipe):
        return out
    if out.exists() and any(out.iterdir()):
        if not (out / "dataset.json").is_file():
            raise DataError(f"{out} holds files and no data set, so it is not overwritten: choose another folder.")
        if not overwrite:
            raise DataError(f"{out} holds another data set: choose another folder or pass overwrite=True.")
    mark = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]
    work = out.with_name(f".{out.name}.{mark}.build")
    work.mkdir(parents=True, exist_ok=True)
    job = _Job(work, recipe, settings, progress)
    bar = tqdm(STEPS, desc="Bazaar", disable=not progress)
    for step in bar:
        bar.set_postfix_str(step.name)
        job.do(step)
    if out.exists():
        shutil.rmtree(out)
    (work / "shop").rename(out)
    shutil.rmtree(work)
    return out


def _holds(out: Path, recipe: dict[str, Any]) -> bool:
    index = out / "dataset.json"
    return index.is_file() and json.loads(index.read_text(encoding="utf-8")).get("card", {}).get("recipe") == recipe


@dataclass(frozen=True)
class Step:
    """One artefact: ``make(job, path)`` writes a file or folder to ``path``."""

    name: str
    artefact: str
    make: Callable[[_Job, Path], None]


class _Job:
    """A build under way: what the steps share, each thing made or read when first asked for."""

    def __init__(self, work: Path, recipe: dict[str, Any], settings: Settings, progress: bool) -> None:
        self.work = work
        self.recipe = recipe
        self.settings = settings
        self.progress = progress

    def do(self, step: Step) -> None:
        """Make the artefact unless it is there; a partial one is thrown away."""
        done = self.work / step.artefact
        if done.exists():
            return
        partial = self.work / f"partial-{step.artefact}"
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)
        step.make(self, partial)
        partial.rename(done)

    @cached_property
    def world(self) -> World:
        return make_world(self.recipe["seed"], self.settings)

    @cached_property
    def texts(self) -> texts.Texts:
        raw = json.loads((self.work / "texts.json").read_text(encoding="utf-8"))
        return texts.Texts(**raw)

    @cached_property
    def text_encoder(self) -> Any:
        # Imported here: the package's rooms look down the list data, features; only this build looks up.
        from mmrec_lite.features.text import TextEncoder

        return TextEncoder(self.recipe["text_model"])

    @cached_property
    def image_encoder(self) -> Any:
        from mmrec_lite.features.image import ImageEncoder

        return ImageEncoder(f"local-dir:{self.work / 'clip'}", batch_size=256)

    def images(self) -> list[Any]:
        from PIL import Image

        with zipfile.ZipFile(self.work / "images.zip") as archive:
            opened = (Image.open(archive.open(image_name(i))) for i in range(self.settings.items))
            return [image.convert("RGB") for image in opened]

    def array(self, name: str) -> np.ndarray:
        return np.load(self.work / name, allow_pickle=False)


def image_name(item: int) -> str:
    """The picture's name in the archive."""
    return f"{item:05d}.webp"


# ---------------------------------------------------------------- the steps, in order


def _texts(job: _Job, path: Path) -> None:
    path.write_text(json.dumps(asdict(texts.write_texts(job.world)), ensure_ascii=False), encoding="utf-8")


def _pictures(job: _Job, path: Path) -> None:
    world = job.world
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i in tqdm(range(job.settings.items), desc="pictures", disable=not job.progress, leave=False):
            drawn = {name: int(world.attributes[name][i]) for name in DRAWN}
            image = pictures.draw_item(drawn, [world.seed, 200, i])
            # A fixed date makes the archive the same whenever it is written.
            archive.writestr(zipfile.ZipInfo(image_name(i)), pictures.encode(image))


def _clip(job: _Job, path: Path) -> None:
    from mmrec_lite.features.small_clip import train_small_clip

    train_small_clip(
        job.images(),
        lambda i, rng: texts.caption(job.world, i, rng),
        path,
        epochs=job.recipe["clip_epochs"],
        seed=job.recipe["seed"],
        progress=job.progress,
    )


def _image_vectors(job: _Job, path: Path) -> None:
    _save(path, job.image_encoder.encode(job.images(), progress=job.progress))


def _keywords(job: _Job, path: Path) -> None:
    from mmrec_lite.features.keywords import image_to_words

    words = image_to_words(job.array("image.npy").astype(np.float32), job.image_encoder, texts.caption_vocabulary())
    path.write_text(json.dumps([" ".join(row) for row in words]), encoding="utf-8")


def _text_vectors(job: _Job, path: Path) -> None:
    whole = [" ".join(sentences) for sentences in job.texts.items]
    _save(path, job.text_encoder.encode(whole, progress=job.progress))


def _sequences(job: _Job, path: Path) -> None:
    from mmrec_lite.features.text import encode_sentences

    path.mkdir()
    keywords = json.loads((job.work / "keywords.json").read_text(encoding="utf-8"))
    sources = {
        "sentences": (job.texts.items, "items"),
        "keywords": ([[words] for words in keywords], "items"),
        "reviews": (job.texts.reviews, "interactions"),
    }
    for name, (lists, rows) in sources.items():
        vectors, wording = encode_sentences(lists, job.text_encoder, rows=rows, progress=job.progress)
        _save(path / f"{name}.vectors.npy", vectors.vectors)
        np.save(path / f"{name}.index.npy", vectors.index, allow_pickle=False)
        (path / f"{name}.json").write_text(json.dumps(wording), encoding="utf-8")


def _shop(job: _Job, path: Path) -> None:
    _assemble(job).save(path)
    shutil.copytree(job.work / "clip", path / "clip")


STEPS = (
    Step("texts", "texts.json", _texts),
    Step("pictures", "images.zip", _pictures),
    Step("CLIP model", "clip", _clip),
    Step("picture vectors", "image.npy", _image_vectors),
    Step("keywords", "keywords.json", _keywords),
    Step("text vectors", "text.npy", _text_vectors),
    Step("sentence vectors", "sequences", _sequences),
    Step("data set", "shop", _shop),
)


def _save(path: Path, vectors: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save would add .npy to the partial file's name
        np.save(file, vectors.astype(np.float16), allow_pickle=False)


def _assemble(job: _Job) -> MultimodalDataset:
    world, words = job.world, job.texts
    folder = job.work / "sequences"
    keywords = json.loads((job.work / "keywords.json").read_text(encoding="utf-8"))
    rows = {"sentences": "items", "keywords": "items", "reviews": "interactions"}
    numbers = range(job.settings.items)
    return MultimodalDataset(
        name="bazaar" if job.recipe["seed"] == 0 else f"bazaar-{job.recipe['seed']}",
        users=pd.DataFrame({"user_id": [f"U{n:05d}" for n in range(job.settings.users)]}),
        items=pd.DataFrame(
            {
                "item_id": [f"B{n:05d}" for n in numbers],
                "title": words.titles,
                "text": [" ".join(sentences) for sentences in words.items],
                "image": [image_name(n) for n in numbers],
                "category": [texts.v.CATEGORIES[c] for c in world.attributes["category"]],
                "keywords": keywords,
            }
        ),
        interactions=pd.DataFrame(
            {
                "user": world.user,
                "item": world.item,
                "timestamp": world.timestamp,
                "rating": world.rating,
                "review": [" ".join(sentences) for sentences in words.reviews],
            }
        ),
        features={"image": job.array("image.npy"), "text": job.array("text.npy")},
        sequences={
            name: IndexedVectors(
                np.load(folder / f"{name}.vectors.npy", allow_pickle=False),
                np.load(folder / f"{name}.index.npy", allow_pickle=False),
                rows=kind,
            )
            for name, kind in rows.items()
        },
        texts={name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in rows},
        truth=world.truth,
        card=_card(job),
        image_root=job.work / "images.zip",
    )


def _card(job: _Job) -> dict[str, Any]:
    return {
        "title": "Bazaar, the embedded shop",
        "licence": "MIT, with mmrec_lite",
        "source": "planted: drawn, written and simulated from a seed; no person and no product is real",
        "recipe": job.recipe,
        "groups": {
            "common": "category, shape, theme: drawn and told",
            "image_only": "hue, pattern, tone: drawn, never told in an item's text (buyers' reviews may say them)",
            "text_only": "material, brand, use, quality: told, never drawn",
        },
        "features": {
            "image": "small open_clip model, trained on these pictures with captions that no table holds (clip/)",
            "text": "all-MiniLM-L6-v2 of the whole description",
        },
    }
