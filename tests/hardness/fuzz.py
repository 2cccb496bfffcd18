"""`make fuzz`: atheris changes one file of a source at a time, guided by which branches of the readers it reaches.

    python -m tests.hardness.fuzz movielens -max_total_time=60

The names are those of `formats.FORMATS`, the ten sources, and of `kept.NAMES`: own tables, a saved data set's, a
checkpoint.

Needs atheris (for Python 3.11 on Linux there is a wheel), in an environment of its own. Stops at the first broken
promise and leaves the bytes in `crash-*`; libFuzzer's options go through.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["mmrec_lite.data"]):
    from tests.hardness import kept
    from tests.hardness.formats import FORMATS, held


def main() -> None:
    """Fuzz the format named first: byte 0 of an input chooses the file, the rest is its content."""
    name = sys.argv.pop(1)
    valid = FORMATS[name].files if name in FORMATS else kept.kept(name).files
    files = list(valid)

    def one(data: bytes) -> None:
        if data:
            changed = {files[data[0] % len(files)]: data[1:]}
            held(FORMATS[name], changed) if name in FORMATS else kept.held(name, changed)

    def change(data: bytes, most: int, seed: int) -> bytes:
        """Begin with the valid file, or libFuzzer would have to invent JSON first."""
        if len(data) < 2:
            data = bytes([seed % len(files)]) + valid[files[seed % len(files)]]
        return atheris.Mutate(data, most)

    atheris.Setup([sys.argv[0], "-max_len=4000", "-rss_limit_mb=4096", *sys.argv[1:]], one, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
