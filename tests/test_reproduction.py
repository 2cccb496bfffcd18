"""The page of reproductions is what the committed rows say, and has a line for every table and figure."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmrec_lite.experiments import STUDIES, judge, measured, published
from mmrec_lite.experiments.studying import OPEN
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


def test_a_course_takes_the_place_of_its_own_set(tmp_path, monkeypatch):
    file = tmp_path / "course.csv"
    monkeypatch.setitem(reproduction.COURSES, "X", reproduction.Course(file, None, ()))
    for data, loss in (("bazaar", 1.0), ("films", 2.0), ("bazaar", 3.0)):
        reproduction.keep_course("X", pd.DataFrame({"data": [data], "loss": [loss]}))
    assert pd.read_csv(file).to_numpy().tolist() == [["bazaar", 3.0], ["films", 2.0]]
    other = {"X": pd.DataFrame({"data": ["bazaar"], "loss": [9.0]})}
    say = lambda rows: f"loss {rows['loss'].iloc[0]:g}"  # noqa: E731
    assert reproduction._drawn("A", "X", say, {}, "!") == {"A": "loss 3!", "A real": "films: loss 2"}
    assert reproduction._drawn("A", "X", say, other) == {"A": "loss 9", "A real": "films: loss 2"}


def test_courses_in_words():
    rows = [(n, s, start, e, 8.0 - e, 7.0 - e / 10 - gap * (start == "pre-trained"))
            for n, gap in ((1, 0.5), (3, 0.1)) for s in range(3) for start in ("pre-trained", "random start")
            for e in (1, 2)]  # fmt: skip
    curves = pd.DataFrame(rows, columns=["layers", "seed", "start", "epoch", "train", "test"])
    curves["test"] += 1e-3 * curves["seed"] * (curves["start"] == "pre-trained") / curves["layers"]
    said = reproduction._curves(curves)
    assert "1 layer: **agrees** (6.301 against 6.800 nats at training losses 6.00-6.00, p < 0.001)" in said
    assert "more so with 3 layers than with 1: **reversed** (-0.399 nats, p < 0.001). *3 seeds" in said
    assert "**not told apart** (6.300 against 6.800" in reproduction._curves(curves[curves["seed"] == 0])
    falls = {"PAMD": [4.0, 0.0, 0.0, 0.0], "PAMD-CON": [4.0, 3.0, 2.0, 0.0]}
    rows = [(s, k, e + 1, loss, 0.5) for s in range(2) for k, run in falls.items() for e, loss in enumerate(run)]
    rows = pd.DataFrame(rows, columns=["seed", "label", "epoch", "loss", "seconds"])
    rows.loc[(rows["seed"] == 1) & (rows["label"] == "PAMD") & (rows["epoch"] == 2), "loss"] = 0.3
    said = reproduction._converged(rows)
    assert said.startswith("**not told apart**: after 2.5 epochs instead of 4.0 (p = 0.205); 38 % less epochs, 38 % ")
    assert "(one seed)" in reproduction._converged(rows[rows["seed"] == 0])


def test_pairs_that_were_told_apart_are_named():
    study = STUDIES["MICRO Table 6"]
    values = {"Visual": (0.3, 0.4), "Textual": (0.302, 0.401), "Both": (0.5, 0.6)}
    rows = pd.DataFrame([{"label": k, "seed": s, "value": v[s]} for k, v in values.items() for s in (0, 1)])
    assert reproduction._verdicts(study, rows) == (
        "agrees: Both > Visual (+0.200), Both > Textual (+0.199); 1 of 3 pairs not told apart"
    )


def test_a_pair_that_its_own_test_does_not_tell_apart_is_marked():
    """One label that jumps about is hidden by steady ones: the pooled spread is small, the pair's own is not."""
    rng = np.random.default_rng(0)
    steady = {"Textual": 0.3 + rng.normal(0, 1e-4, 5), "Both": 0.31 + rng.normal(0, 1e-4, 5)}
    values = {"Visual": 0.3 + np.array([0.012, -0.012, 0.011, -0.011, 0.0])} | steady
    values |= {f"steady {n}": 0.3 + rng.normal(0, 1e-4, 5) for n in range(12)}
    rows = pd.DataFrame([{"label": k, "seed": s, "value": v[s]} for k, v in values.items() for s in range(5)])
    study = STUDIES["MICRO Table 6"]
    table = reproduction._tested(study, rows).set_index(["better", "worse"])
    assert table.loc[("Both", "Visual"), "p"] == pytest.approx(stats.ttest_rel(values["Both"], values["Visual"]).pvalue)
    assert table.loc[("Both", "Visual"), "p"] > 0.05 and "Both > Visual† (+0.010)" in reproduction._verdicts(
        study, rows
    )
    assert "Both > Textual (+0.010)" in reproduction._verdicts(study, rows)
    assert "Both over Visual: **agrees**† (" in reproduction._found(study, rows)


def test_how_much_luck_is_in_the_verdicts():
    """Counted here in another way: each p from SciPy, Benjamini and Hochberg's and Holm's rules by hand."""
    rows, found, told = measured(), [], []
    for study in STUDIES.values():
        wide = rows[rows["study"] == study.name].pivot_table(index="seed", columns="label", values="value").dropna()
        verdicts = judge(study, rows)["verdict"].tolist()
        for (better, worse), verdict in zip(study.claims, verdicts, strict=False):
            if better in wide and worse in wide:
                found.append(stats.ttest_rel(wide[better], wide[worse]).pvalue)
                told.append(verdict != OPEN)
    order, n, told = np.argsort(found), len(found), np.array(told)
    p = np.array(found)[order]
    below = np.flatnonzero(p <= 0.05 * np.arange(1, n + 1) / n)
    kept = order[: below.max() + 1]
    holm = int(np.argmax(p > 0.05 / (n - np.arange(n))))
    said = reproduction._luck(rows)
    assert said.startswith(f"{n} pairs of the shop's are judged") and f" {told.sum()} are; " in said
    assert f"and {(told & (np.array(found) >= 0.05)).sum()} of these pairs, marked †" in said
    assert f"for all pairs {told[kept].sum()} remain (after Holm's, against any single error, {holm})" in said


def test_what_is_not_run_is_named():
    assert reproduction._absent(STUDIES["MICRO Table 4"]) == "*Not here: SGL, MMGCN, GRCN.*"
    assert reproduction._absent(STUDIES["MP4SR Table 4"]) == reproduction._absent(STUDIES["MP4SR Fig. 5"]) == ""
    assert reproduction._absent(STUDIES["MICRO Fig. 3"]) == "*Not here: GRCN.*"
    left_out = "of the paper's values not 30, 50 (the shop has fifteen words a picture).*"
    assert reproduction._axis(STUDIES["MP4SR Fig. 5"]) == f"*Run: 2, 5, 10, 15 (2 added); {left_out}"
    assert reproduction._axis(STUDIES["MCPTR Fig. 4"]).endswith("all of the paper's values.*")
    assert "does not list" in reproduction._axis(STUDIES["PAMD Fig. 3a"]) and not reproduction._axis(
        STUDIES["PAMD Table 3"]
    )


def test_a_method_on_a_real_set_stands_beside_the_best_other():
    def rows(method, tried, *values):
        return [{"method": method, "tried": tried, "seed": n, "recall@20": v} for n, v in enumerate(values)]

    table = pd.DataFrame(rows("pamd", 3, 0.1, 0.2) + rows("lightgcn", 4, 0.1, 0.1) + rows("sasrec", 1, 0.3, 0.3))
    told = reproduction._against_best("films", "pamd", table)
    assert told.startswith(
        "films, recall@20: pamd 0.150 (tuned, 2 seeds), best other sasrec 0.300 (one setting, 2 seeds)"
    )
    assert told.endswith("-0.150, noise 0.635: not told apart")  # t = 12.7, paired differences 0.2 and 0.1
    one = table.drop(table.index[-1])
    assert reproduction._against_best("films", "pamd", one).endswith("-0.150, no noise to compare with")
    assert "sasrec 0.300 (one setting, 1 seed)" in reproduction._against_best("films", "pamd", one)
    assert reproduction._against_best("films", "micro", table) == ""


def test_the_page_says_which_seeds_are_whose():
    seeds = {"a": (0, 1), "b": (0, 1, 2, 3, 4), "c": (0, 1), "d": (0, 1, 2, 3, 4), "e": (0, 1)}
    rows = pd.DataFrame([{"study": name, "seed": s} for name, own in seeds.items() for s in own])
    assert reproduction._seeds(rows) == "Seeds 0 and 1 in most; 0 to 4 in b, d"
    assert reproduction._seeds(rows[rows["study"] == "b"]) == "Seeds 0 to 4"
    found = measured().groupby("study")["seed"].agg(lambda s: tuple(sorted(set(s))))
    assert set(found) == {reproduction.SEEDS}  # or the commands of the page would not measure its rows


def test_percentages_stand_beside_the_papers():
    rows = [{"label": "common", "seed": s, "value": v} for s, v in enumerate((1.0, 2.0))]
    rows = pd.DataFrame(rows + [r | {"label": "specific", "value": 100 - r["value"]} for r in rows])
    study = STUDIES["PAMD Table 6"]
    assert reproduction._values(study, rows) == "1.5 % common (paper 46–48 %), 98.5 % specific (paper 52–54 %)"
    assert reproduction._verdicts(study, rows).startswith("agrees: specific > common (+97.0 points); 1.5 % common")


def test_claims_about_gains_are_judged_by_their_own_noise():
    table = reproduction._claims(measured()).splitlines()
    assert not any("not measured" in line for line in table[2:])
    (cold,) = [line for line in table if "*most* on cold items" in line]
    rows = measured("MICRO Table 4").pivot(index="seed", columns="label", values=["recall@20 rare", "recall@20"])
    gap = rows["recall@20 rare"].eval("MICRO - LightGCN") - rows["recall@20"].eval("MICRO - LightGCN")
    assert f"({gap.mean():+.4f}, noise {stats.t.ppf(0.975, len(gap) - 1) * gap.sem():.4f})" in cold
    assert "(PAMD Table 2) | yes" in table[-1] or "(PAMD Table 2) | no" in table[-1]
    assert all(line.count("|") == 7 for line in table)
    assert "amazon_giftcards: " in next(line for line in table if line.startswith("| two modalities"))


def test_rankings_are_held_against_each_other_where_both_tell_apart():
    """A and B part in both rankings, the other way round; C is next to A in the one and next to B in the other."""
    sampled = {"A": 0.30, "B": 0.20, "C": 0.30}
    full = {"A": 0.10, "B": 0.15, "C": 0.15}
    chance = {0: 0.001, 1: -0.001, 2: 0.0}
    rows = [
        ("PAMD Table 2", label, seed, sampled[label] + chance[(seed + n) % 3], full[label] + chance[(seed + n) % 3])
        for n, label in enumerate("ABC")
        for seed in range(3)
    ]
    table = pd.DataFrame(rows, columns=["study", "label", "seed", "value", "recall@10 full"])
    assert reproduction._rankings(table).startswith("no: 0 of the 1 pairs that both tell apart (of 3)")
    table.loc[table["label"] == "A", "recall@10 full"] += 0.1
    assert reproduction._rankings(table).startswith("yes: 1 of the 1 pairs")
