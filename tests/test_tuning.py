"""The lecture profiles are what their grids' validation says."""

import pytest

import mmrec_lite as mm
from mmrec_lite import experiments
from mmrec_lite.experiments import PLUGGED, STUDIES
from mmrec_lite.methods import method_class
from tests import readme_table, reproduction, tuning

USED = {  # where a method's content goes into another method
    "bpr++": STUDIES["PAMD Fig. 3c"].recipes["BPR++"],
    "bpr++ with pamd": STUDIES["PAMD Fig. 3c"].recipes["BPR++ with PAMD"],
    "lightgcn with pamd": PLUGGED["lightgcn++"],
    "micro on mf": STUDIES["MICRO Table 5"].recipes["MICRO (MF)"],
    "micro on ngcf": STUDIES["MICRO Table 5"].recipes["MICRO (NGCF)"],
}


@pytest.mark.parametrize("method", tuning.GRIDS)
def test_the_lecture_profile_is_the_grid_s_best_row(method):
    rows = experiments.tuning(method)
    tried = rows[list(tuning.GRIDS[method])].drop_duplicates().to_dict("records")
    assert sorted(map(str, tried)) == sorted(str({k: float(v) for k, v in p.items()}) for p in tuning.points(method))
    assert set(rows["seed"]) == set(tuning.SEEDS)
    if method in USED:
        used = USED[method]
    else:
        used = method_class(method).Config(**method_class(method).profiles["lecture"]).model_dump()
    assert {name: used[name] for name in tuning.GRIDS[method]} == tuning.best(rows, method)


def test_no_table_uses_a_seed_that_settings_were_chosen_on():
    used = {*readme_table.SEEDS, *reproduction.SEEDS, *experiments.measured()["seed"]}
    assert not used & set(tuning.SEEDS)


def test_an_untuned_method_is_refused():
    with pytest.raises(ValueError, match="'random' was not tuned"):
        experiments.tuning("random")


def test_a_grid_is_measured_on_validation_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "REPOSITORY", tmp_path)
    monkeypatch.setitem(tuning.GRIDS, "mf", {"l2": (0.0, 0.1), "epochs": (1,)})
    rows = tuning.measure(["mf"], jobs=1)
    assert len(rows) == 4 and set(rows["monitor"]) == {"recall@20"}
    split = mm.split(mm.load("bazaar"), "ratio", seed=100)
    model = mm.create("mf", split, profile="lecture", l2=0.1, epochs=1, seed=100)
    history = mm.fit(model, split, progress=False)
    got = rows[(rows["seed"] == 100) & (rows["l2"] == 0.1)]["validation"].item()
    assert got == pytest.approx(history.best["bpr"]["metric"])
