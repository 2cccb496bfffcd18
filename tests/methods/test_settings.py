"""The table of what can be set of a method."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

import pytest
from pydantic import Field
from typer.testing import CliRunner

import mmrec_lite as mm
from mmrec_lite.cli import app
from mmrec_lite.methods import REGISTRY, configure


@pytest.mark.parametrize("name", REGISTRY)
def test_every_setting_stands_there_as_each_profile_has_it(name):
    table = mm.settings(name)
    assert set(table.index) == set(REGISTRY[name].Config.model_fields)
    for profile in REGISTRY[name].profiles:
        config = configure(name, profile)
        assert {setting: getattr(config, setting) for setting in table.index} == table[profile].to_dict()
    assert table["meaning"].str.len().gt(0).all()


def test_values_in_words():
    table = mm.settings("micro")["values"]
    assert table["k"] == "whole number >= 1" and table["lam"] == "number >= 0 and <= 1"
    assert table["backbone"] == "lightgcn, ngcf, mf" and table["symmetric"] == "true or false"
    assert table["negatives"] == "whole number >= 1" and table["modalities"] == "names"
    assert table["monitor"] == ""  # its meaning says it
    for name in REGISTRY:  # what is promised is taken, and what is not is refused
        settings = mm.settings(name)
        for setting, words in settings["values"].items():
            if ", " in words:
                for value in words.split(", "):
                    assert getattr(configure(name, **{setting: value}), setting) == value
                with pytest.raises(ValueError, match=setting):
                    configure(name, **{setting: "nonsense"})


def test_a_method_of_ones_own_and_one_that_there_is_not(monkeypatch):
    class Config(mm.Hyperparameters):
        shelf: int | None = Field(None, ge=2, le=9, description="how many stand in front")

    class Mine(mm.Method):
        name, summary, Config = "mine", "my own", None

    Mine.Config = Config
    monkeypatch.setitem(REGISTRY, "mine", Mine)
    assert mm.settings("mine").loc["shelf"].tolist()[-2:] == [
        "whole number >= 2 and <= 9",
        "how many stand in front",
    ]
    with pytest.raises(ValueError, match="Did you mean 'micro'"):
        mm.settings("micr")


def test_types_that_json_tells_less_of(monkeypatch):
    class Config(mm.Hyperparameters):
        only: Literal["a"] = "a"
        sizes: tuple[int, ...] = (1, 2)

    class Callback(Config):
        call: Callable[[], int] = len

    class Mine(mm.Method):
        name, summary, Config = "mine", "my own", None

    monkeypatch.setitem(REGISTRY, "mine", Mine)
    Mine.Config = Config
    assert mm.settings("mine").loc[["only", "sizes"], "values"].tolist() == ["a", "one or several of whole number"]
    Mine.Config = Callback
    assert set(mm.settings("mine")["values"]) == {""} and mm.settings("mine").loc["epochs", "meaning"]


def test_the_command_line_shows_it():
    shown = CliRunner().invoke(app, ["methods", "mp4sr"])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["setting", "paper", "lecture", "meaning", "(values)"]
    assert next(line for line in lines if line.startswith("finetune_lr")).split()[1:3] == ["0.0001", "0.003"]
    assert max(map(len, lines)) <= 120
    assert lines[-1] == "mmrec run mp4sr --set NAME=VALUE; --profile takes paper or lecture"
    asked = CliRunner().invoke(app, ["methods", "mp4sr", "--json"])
    assert json.loads(asked.stdout)["variant"]["paper"] == "full"
    refused = CliRunner().invoke(app, ["methods", "mp4s"])
    assert refused.exit_code == 2 and "Did you mean 'mp4sr'" in refused.stderr
