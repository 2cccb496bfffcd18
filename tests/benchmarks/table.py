"""Draw what `make bench` measured as a page: python -m tests.benchmarks.table build/bench.json README.md

Seconds and MiB are this machine's; the ratio to the first row of a table is what may be compared, since all rows of a
table are measured in one run. A table's rows are written again when they were measured again; the others stay.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks import quality
from tests.benchmarks.process import CPU

HEAD = """# Speed and memory

`make bench` measures and writes this page; `make bench ONLY=micro` measures one file's tables. Data are generated in
the sizes of published sets (`worlds.py`); every row is a process of its own. **Compare ratios, not seconds**: machines
differ and are shared, and ratios move with them: in four runs on two days "MICRO, exact" was 4.1, 2.7, 2.9 and 2.5
times as fast as the first row, "1,024 sampled negatives" 39, 21, 29 and 27 times.
MiB is the peak of the whole process, the interpreter and its libraries among it; `before a step` is what it was before
the first one: PyTorch with what its optimisers import, and the data.

RecBole and cornac (`make peers` installs them, which `make bench` asks for) are timed beside ours, on our export of the
split.
On a busy machine, `OMP_NUM_THREADS=1 MMREC_BENCH_CPU=1 make bench` measures the processor's seconds on one thread.
Quality beside theirs: `python -m tests.peer_quality bazaar`, rows in `figures/peers.csv`.

Rows called "plain", "padded" or "as first written" are this kit's own rewriting of what a released program computes,
not that program. The authors' programs do not run beside current packages; where one was timed, patched, on data of the
same size on another machine with two cores, the line below the table says so.

Changes that paid, measured before and after, one after the other, when they were made (the former code is in the
history); what rewrote a whole method ("plain" and "padded" rows) is in the tables:

| what | before | after |
|---|---|---|
| VBPR projects a batch's items, not all; an epoch at Baby's size, processor's seconds | 18.4 s | 7.4 s |
| Adam in one pass (`fused`), a step over LightGCN's tables at Baby's size | 5.9 ms | 1.1 ms |
| the same over PAMD's weights | 3.4 ms | 1.0 ms |
| the Amazon reader packs the words of .3 million reviews, peak memory | 1,470 MiB | 959 MiB |
| an L2 term of weight 0 is not computed: a step of PAMD in batches of 100 | 9.5 ms | 8.0 ms |
| where a method's tensors are is asked of the first, not of all: the same step | 8.0 ms | 7.2 ms |
| where a catalogue's sentences lie is found once, not in each step: a step of MP4SR's fine-tuning | 520 ms | 468 ms |
| idle threads spin a hundredth as long: an epoch of MICRO in four notebooks at once (SCALING.md) | 8.7 s | 1.6 s |
| ties at the cut without a sort of whole rows: the best 20 of 83 x 100,000 scores of popularity | 244 ms | 34 ms |
| co-occurrences ordered as one number each, three million of them | 1.3 s | .1 s |
"""
FURTHER = {  # columns of some tables
    "a second": "{:,.0f}", "slowest": "{:.3g}", "asked for": "{:.3g}", "recall@20": "{:.4f}",
    "recall@20, ±": "{:.4f}", "ndcg@20": "{:.4f}",
    "epochs": "{:,.0f}", "found": "{:.4f}", "before a step": "{:.0f}",
}  # fmt: skip
RELEASED = {  # group -> the program, seconds of an epoch there, our rows to hold against it and what was aimed at
    "one training epoch, Baby size": ("MICRO", 257, {"MICRO, exact": 10, "MICRO, 1,024 sampled negatives": 30}),
    "one epoch of MP4SR's pre-training, Pantry size": ("MP4SR", 357, {"MP4SR": 20}),
    "one epoch of learning to recommend, Pantry size": (
        "MP4SR",
        379,
        {"MP4SR": 20, "MP4SR, 1,024 drawn items": 20},
    ),
    "one epoch of MixGCF, Baby size": ("MixGCF", 24.2, {"MixGCF": 5}),
    "one epoch of PAMD's recommendation stage, Baby size": ("PAMD", 22.8, {"PAMD as released": 10}),
    "one epoch of PAMD's recommendation stage in batches of 100, Baby size": ("PAMD", 22.8, {"PAMD as released": 10}),
    "one epoch of PAMD's pre-training, Baby size": ("PAMD", 1.57, {"PAMD as released": None}),
}


def machine(threads: bool = True) -> str:
    """Return the sentence that says where the figures come from."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    busy = " Processor seconds on one thread: the machine was busy." if CPU else ""
    number = f"{torch.get_num_threads()} threads, " if threads else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}"
    return f"{model}, {number}{versions}.{busy}"


def tables(results: dict) -> dict[str, str]:
    """Return group -> Markdown table, in the order of measuring."""
    groups: dict[str, list[dict]] = {}
    for row in results["benchmarks"]:
        groups.setdefault(row["group"], []).append(row["extra_info"])
    return {group: _table(rows) + released(group, rows) for group, rows in groups.items()}


def released(group: str, rows: list[dict]) -> str:
    """Return the sentence on the authors' own program, empty where none was timed."""
    if group not in RELEASED:
        return ""
    name, seconds, aims = RELEASED[group]
    ours = {row["label"]: row["seconds"] for row in rows}
    aimed = {label: f" (aim: {aim})" if aim else "" for label, aim in aims.items()}
    ratios = [f"{seconds / ours[label]:.2g} times `{label}`{aimed[label]}" for label in aims if label in ours]
    return f"\n\nThe authors' {name}, on that other machine: {seconds} s an epoch; {', '.join(ratios)} here."


def _table(rows: list[dict]) -> str:
    extra = [name for name in FURTHER if any(name in row for row in rows)]
    lines = [
        f"| | {' | '.join(['seconds', 'times as fast as the first', 'MiB', *extra])} |",
        "|---" * (4 + len(extra)) + "|",
    ]
    first = rows[0]["seconds"]
    for row in rows:
        more = [FURTHER[name].format(row[name]) if name in row else "" for name in extra]
        cells = [f"{row['seconds']:.3g}", f"{first / row['seconds']:.2g}", f"{row['MiB']:.0f}", *more]
        lines.append(f"| {row['label']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(results: dict, page: Path) -> None:
    """Replace or append each measured table with its date and machine, beside first, then renamed."""
    text = page.read_text() if page.exists() else ""
    text = HEAD + text[text.index("\n## ") :] if "\n## " in text else HEAD
    for group, table in tables(results).items():
        section = f"\n## {group}\n\n{table}\n\n*{results['datetime'][:10]}, {machine()}*\n"
        old = re.compile(rf"\n## {re.escape(group)}\n.*?(?=\n## |\Z)", re.S)
        text = old.sub(lambda _, new=section: new, text) if old.search(text) else text + section
    title = re.compile(r"\n## quality beside the released programs.*?(?=\n## |\Z)", re.S)
    text = title.sub("", text) + quality.section()
    beside = page.with_suffix(".tmp")
    beside.write_text(text)
    os.replace(beside, page)


if __name__ == "__main__":
    write(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
