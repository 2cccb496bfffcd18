"""The page of reproductions is what the committed rows say, and has a line for every table and figure."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from mmrec_lite.experiments import STUDIES, measured, published
from tests import reproduction


def test_the_page_is_drawn_from_the_committed_rows():
    assert reproduction.PAGE.read_text(encoding="utf-8") == reproduction.page(), (
        "run `python -m tests.reproduction --draw-only`"
    )


def test_every_table_and_figure_has_a_line():
    text = reproduction.PAGE.read_text(encoding="utf-8")
    papers = {part.split("\n", 1)[0]: part for part in text.split("\n## ")[1:]}
    for study in STUDIES.values():
        assert f"| {study.artefact}: {study.title} |" in papers[study.paper]
    for paper, table in published()[["paper", "table"]].drop_duplicates().to_numpy():
        assert f"| {table}: " in papers[paper], (paper, table)
    figures = {"MICRO": (3, 4, 5), "PAMD": ("3a", "3b", "3c"), "MCPTR": (3, 4), "MP4SR": (3, 4, 5, 6, 7, 8)}
    for paper, numbers in figures.items():
        assert all(re.search(rf"\| Fig. {n}\b", papers[paper]) for n in numbers), paper


def test_the_rows_are_of_known_cells():
    rows = measured()
    assert len(rows) and set(rows["data"]) == {"bazaar"}
    assert not rows.duplicated(["study", "label", "seed"]).any() and rows["value"].notna().all()
    for name, part in rows.groupby("study"):
        assert set(part["label"]) <= set(STUDIES[name].recipes) and set(part["metric"]) == {STUDIES[name].metric}
    with pytest.raises(ValueError, match="'MICRO Table 9' was not measured"):
        measured("MICRO Table 9")


def test_new_rows_take_the_place_of_old_ones(tmp_path, monkeypatch):
    file = tmp_path / "measured.csv"
    monkeypatch.setattr(reproduction, "MEASURED", file)
    row = {"label": "1", "seed": 0, "metric": "m", "value": 0.5, "data": "bazaar"}
    reproduction.keep(pd.DataFrame([{"study": "PAMD Table 3"} | row, {"study": "MICRO Table 4"} | row]))
    reproduction.keep(pd.DataFrame([{"study": "PAMD Table 3"} | row | {"value": 0.1, "data": "a real set"}]))
    reproduction.keep(pd.DataFrame([{"study": "PAMD Table 3"} | row | {"value": 0.25}]))
    kept = pd.read_csv(file)[["data", "study", "value"]].to_numpy().tolist()
    assert kept[0] == ["a real set", "PAMD Table 3", 0.1]
    assert kept[1:] == [["bazaar", "MICRO Table 4", 0.5], ["bazaar", "PAMD Table 3", 0.25]]


def test_pairs_that_were_told_apart_are_named():
    study = STUDIES["MICRO Table 6"]
    values = {"Visual": (0.3, 0.4), "Textual": (0.302, 0.401), "Both": (0.5, 0.6)}
    rows = pd.DataFrame([{"label": k, "seed": s, "value": v[s]} for k, v in values.items() for s in (0, 1)])
    assert reproduction._verdicts(study, rows) == (
        "agrees: Both > Visual (+0.200), Both > Textual (+0.199); 1 of 3 pairs not told apart"
    )
