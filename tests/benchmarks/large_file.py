"""Read a very large review file: python -m tests.benchmarks.large_file MILLIONS [FOLDER] [--words]

Writes so many million made-up reviews in Amazon 2014's format, packed (a million are about 0.8 GB unpacked), lets
`mmrec data prepare amazon-2014` read them in a process of its own, without their words but with `--words`, and prints
a line of JSON: the sizes, the processor's seconds and the peak memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path


def write(file: Path, n: int) -> int:
    """Write n reviews, customers and products with a long tail; return their bytes before packing."""
    rng, size = random.Random(0), 0
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(2000)]
    texts = [" ".join(rng.choices(words, k=95)) for _ in range(500)]
    with gzip.open(file, "wt", compresslevel=1) as out:
        for row in range(n):
            review = {
                "reviewerID": f"A{int(n * 0.1 * rng.random() ** 2):013d}",
                "asin": f"B{int(n * 0.05 * rng.random() ** 2):09d}",
                "overall": 1.0 + row % 5,
                "unixReviewTime": 1_300_000_000 + row,
                "reviewText": rng.choice(texts),
                "summary": "Good",
            }
            line = json.dumps(review) + "\n"
            size += len(line)
            out.write(line)
    return size


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("millions", type=float)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--words", action="store_true", help="read what was written, too")
    args = parser.parse_args()
    n = int(args.millions * 1e6)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        file = Path(folder) / "reviews.json.gz"
        size = write(file, n)
        command = ["data", "prepare", "amazon-2014", "--reviews", str(file), *(() if args.words else ("--no-reviews",))]
        subprocess.run([sys.executable, "-m", "mmrec_lite.cli", *command, "--out", f"{folder}/out"], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    row = {"reviews": n, "GB": round(size / 1e9, 2), "processor seconds": round(used.ru_utime + used.ru_stime, 1)}
    print(json.dumps(row | {"MiB": round(used.ru_maxrss / 2**10)}))


if __name__ == "__main__":
    main()
