"""Means, intervals, Holm's correction and files, against SciPy and numbers worked out by hand."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmrec_lite.experiments import export, mean_and_sd, printed, summarise, versus
from mmrec_lite.experiments.tables import render


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    base = rng.normal(0.15, 0.01, 6)
    gaps = {"micro": 0.02, "mf": -0.05, "lightgcn": 0.0}
    return pd.DataFrame(
        [
            {"label": name, "seed": seed, "recall@20": base[seed] + gap + rng.normal(0, 0.004), "ndcg@20": 0.5 + gap}
            for name, gap in gaps.items()
            for seed in range(6)
        ]
    )


def test_intervals_are_scipys(rows):
    table = summarise(rows)
    values = rows.loc[rows["label"] == "mf", "recall@20"]
    low, high = stats.t.interval(0.95, 5, values.mean(), stats.sem(values))
    assert table.index.tolist() == ["micro", "mf", "lightgcn"]
    np.testing.assert_allclose(table.loc["mf", ["low", "high"]].astype(float), [low, high])
    assert np.isnan(summarise(rows[rows["seed"] == 0]).loc["mf", "low"])


def test_uneven_runs_have_the_mean_that_their_interval_is_about():
    """Ten trainings on one split and one on each of four: five splits, each counts once."""
    on = [0.10] * 10 + [0.20, 0.21, 0.20, 0.21]
    rows = pd.DataFrame({"label": "a", "seed": [*range(10), 0, 0, 0, 0], "split_seed": [0] * 10 + [1, 2, 3, 4],
                         "recall@20": on})  # fmt: skip
    [row] = summarise(rows).itertuples()
    splits = [0.10, 0.20, 0.21, 0.20, 0.21]
    low, high = stats.t.interval(0.95, 4, np.mean(splits), stats.sem(splits))
    assert (row.mean, row.low, row.high, row.runs) == pytest.approx((np.mean(splits), low, high, 14))


def test_folds_are_runs_of_one_label():
    """Five folds, two seeds on each: the mean over the folds, and pairs by fold."""
    rng = np.random.default_rng(0)
    folds = rng.normal(0.15, 0.02, 5)
    rows = pd.DataFrame(
        [{"label": name, "seed": seed, "split_seed": 0, "split fold": fold, "split folds": 5, "protocol": "kfold",
          "recall@20": folds[fold] + gap + rng.normal(0, 0.001)}
         for name, gap in (("a", 0.0), ("b", 0.01)) for seed in (0, 1) for fold in range(5)]
    )  # fmt: skip
    means = rows.groupby(["label", "split fold"])["recall@20"].mean().unstack("label")
    low, high = stats.t.interval(0.95, 4, means["a"].mean(), stats.sem(means["a"]))
    table = summarise(rows)
    np.testing.assert_allclose(table.loc["a", ["mean", "low", "high"]].astype(float), [means["a"].mean(), low, high])
    tested = versus(rows, "a")
    assert tested.loc["b", "n"] == 5
    assert tested.loc["b", "p_t"] == pytest.approx(stats.ttest_rel(means["b"], means["a"]).pvalue)
    with pytest.raises(ValueError, match="differ in split folds"):
        summarise(rows.assign(**{"split folds": np.where(rows["seed"] == 0, 5, 3)}))
    assert mean_and_sd(rows, ["recall@20"]).loc["a", "runs"] == 10


def test_holm_by_hand(rows):
    table = versus(rows, "lightgcn")
    wide = rows.pivot(index="seed", columns="label", values="recall@20")
    p = {name: stats.ttest_rel(wide[name], wide["lightgcn"]).pvalue for name in ("micro", "mf")}
    small, large = sorted(p, key=p.get)
    np.testing.assert_allclose(table["p_t"][[small, large]], [p[small], p[large]])
    # Holm: the smallest p times the number of tests, the next times one fewer, never falling.
    expected = [min(1, 2 * p[small]), max(2 * p[small], p[large])]
    np.testing.assert_allclose(table["p_holm"][[small, large]], expected)
    np.testing.assert_allclose(table.loc["mf", "difference"], (wide["mf"] - wide["lightgcn"]).mean())


def test_what_cannot_be_tested_is_refused(rows):
    with pytest.raises(ValueError, match="there is no label 'ngcf'; there are micro, mf, lightgcn"):
        versus(rows, "ngcf")
    with pytest.raises(ValueError, match="have 1 pairs of runs with the same seed; a test needs 2"):
        versus(rows[rows["seed"] == 0], "mf")
    with pytest.raises(ValueError, match="no column 'hit@3'"):
        summarise(rows, "hit@3")


def test_printed_as_in_a_paper(rows):
    table = printed(rows, ("ndcg@20",), digits=2)
    assert table["ndcg@20"].tolist() == ["0.52 ± 0.00", "0.45 ± 0.00", "0.50 ± 0.00"]
    assert printed(rows[rows["seed"] == 0], ("ndcg@20",), digits=2)["ndcg@20"].tolist() == ["0.52", "0.45", "0.50"]
    tested = printed(rows, reference="lightgcn")
    assert tested.loc["lightgcn", "p (Holm)"] == "" and tested.loc["mf", "p (Holm)"] == "< 0.001"


def test_three_kinds_of_file(rows, tmp_path):
    table = summarise(rows)
    back = pd.read_csv(export(table, tmp_path / "new" / "t.csv"), index_col=0)
    pd.testing.assert_frame_equal(back, table)
    lines = export(table, tmp_path / "t.md").read_text().splitlines()
    assert lines[0].startswith("| label") and f"{table['mean']['mf']:.4f}" in lines[3]
    tricky = pd.DataFrame({"recall@20 in %": ["0.1 ± 0.0"]}, index=pd.Index(["w/o_CIMA & more"], name="label"))
    latex = export(tricky, tmp_path / "t.tex").read_text()
    assert r"w/o\_CIMA \& more" in latex and r"0.1 $\pm$ 0.0" in latex and r"in \%" in latex and r"\toprule" in latex
    signs = pd.DataFrame({"p | Holm": ["< 0.001", "a > b"]}, index=pd.Index(["k<5", "x"], name="k|l"))
    latex = render(signs, "latex")  # in LaTeX's own fonts < prints as an exclamation mark upside down, | as a dash
    assert r"$<$ 0.001" in latex and r"a $>$ b" in latex and r"p \textbar{} Holm" in latex and r"k\textbar{}l" in latex
    assert {p.name for p in tmp_path.iterdir()} == {"new", "t.md", "t.tex"}
    with pytest.raises(ValueError, match=r"t\.xlsx: a table is written as \.csv, \.md, \.tex"):
        export(table, tmp_path / "t.xlsx")


def test_a_plain_table_has_no_index():
    plain = pd.DataFrame({"a": [1.5], "b": ["x"]})
    assert pd.read_csv(io.StringIO(render(plain, "csv"))).columns.tolist() == ["a", "b"]
    assert render(plain, "markdown").splitlines()[0].count("|") == 3
    assert "1.5000 & x" in render(plain, "latex")
    with pytest.raises(ValueError, match="there is no format 'html'"):
        render(plain, "html")


def test_points_of_a_grid_are_no_sample(rows):
    grid = pd.concat([rows.assign(**{"set dim": dim}) for dim in (32, 64)])
    calls = (summarise, printed, mean_and_sd, lambda r: versus(r, "lightgcn"))
    for call in calls:
        with pytest.raises(
            ValueError, match=r"12 rows that differ in set dim, not in the seed alone: .* Give each point"
        ):
            call(grid)
    labelled = grid.assign(label=grid["label"] + ", " + grid["set dim"].astype(str))
    assert set(summarise(labelled)["runs"]) == set(summarise(rows)["runs"])


@pytest.mark.parametrize(
    "name",
    [
        "set k",
        "split ratios",
        "data",
        "data hash",
        "protocol",
        "profile",
        "candidates",
        "ks",
        "code",
        "version mmrec_lite",
        "method",
    ],
)
def test_runs_of_other_settings_are_no_sample_though_their_seeds_differ(rows, name):
    """micro with k = 5 on one data set and k = 50 on another once became one mean, "± 0.14"."""
    mixed = rows.assign(**{name: np.where(rows["seed"] < 3, "a", "b")})
    for call in (summarise, printed, mean_and_sd, lambda r: versus(r, "lightgcn")):
        with pytest.raises(ValueError, match=f"label 'micro' has 6 rows that differ in {name}, not in the seed alone"):
            call(mixed)
    apart = rows.assign(**{name: rows["label"], "split hash": rows["seed"], "split_seed": rows["seed"]})
    if name in ("split ratios", "protocol", "candidates"):
        with pytest.raises(
            ValueError, match=f"'micro' and 'mf' were tested on different things, {name} = micro and mf"
        ):
            versus(apart, "mf")
        assert len(versus(apart.drop(columns="label"), "mf", by=name)) == 2  # asked for by its name
    else:
        assert len(versus(apart, "mf")) == 2
    assert summarise(apart)["runs"].tolist() == [6, 6, 6]  # a split a seed is a sample
    assert summarise(rows.assign(pretrained=rows["seed"].astype(str)))["runs"].tolist() == [6, 6, 6]  # a file a seed


def test_a_lesson_s_parameters_are_settings_but_for_seeds():
    point = {"notebook": "a.ipynb", "swept": "k, seed"}
    points = [point | {"k": k, "seed": s, "recall": k / 9} for k in (5, 10) for s in (k, k + 1)]
    rows = pd.DataFrame(points)
    with pytest.raises(ValueError, match=r"notebook 'a\.ipynb' has 4 rows that differ in k, not in the seed alone"):
        summarise(rows, "recall", by="notebook")
    assert summarise(rows, "recall", by="k")["runs"].tolist() == [2, 2]


def test_rows_of_one_seed_and_settings_are_told_by_what_differs(rows):
    """The advice to drop equal ids once dropped nothing, where the ids were not equal."""
    again = rows.assign(id=rows["label"] + rows["seed"].astype(str))
    with pytest.raises(ValueError, match=r"2 rows of one seed, which are one run .* rows\.drop_duplicates\('id'\)"):
        summarise(pd.concat([again, again]))
    other = again.assign(id=again["id"] + "x", **{"version torch": "2"})
    with pytest.raises(ValueError, match=r"the same settings, which differ in version torch\. Choose one"):
        summarise(pd.concat([again.assign(**{"version torch": "1"}), other]))
    with pytest.raises(ValueError, match=r"the same settings, which are equal\. Choose one"):
        summarise(pd.concat([rows, rows]))


def test_words_that_look_like_numbers_stay_words():
    table = pd.DataFrame({"id": ["12e34", "007"], "recall@20": ["0.170", "0.2 | 1"], "loss": [0.5, np.nan]})
    lines = render(table, "markdown").splitlines()
    assert [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[2:]] == [
        ["12e34", "0.170", "0.5000"], ["007", r"0.2 \| 1", ""],
    ]  # fmt: skip
    named = table.set_index(pd.Index(["0.30", "a|b"], name="set lam_x"))
    lines = render(named, "markdown").splitlines()
    assert lines[0].startswith("| set lam_x") and lines[2].startswith("| 0.30 ") and r"a\|b" in lines[3]
    objects = pd.DataFrame({"p": pd.Series([0.25, 0.5], dtype=object), "n": [3, 4]})
    assert "0.2500" in render(objects, "markdown") and "| 3 |" in render(objects, "markdown").replace("   3", " 3")
    assert r"set lam\_x & " in render(named, "latex")
    assert r"a\_b" in render(named.rename_axis("a_b", axis=1), "latex")


def test_a_run_that_failed_is_no_run_of_a_mean(rows):
    failed = pd.DataFrame([{"label": "mf", "seed": 6, "error": "MemoryError: full"}])
    pd.testing.assert_frame_equal(mean_and_sd(pd.concat([rows, failed])), mean_and_sd(rows))


def test_a_label_that_nothing_varies_in_has_no_p_and_takes_none_from_the_others():
    figures = {"a": [0.3, 0.3, 0.3], "b": [0.2, 0.2, 0.2], "c": [0.10, 0.13, 0.12]}
    rows = pd.DataFrame(
        [{"label": n, "seed": s, "recall@20": v} for n, values in figures.items() for s, v in enumerate(values)]
    )
    table = versus(rows, "a")
    assert np.isnan(table.loc["b", ["low", "high", "p_t", "p_holm"]].astype(float)).all()
    assert table.loc["c", "p_holm"] == table.loc["c", "p_t"]
    assert printed(rows, ["recall@20"], reference="a")["p (Holm)"]["b"] == "–"


@pytest.fixture
def split_rows():
    """Two seeds on each of three splits, as sweep(grid={"split_seed": ...}, seeds=...) gives them."""
    rng = np.random.default_rng(1)
    keys = [{"label": n, "seed": s, "split_seed": t} for n in ("b", "a", "c") for s in (0, 1) for t in (0, 1, 2)]
    return pd.DataFrame([key | {"recall@20": rng.random()} for key in keys])


def test_pairs_have_the_same_seed_and_the_same_split(split_rows):
    """Once only the first split's runs were tested, beside means over all; then two seeds of a split counted as two."""
    shuffled = split_rows.sample(frac=1, random_state=0)
    one_split = split_rows[split_rows["split_seed"] == 1]
    for rows, runs, n in (
        (split_rows, 6, 3), (shuffled, 6, 3), (split_rows[split_rows["seed"] == 1], 3, 3), (one_split, 2, 2),
    ):  # fmt: skip
        table, unit = versus(rows, "a"), "seed" if rows is one_split else "split_seed"
        assert table.index.tolist() == [name for name in rows["label"].unique() if name != "a"]
        x, y = (rows[rows["label"] == name].groupby(unit)["recall@20"].mean() for name in ("b", "a"))
        assert table.loc["b", "n"] == n and summarise(rows).loc["b", "runs"] == runs
        assert table.loc["b", "p_t"] == pytest.approx(stats.ttest_rel(x, y).pvalue)
        assert table.loc["b", "difference"] == pytest.approx((x - y).mean())
        interval = stats.t.interval(0.95, n - 1, x.mean(), stats.sem(x))
        np.testing.assert_allclose(summarise(rows).loc["b", ["low", "high"]].astype(float), interval)
    lost = split_rows.query("label != 'b' or split_seed != 2")
    assert versus(lost, "a")["n"].to_dict() == {"b": 2, "c": 3}
    with pytest.raises(ValueError, match="'b' and 'a' have split_seed 0 alone in common"):
        versus(split_rows.query("label != 'b' or split_seed == 0"), "a")
    with pytest.raises(ValueError, match="have none of the columns seed, split_seed, split fold to pair"):
        versus(split_rows.drop(columns=["seed", "split_seed"]), "a")


def test_seeds_on_one_split_say_that_training_alone_varies(rows):
    one = rows.assign(**{"split hash": "one"})
    with pytest.warns(UserWarning, match=r"all runs have one split\. Seeds vary the training alone.*mm\.compare"):
        table = versus(one, "mf")
    pd.testing.assert_frame_equal(table, versus(rows.assign(**{"split hash": rows["seed"]}), "mf"))


def test_a_mean_that_nothing_varies_in_has_no_interval(rows):
    """ItemKNN on one split is the same in every seed: an interval of width 0 would say that it is certain."""
    still = rows.assign(**{"recall@20": np.where(rows["label"] == "mf", 0.1 + 0.2, rows["recall@20"])})
    table = summarise(still)
    assert table[["low", "high"]].isna().all(axis=1).tolist() == [False, True, False]
    assert table.loc["mf", "mean"] == pytest.approx(0.3)
    assert len(summarise(rows.drop(columns="seed")).dropna()) == 3  # runs without a seed are runs


def test_a_label_without_another_is_not_tested(split_rows):
    failed = pd.DataFrame([{"label": "b", "seed": 0, "error": "MemoryError: full"}])
    alone = pd.concat([split_rows[split_rows["label"] == "a"], failed])
    for call in (lambda: versus(alone, "a"), lambda: printed(alone, ["recall@20"], reference="a")):
        with pytest.raises(ValueError, match="no other label than 'a' has a 'recall@20'; there is nothing to test"):
            call()


def test_runs_that_failed_twice_are_left_out_and_rows_without_a_split_are_told_apart(split_rows):
    """Two failed rows of one label and seed have no split_seed: pandas calls them duplicates and groups neither."""
    failed = pd.DataFrame([{"label": "a", "seed": 0, "error": "MemoryError: full"}] * 2)
    both = pd.concat([split_rows, failed], ignore_index=True)
    pd.testing.assert_frame_equal(summarise(both), summarise(split_rows))
    pd.testing.assert_frame_equal(versus(both, "a"), versus(split_rows, "a"))
    unnamed = both.assign(**{"recall@20": both["recall@20"].fillna(0.5), "set dim": range(len(both))})
    with pytest.raises(ValueError, match="label 'b' has 6 rows that differ in set dim"):
        summarise(unnamed)
    with pytest.raises(ValueError, match="label 'a' has 2 rows of one seed and the same settings"):
        summarise(unnamed.drop(columns="set dim"))


def test_rows_that_all_failed_say_why():
    rows = pd.DataFrame({"label": ["mf"], "seed": [0], "error": ["HyperparameterError: mf has no 'protocl'"]})
    with pytest.raises(ValueError, match=r"no column 'recall@20'.* 1 of 1 runs failed, the first: .*no 'protocl'"):
        summarise(rows)
