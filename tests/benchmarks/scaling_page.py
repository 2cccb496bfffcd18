"""Fill the tables of notebooks/SCALING.md: python -m tests.benchmarks.scaling_page

Between `<!-- name -->` and `<!-- /name -->` stand what `scaling.json` holds and what follows from it by arithmetic; the
sentences around them are written by hand.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

from mmrec_lite.files import beside
from tests.benchmarks.scaling import RECORD, SPINS, WIDTH
from tests.benchmarks.table import RELEASED

PAGE = Path(__file__).resolve().parents[2] / "notebooks" / "SCALING.md"
GB, GiB = 1e9, 2**30
# Assumed, from a maker's data sheet of an 80 GB GPU of 2023, not measured: memory and link in bytes a second, products.
MEMORY, LINK, PRODUCTS, HELD, GPUS = 3.35e12, 450e9, 400e12, 80e9, 16
USERS, ITEMS, PAIRS = 10_000_000, 2_000_000, 100_000_000
FEATURES, NEIGHBOURS, LAYERS = (384, 512), 10, 2


def table(head: str, rows: list[list[str]]) -> str:
    """Draw a Markdown table."""
    columns = head.split("|")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *rows])


def number(x: float) -> str:
    """Three digits, with commas where there are more before the point."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


def rows(record: dict, what: str) -> list[tuple[list[str], dict]]:
    """Return the rows of one kind with the words of their keys."""
    return [(key.split(), row) for key, row in record.items() if key.split()[0] == what]


def products(record: dict) -> str:
    """Seconds of a product against what its bytes take at the copying speed."""
    row = record["bandwidth x1 t1"]
    out = []
    for name, p in row["products"].items():
        floors = [p[kind] / row["copy"] for kind in ("once", "gathered")]
        cells = [f"{f * 1e3:,.1f} ms, {p['seconds'] / f:.1f}" for f in floors]
        out.append([name, f"{p['edges']:,}", f"{p['seconds'] * 1e3:,.1f} ms", *cells])
    head = "graph|edges, both ways|product with (N, 64)|every row read once: floor, ratio|a row an edge: floor, ratio"
    return f"Copying moves {row['copy'] / GB:.1f} GB/s (read and written, one thread).\n\n" + table(head, out)


def searches(record: dict) -> str:
    """Seconds of the search for neighbours, and the growth from one size to the next."""
    out, former = [], {}
    for (_, method, n, *_), row in sorted(rows(record, "neighbours"), key=lambda r: (r[0][1], int(r[0][2]))):
        growth = f"{row['seconds'] / former[method]:.1f}" if method in former else ""
        former[method] = row["seconds"]
        out.append([method, f"{int(n):,}", number(row["seconds"]), growth, f"{row['MiB']:,.0f}"])
    return table("search|items|seconds|times the former size's|MiB", out)


def contrast(record: dict) -> str:
    """What the exact contrast must do, at the speed of each operation alone, and what it takes."""
    (_, row), *_ = rows(record, "contrast")
    each = {name: w["tiles"] * w["seconds"] for name, w in row["work"].items()}
    cells = [
        [name, f"{w['tiles']:,.0f}", f"{w['seconds'] * 1e3:.2f}", f"{each[name] * 1e3:,.0f}"]
        for name, w in row["work"].items()
    ]
    floor = sum(each.values())
    text = table("work|tiles, a step|ms each|ms together", [*cells, ["**all**", "", "", f"**{floor * 1e3:,.0f}**"]])
    times = f"{row['seconds'] * 1e3:,.0f} ms with {row['threads']} threads, {row['seconds'] / floor:.2f} times that sum"
    return f"{text}\n\nMeasured: {times}."


AIMS = {  # a stage, and where `table.py` has the authors' seconds of an epoch, and how many times as fast was aimed at
    "MICRO, exact": ("one training epoch, Baby size", "MICRO, exact"),
    "MICRO, 1,024 sampled negatives": ("one training epoch, Baby size", "MICRO, 1,024 sampled negatives"),
    "PAMD as released": ("one epoch of PAMD's recommendation stage, Baby size", "PAMD as released"),
    "MP4SR, pre-training": ("one epoch of MP4SR's pre-training, Pantry size", "MP4SR"),
    "MP4SR, fine-tuning": ("one epoch of learning to recommend, Pantry size", "MP4SR"),
    "MP4SR, fine-tuning, 1,024 drawn items": (
        "one epoch of learning to recommend, Pantry size",
        "MP4SR, 1,024 drawn items",
    ),
}


def limits(record: dict) -> str:
    """What a step of each stage must multiply and moves operation by operation, at this machine's speed of either."""
    ((_, row),) = rows(record, "limits")
    speed, copy = row["ceilings"]["products"], row["ceilings"]["copy"]
    cells, aims = [], []
    for label, work in row["stages"].items():
        products, moved, measured = work["products"] / speed, work["bytes"] / copy, work["seconds"]
        more = "products" if products > moved else "memory"
        parts = [f"{work['products'] / GB:.2f}", f"{products * 1e3:,.1f}", f"{work['bytes'] / GB:.2f}"]
        parts += [f"{moved * 1e3:,.1f}", more, f"{measured * 1e3:,.1f}", f"{measured / (products + moved):.1f}"]
        cells.append([label, *parts])
        if label in AIMS:
            group, name = AIMS[label]
            _, seconds, times = RELEASED[group]
            aim = seconds / times[name] / work["steps"]
            parts = [f"{seconds:g} s", f"{times[name]}", *(f"{s * 1e3:,.1f}" for s in (aim, products, measured))]
            aims.append([label, *parts])
    head = "a step of|products, 10^9 operations|so ms|moved, GB|so ms|limit|measured, ms|times both together"
    words = (
        f"{row['threads']} threads: {speed / GB:,.0f} * 10^9 operations a second in products of 2,048-square matrices"
    )
    aimed = (
        "a step of|the authors' epoch, that other machine|times aimed at|so ms a step|products alone, ms|measured, ms"
    )
    text = f"{words}, {copy / GB:.1f} GB/s copying.\n\n{table(head, cells)}"
    return f"{text}\n\nWhat was aimed at, against the seconds of another machine:\n\n{table(aimed, aims)}"


def catalogues(record: dict) -> str:
    """One epoch on growing catalogues, and what an item costs by the slope between the last two."""
    known = sorted(rows(record, "catalogue"), key=lambda r: int(r[0][1]))
    if not known:
        return "Not measured yet: `python -m tests.benchmarks.scaling catalogue 250000` writes a row."
    cells = [
        [f"{int(words[1]):,}", f"{row['interactions']:,}", number(row["graph"]), f"{row['steps']} of {row['of']}",
         number(row["first step"]), number(later := (row["seconds"] - row["first step"]) / (row["steps"] - 1)),
         number(row["first step"] + later * (row["of"] - 1)), f"{row['MiB']:,.0f}"]
        for words, row in known
    ]  # fmt: skip
    head = "items|interactions|raw graph, s|steps run|first step, s|each later one, s|so an epoch, s|peak MiB"
    text = table(head, cells)
    sizes = [(int(words[1]), row["MiB"]) for words, row in known]
    costs = [f"{(big - small) / (n - m) * 2**20 / 1000:.1f} kB" for (m, small), (n, big) in pairwise(sizes)]
    if costs:
        text += f"\n\nFrom one row to the next an item and its interactions cost {', then '.join(costs)}."
    return text


def softmax(record: dict) -> str:
    """Seconds a step of MP4SR's fine-tuning among all items and among drawn ones, as the catalogue grows."""
    found = {(int(words[1]), int(words[2])): row for words, row in rows(record, "softmax")}
    out = []
    for items in sorted({items for items, _ in found}):
        whole = found[items, 0]
        for drawn in sorted(drawn for n, drawn in found if n == items):
            row = found[items, drawn]
            took, epoch = f"{row['seconds']:.2f}", number(row["seconds"] * row["steps"] / 60)
            times = f"{whole['seconds'] / row['seconds']:.1f}"
            size = [f"{row['data MiB']:,.0f}", f"{row['MiB']:,.0f}"]
            out.append([f"{items:,}", f"{drawn:,}" if drawn else "all", took, times, epoch, *size])
    head = (
        "items|in the softmax: the batch's and|a step, s|times as fast|so an epoch, minutes|MiB before a step|peak MiB"
    )
    return table(head, out)


def processes(record: dict) -> str:
    """Seconds a step: one thread, two threads, two processes."""
    out = []
    for method in ("micro", "sasrec", "mp4sr"):
        found = {(words[-2], words[-1]): row for words, row in rows(record, "step") if words[1] == method}
        ways = [found.get(way) for way in (("x1", "t1"), ("x1", "t2"), ("x2", "t1"))]
        if not all(ways):
            continue
        one, _, two = ways
        cells = [f"{row['seconds'] * 1e3:,.0f}" for row in ways]
        times = f"{one['seconds'] / two['seconds']:.2f}"
        out.append([f"`{method}`", *cells, times, f"{two['summing'] * 1e3:,.0f}", f"{two['weights']:,}"])
    head = "method|one thread, ms|two threads, ms|two processes, ms|times one thread|of it summing, ms|weights"
    return table(head, out)


def notebooks(record: dict) -> str:
    """Seconds an epoch where several processes train at once, by how long an idle thread spins."""
    ((_, row),) = rows(record, "notebooks")
    out = []
    for method, ways in row["seconds"].items():
        for spins, seconds in ways.items():
            alone, *together = seconds
            cells = [f"{s:.2f} ({s / alone:.1f})" for s in together]
            out.append([f"`{method}`", f"{spins}: {int(SPINS[spins]):,} rounds", f"{alone:.2f}", *cells])
    heads = [f"{n} at once (ratio)" for n in row["at once"][1:]]
    return table("|".join(["method", "an idle thread waits", "alone, s an epoch", *heads]), out)


def large(record: dict) -> str:
    """What 100 million interactions ask of one GPU of sixteen."""
    nodes = USERS + ITEMS
    table_bytes = nodes * WIDTH * 4
    held = {
        "user and item vectors, gradient, Adam's two moments": 4 * table_bytes,
        f"vectors of {LAYERS} layers, kept for the way back": (LAYERS + 1) * table_bytes,
        "user-item graph, both ways": 2 * PAIRS * 12,
        "features in 32 bits": ITEMS * sum(FEATURES) * 4,
        "item graphs, raw and mixed, with transposes": ITEMS * NEIGHBOURS * 12 * 4 * len(FEATURES),
    }
    memory = [[name, f"{size / GiB:.1f}"] for name, size in held.items()]
    memory.append(["**together** (GPU: " + f"{HELD / GiB:.0f})", f"**{sum(held.values()) / GiB:.1f}**"])
    passes = 2 * LAYERS * (2 * PAIRS * (12 + 4 * WIDTH) + table_bytes)
    propagate, share = passes / MEMORY, 2 * (GPUS - 1) / GPUS * table_bytes
    pairs = ITEMS**2
    steps = {batch: -(-PAIRS // batch) for batch in (1024, 1_000_000)}
    times = [
        ["propagation, a step", f"{passes / GB:,.0f} GB through memory", f"{propagate:.2f} s", "no"],
        *[
            [f"the same, an epoch in batches of {b:,}", f"{n:,} steps", f"{number(n * propagate / 60)} min", "no"]
            for b, n in steps.items()
        ],
        ["summing gradients, a step", f"{share / GB:.1f} GB a GPU over its link", f"{share / LINK * 1e3:.0f} ms", ""],
        ["exact contrast, a step", f"{pairs * WIDTH * 2 * 9:.1e} operations a modality",
         f"{pairs * WIDTH * 2 * 9 / PRODUCTS:,.0f} s", "yes, tile by tile"],
        ["exact search of neighbours, once a modality", f"{pairs * FEATURES[0] * 2:.1e} operations",
         f"{pairs * FEATURES[0] * 2 / PRODUCTS:,.0f} s", "no"],
        ["ranking all items for all users", f"{USERS * ITEMS * 4 / 1e12:,.0f} TB of scores",
         f"{2 * USERS * ITEMS * 4 / MEMORY:,.0f} s", "no: process 0 alone"],
    ]  # fmt: skip
    return (
        table("held by each GPU, LightGCN with MICRO|GiB", memory)
        + "\n\n"
        + table("work|how much|at the assumed speed|shared among processes here?", times)
    )


def machines(record: dict) -> str:
    """When and where the rows were measured: a line a machine."""
    lines = []
    for machine in dict.fromkeys(row["machine"] for row in record.values()):
        measured = {key.split()[0]: row["date"] for key, row in record.items() if row["machine"] == machine}
        dates = dict.fromkeys((min(measured.values()), max(measured.values())))
        lines.append(f"*{', '.join(measured)}: {' to '.join(dates)}, {machine}*")
    return "\n\n".join(lines)


def main() -> None:
    """Write every table into its place."""
    record = json.loads(RECORD.read_text())
    text = PAGE.read_text()
    made = {
        "products": products,
        "searches": searches,
        "contrast": contrast,
        "limits": limits,
        "catalogues": catalogues,
        "softmax": softmax,
        "processes": processes,
        "notebooks": notebooks,
    }
    made = {name: make(record) for name, make in made.items()} | {"large": large(record)}
    made["machine"] = machines(record)
    for name, content in made.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not place.search(text):
            raise ValueError(f"{PAGE} has no place for {name!r}: <!-- {name} --> and <!-- /{name} -->")
        text = place.sub(lambda found, content=content: found[1] + content + "\n" + found[2], text)
    with beside(PAGE) as file:
        file.write_text(text)


if __name__ == "__main__":
    main()
