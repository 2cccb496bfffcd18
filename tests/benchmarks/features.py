"""Time encoders and readers in a process of their own; prints a line of JSON: seconds and the process's peak memory.

python -m tests.benchmarks.features texts FOLDER batches
python -m tests.benchmarks.features pictures FOLDER ahead 1
python -m tests.benchmarks.features reviews FOLDER amazon-2014 4
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mmrec_lite as mm
from mmrec_lite.experiments import peak_memory
from mmrec_lite.features import ImageEncoder, TextEncoder, encode_pictures

N_TEXTS, N_PICTURES, N_REVIEWS = 512, 500, 50_000


def texts(folder: Path, way: str, times: int = 1) -> Callable[[], object]:
    """Descriptions of the embedded shop, one call each or all in one; with a cache that holds them already.

    A larger catalogue repeats them with a number, so that no two are the same.
    """
    words = mm.load("bazaar").items["text"].tolist()[:N_TEXTS]
    words += [f"No. {copy}: {text}" for copy in range(1, times) for text in words]
    encoder = TextEncoder(device="cpu")
    encoder.encode(words[:2])
    if way == "one by one":
        return lambda: [encoder.encode([text]) for text in words]
    if way == "cached":
        encoder.cache = folder / "vectors"
        encoder.encode(words)
    return lambda: encoder.encode(words)


def pictures(folder: Path, way: str, times: int = 1) -> Callable[[], object]:
    """Photographs of 400 x 400 pixels: opened and encoded one by one, or read ahead and in batches."""
    names = picture_files(folder / "pictures", N_PICTURES * times)
    encoder = ImageEncoder("bazaar", device="cpu")
    encoder.encode(names[:2])
    if way == "one by one":
        return lambda: [encoder.encode([name]) for name in names]
    cache = folder / "picture-vectors" if way == "cached" else None
    if cache is not None:
        encode_pictures(names, encoder, cache=cache)
    return lambda: encode_pictures(names, encoder, cache=cache)


def picture_files(folder: Path, n: int) -> list[Path]:
    """Pictures of the shop enlarged, each of them different, made once."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    shop, names = mm.load("bazaar"), []
    for number in range(n):
        names.append(folder / f"{number:06d}.jpg")
        if not names[-1].exists():
            picture = shop.image(number % shop.n_items).convert("RGB").resize((400, 400))
            picture.paste(Image.new("RGB", (4, 4), (number % 256, number // 256 % 256, 9)), (0, 0))
            picture.save(names[-1], quality=85)
    return names


def reviews(folder: Path, edition: str, times: int) -> Callable[[], object]:
    """A file of reviews of 600 characters each in the format of 2014, filtered to its 5-core."""
    from mmrec_lite.data.readers import read_amazon_2014

    path = folder / f"reviews_{times}.json.gz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = random.Random(0)
        n = N_REVIEWS * times
        with gzip.open(path.with_suffix(".partial"), "wt", compresslevel=1) as file:
            for row in range(n):
                user, item = int(n * 0.1 * rng.random() ** 2), int(n * 0.05 * rng.random() ** 2)
                review = {"reviewerID": f"A{user:013d}", "asin": f"B{item:09d}", "overall": 5.0}
                review |= {"unixReviewTime": 1_300_000_000 + row, "reviewText": "word " * 120, "summary": "Good"}
                file.write(json.dumps(review) + "\n")
        path.with_suffix(".partial").replace(path)
    return lambda: read_amazon_2014(path, with_reviews=False)


def main(what: str, folder: str, way: str, times: str = "1") -> dict[str, float]:
    """Prepare, then time the thing itself."""
    job = {"texts": texts, "pictures": pictures, "reviews": reviews}[what]
    work = job(Path(folder), way, int(times))
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    many = int(times) * {"texts": N_TEXTS, "pictures": N_PICTURES, "reviews": N_REVIEWS}[what]
    return {"seconds": seconds, "a second": many / seconds, "MiB": peak_memory()}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
