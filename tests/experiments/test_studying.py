"""All methods in one study, claims about gains, and the lessons that draw studies, with every method."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot
from scipy import stats

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.data import IndexedVectors
from mmrec_lite.experiments import (
    STUDIES,
    Study,
    beside,
    everything,
    judge,
    noise,
    published,
    run_study,
    runs,
    studying,
)
from mmrec_lite.experiments.studies import LONGEST, NAMES, SHORTEST
from mmrec_lite.experiments.studying import AGREES, OPEN, REVERSED, _attention_on_common
from mmrec_lite.methods import REGISTRY
from mmrec_lite.probes import strongest_representation
from tests.tiny import tiny_shop

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SHORT = {"epochs": 1, "pretrain_epochs": 1, "progress": False}


def full_shop():
    """The tiny shop with all that a method may ask for: sentences, words of pictures, reviews, categories."""
    shop, rng = tiny_shop(), np.random.default_rng(5)

    def told(n: int, **options) -> IndexedVectors:
        return IndexedVectors(rng.normal(size=(n, 6)).astype(np.float32), np.arange(n)[:, None], **options)

    items = shop.items.assign(category=[f"c{i % 4}" for i in range(shop.n_items)], keywords="red round thing")
    reviews = told(len(shop.interactions), rows="interactions")
    sequences = {"sentences": told(shop.n_items), "keywords": told(shop.n_items), "reviews": reviews}
    return shop.replace(items=items, sequences=sequences)


@pytest.fixture(scope="module")
def shop():
    return full_shop()


def poorer():
    """Data sets that lack something."""
    shop = full_shop()
    sequences = dict(shop.sequences)
    words = {name: v for name, v in sequences.items() if name != "keywords"}
    one = {"features": {"text": shop.features["text"]}, "present": {"text": shop.present["text"]}}
    untimed = shop.interactions.drop(columns="timestamp")
    return {
        "all": shop,
        "no features": shop.replace(features={}, present={}, sequences={}),
        "one feature": shop.replace(**one),
        "no words of pictures": shop.replace(sequences=words),
        "no time": shop.replace(interactions=untimed),
    }


@pytest.mark.parametrize(("lack", "data"), poorer().items(), ids=lambda value: value if isinstance(value, str) else "")
def test_everything_leaves_out_what_cannot_be_made(lack, data):
    """The truth is whether a method can be created."""
    study, split = everything(data, "ratio"), mm.split(data, "ratio", seed=0)
    for name, label in NAMES.items():
        if label in study.recipes:
            mm.create(name, split, profile="lecture")
        else:
            with pytest.raises(ValueError, match=r"needs|parts two|time order"):
                mm.create(name, split, profile="lecture")
            assert f"{label} (needs " in study.says
    assert (lack == "all") == ("None is left out" in study.says) == (len(study.recipes) == len(NAMES))


@pytest.mark.parametrize("protocol", ["ratio", "leave-one-out", "cold-items"])
def test_everything_runs_under_one_protocol(shop, protocol):
    study = everything(shop, protocol)
    rows = run_study(study, shop, **SHORT)
    assert "error" not in rows and rows["value"].between(0, 1).all() and rows["label"].tolist() == list(NAMES.values())
    assert set(rows["protocol"]) == {protocol} and study.name not in STUDIES
    assert beside(study, rows).empty and judge(study, rows).empty
    assert set(rows["candidates"]) == {"held-out" if protocol == "cold-items" else "all"}


def test_a_gain_is_larger_than_another_by_a_paired_t_test():
    gains = (("a", "b", "few", "many"), ("a", "c", "few", "many"))
    study = Study("X", "Fig. 1", "", "", {}, (("a", "b"),), "", gains=gains)
    rng = np.random.default_rng(2)
    rows = pd.DataFrame([{"label": k, "seed": s, "value": rng.random()} for k in "ab" for s in range(5)])
    rows = rows.assign(few=rng.random(10) + 3 * (rows["label"] == "a"), many=rng.random(10))
    gains = {c: rows.pivot(index="seed", columns="label", values=c).eval("a - b") for c in ("few", "many")}
    test = stats.ttest_rel(gains["few"], gains["many"])
    low, high = test.confidence_interval(0.95)
    _, gain, absent = judge(study, rows).itertuples()
    assert (gain.better, gain.worse) == ("gain of a over b, few", "gain of a over b, many")
    assert gain.difference == pytest.approx((low + high) / 2) and gain.noise == pytest.approx((high - low) / 2)
    assert gain.verdict == AGREES and absent.verdict == OPEN and np.isnan(absent.difference)
    turned = judge(study, rows.rename(columns={"few": "many", "many": "few"}))
    assert turned["verdict"][1] == REVERSED and turned["difference"][1] == pytest.approx(-gain.difference)
    assert judge(study, rows[rows["seed"] == 0])["verdict"][1] == OPEN
    assert judge(study, rows.drop(columns="few"))["verdict"][1] == OPEN


def test_a_decline_is_a_share_of_the_better_value():
    """Twice as far below, of four times as much, is less of a decline."""
    study = Study("X", "Table 1", "", "", {}, (), "", declines=(("full", "less", "short", "long"),))
    rows = [("full", s, 0.2 + s / 100, 0.8 + s / 100) for s in range(4)]
    rows += [("less", s, 0.9 * (0.2 + s / 100), 0.95 * (0.8 + s / 100) - 0.001 * s) for s in range(4)]
    rows = pd.DataFrame(rows, columns=["label", "seed", "short", "long"]).assign(value=0.0)
    (found,) = judge(study, rows).itertuples()
    assert (found.better, found.worse) == ("decline of less, short", "long")
    expected = [0.1 - (0.05 + 0.001 * s / (0.8 + s / 100)) for s in range(4)]
    assert found.difference == pytest.approx(np.mean(expected)) and found.verdict == AGREES
    as_gain = Study("X", "Table 1", "", "", {}, (), "", gains=study.declines)
    assert judge(as_gain, rows)["verdict"].tolist() == [REVERSED]


def test_a_cell_that_failed_takes_its_seed_along():
    """Labels were once averaged over whatever seeds they had: a harder split that one missed became its lead."""
    rng, level = np.random.default_rng(0), {0: 0.30, 1: 0.31, 2: 0.10, 3: 0.29}
    rows = pd.DataFrame(
        [
            {"label": k, "seed": s, "value": v + rng.normal(0, 1e-3)}
            for s, v in level.items()
            for k in ("Visual", "Both")
        ]
    )
    lost = rows.assign(value=rows["value"].where((rows["label"] != "Both") | (rows["seed"] != 2)))
    lost = pd.concat([lost, pd.DataFrame([{"label": "Textual", "seed": s, "value": np.nan} for s in level])])
    whole = rows["seed"] != 2
    study = Study("MICRO", "Table 6", "", "", {}, (("Both", "Visual"), ("Both", "Textual")), "")
    table, expected = judge(study, lost), judge(study, rows[whole])
    assert table.loc[0, "difference"] == pytest.approx(expected.loc[0, "difference"])
    assert table["verdict"].tolist() == [expected.loc[0, "verdict"], OPEN]
    assert noise(lost) == pytest.approx(noise(rows[whole])) and np.isnan(table.loc[1, "difference"])
    assert list(beside("MICRO Table 6", lost.assign(study="MICRO Table 6"))["n"]) == [2, 2, 2]
    both = beside("MICRO Table 6", lost)["tau"]
    assert both.equals(beside("MICRO Table 6", rows[whole])["tau"])


class Latest(mm.Method):
    """A user's own method, which another process does not know."""

    name, summary = "latest_of_mine", "the catalogue's last products first"

    def score(self, users):
        return torch.arange(self.n_items).float().repeat(len(users), 1)


def test_a_study_s_workers_know_one_s_own_methods(shop, monkeypatch):
    monkeypatch.setitem(REGISTRY, Latest.name, Latest)
    study = Study("X", "Fig. 1", "", "", {"a": {"method": Latest.name}, "b": {"method": "popularity"}}, (), "")
    work = []
    monkeypatch.setattr(studying, "run_cells", lambda f, cells, *_, **__: work.append((f, cells)) or [{}] * len(cells))
    run_study(study, shop, jobs=2)
    [(call, cells)] = work
    monkeypatch.delitem(REGISTRY, Latest.name)  # as in a worker
    assert call(cells[0][1] | {"profile": "paper"}, shop, True)["method"] == Latest.name and Latest.name in REGISTRY


def test_recipes_that_name_a_default_are_the_same_cell(shop, monkeypatch):
    recipes = {"a": {"method": "mf"}, "b": {"method": "mf", "masked": 0.0}, "c": {"method": "mf", "lr": 0.5}}
    default = mm.create("mf", mm.split(shop), profile="lecture").config.dim
    recipes["d"] = {"method": "mf", "dim": default}
    work = []
    monkeypatch.setattr(studying, "run_cells", lambda f, cells, *_, **__: work.extend(cells) or [{}] * len(cells))
    found = run_study(Study("X", "Fig. 1", "", "", recipes, (), ""), shop)
    assert len(work) == 2 and found["label"].tolist() == list("abcd")


def test_a_setting_that_no_chosen_method_has_is_refused(shop):
    one = Study("X", "Fig. 1", "", "", {"a": {"method": "popularity"}}, (), "")
    with pytest.raises(ValueError, match="none of popularity has a setting 'experts'; leave it out"):
        run_study(one, shop, experts=4, progress=False)
    assert "error" not in run_study(one, shop, epochs=1, pretrain_epochs=1, progress=False)  # as lessons call it
    with pytest.raises(ValueError, match="run_studies: seeds = 3, but they are a list"):
        run_study(one, shop, seeds=3)


def test_the_first_and_last_users_by_length_have_names_of_their_own(shop):
    table = shop.interactions
    fewer = table[table.groupby("user").cumcount() < 4 + table["user"] % 5].reset_index(drop=True)
    uneven = shop.replace(interactions=fewer, sequences={})
    one = Study("X", "Fig. 1", "", "", {"a": {"method": "popularity"}}, (), "")
    row = run_study(one, uneven, progress=False).iloc[0]
    groups = [c for c in row.index if c.startswith("recall@20 length ")]
    split = mm.split(uneven, "ratio", seed=0)
    found = mm.run("popularity", uneven).per_user
    lengths = split.train_lengths[found["user"]]
    assert len(groups) > 1 and len(set(lengths)) > 1
    assert row[SHORTEST] == pytest.approx(found.loc[lengths == lengths.min(), "recall@20"].mean())
    assert row[LONGEST] == row[max(groups, key=lambda c: int(c.split()[-1].rstrip("+").split("-")[0]))]


def test_tau_is_that_of_the_printed_order():
    study = STUDIES["MICRO Table 6"]
    measured = {"label": ["Visual", "Textual", "Both"], "value": [0.2, 0.1, 0.3]}
    rows = pd.DataFrame(measured | {"study": study.name, "seed": 0})
    table = beside("MICRO Table 6", rows)
    for name, group in published("MICRO", "Table 6", metric="recall@20").groupby("dataset"):
        theirs = group.set_index("row")["value"][["Visual", "Textual", "Both"]]
        assert table.loc[name, "tau"] == pytest.approx(stats.kendalltau([0.2, 0.1, 0.3], theirs).statistic)
    assert set(table["n"]) == {3} and beside("MICRO Fig. 3", rows).empty


def test_attention_on_common_and_specific_is_one_run_asked_by_the_user(shop, tmp_path):
    rows = run_study("PAMD Table 6", shop, dim=4, save=tmp_path, **SHORT)
    assert rows["label"].tolist() == ["common", "specific"] and rows["value"].sum() == pytest.approx(100)
    assert set(rows["set query"]) == {"user"} and rows["id"].nunique() == 1 == len(list(tmp_path.glob("*/row.json")))
    assert list(beside("PAMD Table 6", rows)["n"]) == [2, 2, 2]


def test_a_modality_called_common_is_no_common_part(monkeypatch):
    """And the figure is that of the probe, without a table of all users and items."""
    shop = tiny_shop()
    names = {"common-look": "image", "text": "text"}
    shop = shop.replace(
        features={new: shop.features[old] for new, old in names.items()},
        present={new: shop.present[old] for new, old in names.items()},
    )
    result = mm.run("pamd", shop, dim=4, epochs=1, pretrain_epochs=1, query="user", ks=(10,))
    shares = strongest_representation(result.model, result.report, 10)
    assert shares["common-look specific"] > 0
    monkeypatch.setattr(mm.data.Split, "matrix", lambda *_: pytest.fail("made a matrix"))
    kinds = strongest_representation(result.model, result.report, 10, together=True)
    assert list(kinds.index) == ["common", "specific"] and kinds["common"] < 1
    assert _attention_on_common(result) == pytest.approx(100 * kinds["common"])
    result.report.hits[:] = False
    assert np.isnan(_attention_on_common(result))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system keeps one peak a process")
def test_a_run_s_peak_memory_is_its_own(shop):
    held = np.ones(2**27)  # 1 GiB
    before = runs.peak_memory()
    mib = held.nbytes / 2**20
    del held
    assert mm.run("popularity", shop).row["peak memory MiB"] < before - mib / 2


# The lessons ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(shop, tmp_path_factory):
    return shop.save(tmp_path_factory.mktemp("shop") / "data")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lesson", "method"),
    [(n, method) for n in ("07", "08", "09", "10") for method in ("micro", "pamd", "mcptr", "mp4sr")] + [("07", "all")],
)
def test_a_lesson_runs_with_every_method_on_other_data(lesson, method, folder, tmp_path, monkeypatch):
    """The lesson's own cells in this process, on a tiny shop: a kernel a case would take minutes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMREC_FIGURES", str(tmp_path))
    said, show = [], plots.show  # the words of the pictures that a cell shows before its end
    monkeypatch.setattr(plots, "show", lambda figure, alt: (show(figure, alt), alt)[1])
    space = {"display": lambda shown: said.append(shown) if isinstance(shown, str) else None, "__name__": "lesson"}
    chosen = {"data": str(folder), "method": method, "epochs": 1, "seeds": 2, "save": str(tmp_path / "runs")}
    (path,) = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{path.stem}:{cell['id']}", "exec"), space)
            space |= chosen if "parameters" in cell["metadata"].get("tags", []) else {}
    pyplot.close("all")
    rows, names = space["rows"], [study.name for study in space["chosen"]]
    failed = rows[rows["error"].notna()] if "error" in rows else rows[:0]
    many = [label for label in failed["label"] if (label, lesson, method) == ("50", "09", "micro")]
    assert len(many) == len(failed), failed["error"].unique()  # 50 neighbours among 30 items: named, and a gap
    assert len(many) == (2 if (lesson, method) == ("09", "micro") else 0)
    assert set(rows["study"]) == set(names[:1] if lesson == "07" else names)
    assert lesson != "07" or any("right printed by the paper" in alt for alt in said) == (method != "all")
    if lesson in ("08", "10"):  # each artefact is drawn, and chance is named only where it is the ranking's
        assert all(any(alt.startswith(name + (". " if lesson == "08" else "")) for alt in said) for name in names)
        assert any("chance is 20" in alt for alt in said) == ((lesson, method) == ("10", "micro"))
        hidden = [alt for alt in said if alt.startswith("NDCG@10 against 1,000 sampled items")]
        assert bool(hidden) == ((lesson, method) == ("10", "pamd"))
        shares = rows[rows["study"] == "PAMD Fig. 3b"].groupby("label")["value"].mean()
        assert all(f"{label} {value:.4f}" in hidden[0] for label, value in shares.items())


def test_a_study_that_there_is_not_is_refused_with_those_near(shop):
    with pytest.raises(ValueError, match="no study 'micro table 44'; did you mean MICRO Table 4"):
        run_study("micro table 44", shop)
