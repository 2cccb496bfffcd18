"""The studies name what exists, run, and are judged as computed independently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mmrec_lite as mm
from mmrec_lite.experiments import STUDIES, Study, judge, noise, published, run_studies, run_study, studies
from mmrec_lite.experiments.studying import AGREES, OPEN, REVERSED
from mmrec_lite.methods import configure
from tests.tiny import tiny_shop

ARGUMENTS = ("method", "protocol", "split_options", "candidates", "masked", "words", "corpus")


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_names_what_exists(name):
    study = STUDIES[name]
    for label, recipe in study.recipes.items():
        hyper = {key: value for key, value in recipe.items() if key not in ARGUMENTS}
        for profile in ("lecture", "paper"):
            configure(recipe["method"], profile, **hyper)
        assert label == label.strip()
    assert all(label in study.recipes for pair in study.claims for label in pair)
    assert study.says.endswith(".") or "(" in study.says
    if study.printed:
        rows = set(published(study.paper, study.artefact)["row"])
        assert set(study.printed.values()) <= rows and set(study.printed) <= set(study.recipes)


def test_every_table_with_results_and_every_figure_has_a_study():
    assert [s.name for s in studies("mp4sr", "09")] == ["MP4SR Fig. 4", "MP4SR Fig. 5", "MP4SR Fig. 6", "MP4SR Fig. 7"]
    named = " ".join(STUDIES)
    for artefact in ("MICRO Table 4", "MICRO Table 5", "MICRO Table 6", "MICRO Fig. 3", "MICRO Fig. 4", "MICRO Fig. 5",
                     *(f"PAMD Table {n}" for n in range(2, 7)), "PAMD Fig. 3a", "PAMD Fig. 3b", "PAMD Fig. 3c",
                     "MCPTR Table 2", "MCPTR Table 3", "MCPTR Fig. 3", "MCPTR Fig. 4", "MP4SR Table 2",
                     "MP4SR Table 3", "MP4SR Table 4", "MP4SR Table 6", "MP4SR Fig. 8"):  # fmt: skip
        assert artefact in named
    with pytest.raises(ValueError, match="the methods are mcptr, micro, mp4sr, pamd"):
        studies("lightgcn")


def test_cells_that_studies_share_are_trained_once(tmp_path):
    shop, short = tiny_shop(), {"epochs": 1, "dim": 4, "progress": False, "save": tmp_path}
    rows = run_studies(["PAMD Table 3", "PAMD Table 5"], shop, seeds=(0, 1), pretrain_epochs=1, **short)
    assert len(rows) == 12 and rows["value"].notna().all() and (rows["value"] == rows["recall@10"]).all()
    full = rows[rows["label"] == "PAMD"].pivot(index="seed", columns="study", values="id")
    assert (full["PAMD Table 3"] == full["PAMD Table 5"]).all()
    assert rows["id"].nunique() == 10 == len(list(tmp_path.glob("*/row.json")))
    assert (rows["split_seed"] == rows["seed"]).all() and rows["split"].nunique() == 2
    assert rows["recall@10 full"].notna().all()


def test_hidden_content_and_slices(tmp_path):
    shop = tiny_shop()
    study = Study("X", "Fig. 1", "", "", {f"{s}": {"method": "content_knn", "masked": s} for s in (0.0, 1.0)}, (), "")
    rows = run_study(study, shop, progress=False).set_index("label")
    plain = mm.run("content_knn", shop)
    assert rows.loc["0.0", "value"] == plain.metrics["recall@20"] and rows["data hash"].nunique() == 2
    split = mm.split(shop, "ratio", seed=0)
    lengths = split.train_lengths[plain.per_user["user"]]
    short = plain.per_user.loc[lengths <= np.median(lengths), "recall@20"].mean()
    assert rows.loc["0.0", "recall@20 short"] == pytest.approx(short)
    users, items = split.pairs("test")
    rare = split.train_counts[items] < 10
    top = plain.report.top[np.searchsorted(plain.per_user["user"], users), :20]
    hit = (top == items[:, None]).any(axis=1)
    expected = pd.Series(hit[rare]).groupby(users[rare]).mean().mean()
    assert rows.loc["0.0", "recall@20 rare"] == pytest.approx(expected)


def test_attention_is_a_percentage():
    rows = run_study("PAMD Table 6", tiny_shop(), epochs=2, dim=4, pretrain_epochs=1, progress=False)
    assert 0 <= rows["value"][0] <= 100


def test_another_protocol_takes_the_papers_place():
    study = STUDIES["MP4SR Table 2"]
    two = Study("X", "Table 1", "", "", {"a": {"method": "popularity", "protocol": "kfold"}}, (), "")
    assert run_study(two, tiny_shop(), protocol="ratio", progress=False)["protocol"].tolist() == ["ratio"]
    assert all(recipe["protocol"] == "leave-one-out" for recipe in study.recipes.values())


def test_the_noise_is_that_of_the_analysis_of_variance():
    from scipy import stats
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        [
            {"label": f"l{label}", "seed": seed, "value": 0.1 * label + 0.05 * seed + rng.normal(0, 0.01)}
            for label in range(4)
            for seed in range(3)
        ]
    )
    table = anova_lm(ols("value ~ C(label) + C(seed)", data=rows).fit())
    spread = table.loc["Residual", "mean_sq"] ** 0.5
    expected = stats.t.ppf(0.975, table.loc["Residual", "df"]) * spread * (2 / 3) ** 0.5
    assert noise(rows) == pytest.approx(expected)
    assert np.isnan(noise(rows[rows["seed"] == 0]))


def test_claims_are_judged():
    study = Study("X", "Table 1", "", "", {}, (("a", "b"), ("b", "a"), ("a", "c"), ("a", "lost")), "")
    values = {"a": (0.5, 0.6), "b": (0.3, 0.4), "c": (0.499, 0.602)}
    rows = pd.DataFrame([{"label": k, "seed": s, "value": v[s]} for k, v in values.items() for s in (0, 1)])
    table = judge(study, rows)
    assert table["verdict"].tolist() == [AGREES, REVERSED, OPEN, OPEN]
    assert table["difference"][0] == pytest.approx(0.2) and np.isnan(table["difference"][3])
    assert set(judge(study, rows[rows["seed"] == 0])["verdict"]) == {OPEN}  # one seed cannot tell


def test_a_setting_that_no_method_has_is_refused():
    with pytest.raises(ValueError, match="no method has a setting 'epoch'; did you mean 'epochs'"):
        run_studies(["MICRO Table 6"], "bazaar", epoch=5)
