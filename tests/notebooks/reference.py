"""What short lessons measure, held against short.json: a learning rate that is wrong by ten is noticed.

    python -m tests.notebooks.reference notebooks/00_quick_tour.ipynb

runs lessons as the test does (seed 1, two epochs a stage) and writes their figures anew: where a change is meant to
move them, and after looking at the difference.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import nbformat
import papermill

import mmrec_lite as mm
from tests.notebooks.hygiene import unsolved
from tests.notebooks.short import evaluated, shorten

FILE = Path(__file__).with_name("short.json")
METRIC = "recall@20"
SHOP = "bazaar"
# Sums of floats differ from machine to machine, and two epochs carry that to a few of the shop's 2,000 users. With
# every learning rate ten times as large, lesson 00 has MICRO at 0.143 for 0.100, PAMD 0.015 for 0.036, MCPTR 0.063 for
# 0.116, MP4SR 0.043 for 0.092: all four are noticed, LightGCN (0.125 for 0.104) is not.
ABSOLUTE, RELATIVE = 0.003, 0.25
# Recall@20 on the shop's splits of these protocols: what is not trained, as in the README's table. Of what is trained
# for two epochs, in many variants, none may come near the oracle's .74 (lesson 05's best has .194 or, on another
# processor, .203), and a lesson's best must have learned something (chance: .008).
BOUNDED = ("ratio", "leave-one-out")
BOUNDS = {
    "random": (0.0, 0.03),
    "popularity": (0.03, 0.07),
    "item_knn": (0.05, 0.09),
    "content_knn": (0.06, 0.14),  # one modality or both
    "oracle": (0.03, 0.80),  # also told little of the truth
    "together": (0.20, 0.40),  # lesson 13's leak, which must show
}
# Lessons of one method's studies: nbval runs MICRO's, the short copy those of another.
ANOTHER = {"08_ablations": {"method": "mcptr"}, "09_sensitivity": {"method": "mcptr"}}
TRAINED, BEST = (0.0, 0.25), 0.03
MEASURES_NOTHING = {"02_features"}


def run(
    notebook: Path, folder: Path, parameters: Mapping[str, object] = MappingProxyType({}), **options: object
) -> Path:
    """Shorten a lesson, give it seed 1 and run it by papermill (options: papermill's); return what papermill wrote.

    `parameters` are the lesson's own and win over ours.
    """
    lesson, made = Path(shutil.copy(notebook, folder)), folder / f"{notebook.stem}-1.ipynb"
    shorten(lesson)
    papermill.execute_notebook(
        str(lesson),
        str(made),
        parameters={"seed": 1, "profile": "lecture"} | ANOTHER.get(notebook.stem, {}) | dict(parameters),
        kernel_name="python3",
        progress_bar=False,
        **options,
    )
    lesson.unlink()
    return made


def measure(notebook: Path, folder: Path, timeout: int) -> tuple[list[dict[str, object]], list[str]]:
    """Run a lesson with short trainings and seed 1 in an empty folder.

    Return a row an evaluation, and a sentence for each solution that the lesson itself does not call right.
    """
    (folder / "empty").mkdir()
    made = run(notebook, folder, cwd=str(folder / "empty"), execution_timeout=timeout)
    return evaluated(made), unsolved(nbformat.read(made, as_version=4))


def wrong(lesson: str, rows: list[dict[str, object]]) -> list[str]:
    """What cannot be right in the figures of a short lesson: a sentence each; empty if nothing is wrong."""
    said = [f"{row} holds a figure outside [0, 1]" for row in rows if not _between(row)]
    if bool(rows) == (lesson in MEASURES_NOTHING):
        said.append(f"{lesson} evaluates {len(rows)} times")
    held = plain(rows)
    for row in (row for row in held if row["protocol"] in BOUNDED):
        low, high = BOUNDS.get(str(row["method"]), TRAINED)
        if not low <= row[METRIC] <= high:  # type: ignore[operator]
            said.append(f"{row} has {METRIC} outside [{low}, {high}]")
    for protocol in BOUNDED:
        trained = [row[METRIC] for row in held if row["method"] not in BOUNDS and row["protocol"] == protocol]
        if trained and not max(trained) > BEST:  # type: ignore[type-var]
            said.append(f"none of {trained} is above {BEST}: nothing was learned")
    return said + differing(json.loads(FILE.read_text(encoding="utf-8")).get(lesson, {}), best(held))


def _between(row: Mapping[str, object]) -> bool:
    return all(0 <= value <= 1 for name, value in row.items() if "@" in name)  # type: ignore[operator]


def plain(rows: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The rows of the shop itself, under any protocol, with all items ranked and nothing left out."""
    shop = mm.load(SHOP).hash
    return [r for r in rows if r["plain"] and r["data"] == shop and METRIC in r]


def best(rows: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """Each method's best recall@20 under each protocol: lessons try several settings, and may try more."""
    found: dict[str, float] = {}
    for row in rows:
        name, value = f"{row['method']}, {SHOP}, {row['protocol']}", float(row[METRIC])  # type: ignore[arg-type]
        found[name] = max(found.get(name, 0.0), value)
    return dict(sorted(found.items()))


def differing(expected: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    """A sentence for each figure that is another one, or is not measured any more."""
    said = []
    for name, value in expected.items():
        if name not in found:
            said.append(f"{name} is not measured any more, it had {METRIC} {value:.4f}")
        elif abs(found[name] - value) > max(RELATIVE * value, ABSOLUTE):
            said.append(f"{name} has {METRIC} {found[name]:.4f}, expected {value:.4f}")
    return said


def main(names: list[str]) -> int:
    """Run these lessons and write their figures into short.json, beside those of the others."""
    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            figures = best(plain(measure(Path(name), Path(folder), 600)[0]))
        known[Path(name).stem] = {figure: round(value, 4) for figure, value in figures.items()}
        print(Path(name).stem, known[Path(name).stem])
        FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
