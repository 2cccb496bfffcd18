"""The training explorer: what it hands to the method, keeps, draws, and how fast it stops."""

from __future__ import annotations

import threading
import time

import ipywidgets
import pydantic
import pytest

import mmrec_lite as mm
from mmrec_lite import plots
from mmrec_lite.methods import REGISTRY, register
from mmrec_lite.methods.backbones import LightGCN
from mmrec_lite.methods.micro import MICRO
from tests.tiny import tiny_shop

explorers = pytest.importorskip("mmrec_lite.explorers")
Run = explorers.training.Run


@pytest.fixture(scope="module")
def split():
    return mm.split(tiny_shop(), "ratio", seed=0)


@pytest.fixture
def explorer(split):
    made = explorers.TrainingExplorer(split, ["micro", "pamd", "lightgcn"], epochs=3)
    made.controls["k"].value = 3
    return made


def test_a_run_is_the_fit_of_the_same_settings(explorer, split):
    explorer.controls["lam"].value = 0.4
    explorer.controls["modalities"].value = ("text",)
    explorer.start()
    assert explorer.wait(60)
    model = mm.create("micro", split, profile="lecture", seed=0, lam=0.4, k=3, beta=0.03, modalities=("text",))
    expected = mm.fit(model, split, epochs=3, progress=False).frame.drop(columns="seconds")
    (run,) = explorer.runs
    assert run.frame.drop(columns="seconds").equals(expected)
    best = expected["valid recall@20"].max()
    assert run.best == (best, int(expected["valid recall@20"].argmax()) + 1, "recall@20")
    assert f"best validation recall@20 {best:.4f} after epoch {run.best.row}" in explorer.status.value
    assert "at most 3 epochs a stage" in explorer.status.value and "all epochs, 3 epochs" in explorer.status.value
    assert "behind it" not in explorer.status.value
    assert (explorer.run_button.disabled, explorer.cancel_button.disabled) == (False, True)


def test_settings_are_those_the_method_has(explorer):
    assert explorer.settings(explorer.params) == {
        "method": "micro", "lam": 0.7, "k": 3, "beta": 0.03, "epochs": 3, "seed": 0,
    }  # fmt: skip
    explorer.controls["method"].value = "lightgcn"
    assert explorer.settings(explorer.params) == {"method": "lightgcn", "epochs": 3, "seed": 0}
    assert all(explorer.controls[name].disabled for name in ("lam", "k", "beta", "modalities"))
    explorer.controls["method"].value = "micro"
    assert not any(control.disabled for control in explorer.controls.values())
    assert explorer.params["k"] == 10, "the profile's"


def test_runs_are_kept_by_their_settings_and_drawn_behind(explorer):
    assert "not run yet" in explorer.status.value
    first = explorer.run(epochs=2)
    explorer.controls["epochs"].value = 2
    alone = explorer.picture.value
    assert explorer.run(epochs=2) is first and len(explorer.runs) == 1
    explorer.start()
    assert explorer.wait(1) and len(explorer.runs) == 1, "kept, not trained again"
    explorer.run(lam=0.1, epochs=2)
    explorer.refresh()
    assert explorer.picture.value != alone and "1 other run behind it" in explorer.status.value
    assert "<table" in explorer.table.value and explorer.frame()["lam"].tolist() == [0.7, 0.1]
    assert "dataframe" not in explorer.table.value, "its headings would move when a cell shows a data frame"
    figure = explorer.static()
    assert len(figure.axes[0].lines) == 3, "a ghost, the run, its star"
    assert plots.png(figure) == plots.png(explorer.static())


def test_the_table_names_the_metric_and_tells_epochs_asked_for_from_trained(explorer):
    explorer.run(modalities=("text",), epochs=2)
    explorer.runs[0].rows = explorer.runs[0].rows[:1]
    explorer.runs.append(Run({"method": "pamd", "epochs": 9}, [{"epoch": 1, "valid recall@10": 0.25}]))
    explorer.runs.append(Run({"method": "mf"}, [{"epoch": 1, "valid recall@20": float("nan")}]))
    frame = explorer.frame()
    assert frame["metric"].tolist() == ["recall@20", "recall@10", ""]
    assert frame["most epochs"].tolist()[:2] == [2, 9] and frame["epochs"].tolist() == [1, 1, 1]
    assert frame["modalities"].tolist()[0] == "text"
    explorer.refresh()
    assert "recall@10 0.25" in explorer.table.value and "(" not in explorer.table.value


def test_lambda_is_named_and_reaches_as_far_as_the_method_s_own(split):
    made = explorers.TrainingExplorer(split, ["mf", "micro", "mcptr", "mp4sr"])
    first = made.controls["lam"]
    assert first.disabled
    seen = {}
    for name in ("micro", "mcptr", "mp4sr", "mf"):
        made.controls["method"].value = name
        lam = made.controls["lam"]
        assert lam in made.widget.children[1].children and len(made.widget.children[1].children) == len(made.controls)
        assert lam.disabled == (name == "mf")
        seen[name] = lam.description, lam.value, lam.min, lam.max, type(lam).__name__
    assert seen == {
        "micro": ("λ, raw share", 0.7, 0, 1, "FloatSlider"),
        "mcptr": ("λ, CIMA's share", 0.2, 0, 1, "FloatSlider"),
        "mp4sr": ("λ, contrast", 0.01, -4, 0, "FloatLogSlider"),
        "mf": seen["mp4sr"],  # greyed out
    }
    made.controls["method"].value = "micro"
    assert "Eq. 5" in made.controls["lam"].tooltip
    made.controls["lam"].value = 0.3
    assert "λ 0.3" in made.status.value


def test_one_training_at_a_time(split, explorer, monkeypatch):
    other = explorers.TrainingExplorer(split, ["micro"], epochs=2)
    waiting, go_on, loss = threading.Event(), threading.Event(), MICRO.loss

    def slow(self, batch):
        waiting.set()
        assert go_on.wait(20)
        return loss(self, batch)

    monkeypatch.setattr(MICRO, "loss", slow)
    explorer.start()
    assert waiting.wait(20)
    other.start()
    assert other.runs == [] and "<b>Not trained:</b> another training goes on" in other.status.value
    for one in (explorer, other):
        with pytest.raises(RuntimeError, match="another training goes on"):
            one.run(lam=0.1)
    assert len(explorer.runs) == 1
    explorer.cancel()
    threading.Timer(0.3, go_on.set).start()
    run = explorer.run(lam=0.2, epochs=1)  # waits for the batch that was begun, and revokes no Cancel
    assert [one.state for one in explorer.runs] == ["cancelled", "all epochs"] and run is explorer.runs[1]
    other.start()
    assert other.wait(20) and other.runs[0].state == "all epochs"


def test_what_a_run_cannot_be_given_is_refused(split, explorer):
    with pytest.raises(ValueError, match=r"method 'micro': setting = 'lamb' is unknown; choose one of method, lam, k"):
        explorer.run(lamb=0.3)
    with pytest.raises(ValueError, match=r"method 'pamd': setting = 'lam' is unknown; choose one of method, mod"):
        explorer.run(method="pamd", lam=0.3)
    with pytest.raises(ValueError, match="epochs = 0 is outside 1"):
        explorer.run(epochs=0)
    assert explorer.runs == []
    with pytest.raises(ValueError, match="TrainingExplorer: seed = -1 is outside 0"):
        explorers.TrainingExplorer(split, seed=-1)
    with pytest.raises(ValueError, match="no method to choose"):
        explorers.TrainingExplorer(split, [])
    wide = explorers.TrainingExplorer(split, ["mf"], epochs=200, seed=123)
    assert (wide.params["epochs"], wide.params["seed"]) == (200, 123)


def test_run_says_what_came_out_of_the_settings_shown(explorer):
    run = explorer.run()
    assert f"{run.state}, {len(run.rows)} epochs" in explorer.status.value and "<table" in explorer.table.value
    assert "not run yet" not in explorer.picture.value


def test_kept_pictures_are_dropped_under_their_lock(explorer):
    locked = []

    class Kept(type(explorer._kept)):
        def clear(self):
            locked.append(explorer._lock.locked())
            super().clear()

    explorer._kept = Kept()
    explorer.refresh()
    assert locked == [True]


def test_cancel_stops_before_the_next_batch(monkeypatch):
    many = mm.split(tiny_shop(n_users=400), "ratio", seed=0)  # three batches an epoch
    explorer = explorers.TrainingExplorer(many, ["micro"], epochs=2)
    batches, waiting, go_on = [], threading.Event(), threading.Event()
    loss = MICRO.loss

    def slow(self, batch):
        batches.append(1)
        waiting.set()
        assert go_on.wait(20)
        return loss(self, batch)

    monkeypatch.setattr(MICRO, "loss", slow)
    explorer.controls["epochs"].value = 60
    explorer.start()
    assert waiting.wait(20) and explorer.run_button.disabled
    explorer.cancel_button.click()
    go_on.set()
    assert explorer.wait(20)
    assert len(batches) == 1 and explorer.runs[0].state == "cancelled"
    assert "cancelled, 0 epochs" in explorer.status.value and not explorer.run_button.disabled
    monkeypatch.setattr(MICRO, "loss", loss)
    explorer.controls["epochs"].value = 2
    explorer.controls["epochs"].value = 60
    explorer.start()
    time.sleep(0.01)
    explorer.cancel()
    explorer.wait(30)
    assert len(explorer.runs) == 2, "a cancelled run is not kept as an answer"


def test_what_cannot_be_trained_is_said(explorer):
    explorer.controls["method"].value = "pamd"
    explorer.controls["modalities"].value = ("image",)
    explorer.start()
    assert explorer.wait(20)
    assert "Not trained:" in explorer.status.value and "pamd parts two different modalities" in explorer.status.value
    assert explorer.runs[0].state == "failed" and not explorer.run_button.disabled
    with pytest.raises(ValueError, match="nothing has been run"):
        explorers.TrainingExplorer(explorer.split, ["mf"]).static()


@pytest.mark.parametrize(("error", "state"), [(ValueError("no <luck>"), "failed"), (KeyboardInterrupt(), "cancelled")])
def test_a_run_that_raises_may_be_run_again(explorer, monkeypatch, error, state):
    def fails(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("mmrec_lite.explorers.training.fit", fails)
        with pytest.raises(type(error)):
            explorer.run()
    assert explorer.runs[0].state == state
    assert ("<b>Not trained:</b> ValueError: no &lt;luck&gt;" in explorer.status.value) == (state == "failed")
    explorer.start()
    assert explorer.wait(60) and [run.state for run in explorer.runs] == [state, "all epochs"]


def test_stages_and_live_pictures(explorer, monkeypatch):
    monkeypatch.setattr("mmrec_lite.explorers.training.REDRAW", 0)
    pictures = []
    explorer.picture.observe(lambda change: pictures.append(change["new"]), "value")
    explorer.controls["method"].value = "pamd"
    before = len(pictures)
    explorer.start()
    assert explorer.wait(60)
    assert {row["stage"] for row in explorer.runs[0].rows} == {"pretrain", "recommend"}
    assert len(set(pictures[before:])) >= 5


def test_the_best_figure_is_that_of_the_model_which_comes_out():
    """MCPTR's pre-training was validated better than what its fine-tuning ended with: 0.450 was shown, 0.425 true."""
    split = mm.split(tiny_shop(n_items=80), "ratio", seed=0)
    explorer = explorers.TrainingExplorer(split, methods=("mcptr",), epochs=4, seed=2)
    with pytest.warns(UserWarning, match="no reviews"):
        run = explorer.run()
    stages = run.frame.groupby("stage", sort=False)["valid recall@20"].max()
    assert stages["pretrain"] > stages["recommend"] == run.best.value
    assert f"{stages['recommend']:.4f} after epoch {run.best.row}" in explorer.describe(explorer.params)
    assert explorer.frame()["best validation"].tolist() == [stages["recommend"]]
    for figure in (explorer.static(), plots.training_curves(run.frame)):
        ax = next(ax for ax in figure.axes if ax.get_title(loc="left") == "valid recall@20")
        stars = [line for line in ax.lines if line.get_marker() == "*"]
        assert [float(star.get_ydata()[0]) for star in stars] == stages.tolist()
        assert stars[-1].get_xdata()[0] == run.best.row


@pytest.fixture
def own_method():
    """Register LightGCN under another name, with more settings: (type, default) by name."""
    made: list[str] = []

    def make(name, **fields):
        config = pydantic.create_model("Config", __base__=LightGCN.Config, **fields)
        register(type(name, (LightGCN,), {"name": name, "summary": "one of my own", "Config": config}))
        made.append(name)
        return name

    yield make
    for name in made:
        del REGISTRY[name]


def test_a_slider_takes_the_method_s_own_value_or_leaves_it_alone(split, own_method):
    """k = 80 and beta = 0 were moved to 50 and 0.0001 in silence; k = None left the explorer deaf for good."""
    wide = own_method("wide", k=(int, 80), beta=(float, 0.0))
    free = own_method("free", k=(int | None, None), beta=(float, 20.0))
    explorer = explorers.TrainingExplorer(split, methods=("lightgcn", wide, free), epochs=1)
    explorer.controls["method"].value = wide
    assert explorer.settings(explorer.params) == {"method": wide, "k": 80, "epochs": 1, "seed": 0}
    assert explorer.controls["beta"].disabled and not explorer.controls["k"].disabled
    explorer.start()
    assert explorer.wait(60) and explorer.run(method=wide) is explorer.runs[0]
    explorer.controls["method"].value = free
    assert explorer.settings(explorer.params) == {"method": free, "beta": 20.0, "epochs": 1, "seed": 0}
    assert explorer.controls["k"].disabled
    explorer.controls["method"].value = "lightgcn"
    explorer.controls["seed"].value = 5
    assert "seed 5" in explorer.status.value


def test_the_picture_says_where_a_run_without_epochs_stands(split, explorer, monkeypatch):
    """All of them were "not run yet"."""
    seen = []
    plain = explorers.TrainingExplorer(split, methods=("popularity",))

    def title(made):
        return made.render(made.params).get_suptitle()

    assert title(plain).endswith(": not run yet")
    plain.start()
    assert plain.wait(60) and title(plain).endswith(": nothing to train")
    monkeypatch.setattr("mmrec_lite.explorers.training.fit", lambda *_, **__: seen.append(title(explorer)) or 1 / 0)
    explorer.start()
    assert explorer.wait(60) and seen[0].endswith(": running")
    assert title(explorer).endswith(": failed") and explorer.static().get_suptitle().endswith(": failed")
    explorer.controls["seed"].value = 1
    explorer.controls["seed"].value = 0
    assert "failed (ZeroDivisionError: division by zero), 0 epochs" in explorer.status.value


def test_sliders_that_are_replaced_leave_nothing_behind(explorer):
    def there_and_back():
        explorer.controls["method"].value = "lightgcn"
        explorer.controls["method"].value = "micro"
        return len(ipywidgets.widgets.widget._instances)

    assert there_and_back() == there_and_back() == there_and_back()
