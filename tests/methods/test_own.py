"""Methods that a user adds: what is refused, what identifies their code, and that other processes know them."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys
from types import ModuleType
from typing import ClassVar

import pydantic
import pytest

import mmrec_lite as mm
from mmrec_lite.methods import REGISTRY
from mmrec_lite.methods.code import code_of, function_id
from mmrec_lite.methods.registry import TAKEN
from mmrec_lite.training import CheckpointError
from tests.tiny import tiny_shop

SOURCE = '''
import functools
import torch
import mmrec_lite as mm
from mmrec_lite.methods.backbones import MF
from pydantic import Field

WEIGHT = 0.5
TASTES = {"sweet", "sour", "bitter"}

def helper(scores):
    return scores * WEIGHT

def twice(function):
    @functools.wraps(function)
    def inner(*args):
        return 2 * function(*args)
    return inner

class Base(MF):
    def score(self, users):
        return helper(super().score(users))

@mm.register
class Own(Base):
    """A method."""
    name, summary = "own", "a method of a test"

    class Config(MF.Config):
        boost: float = Field(1.0, ge=0, description="factor")

    @twice
    def factor(self):
        return [self.config.boost * n for n in (1, 2) if "sweet" in TASTES][0]

    def score(self, users):
        return self.factor() * super().score(users)
'''


@pytest.fixture(autouse=True)
def registry():
    before = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(before)


def compiled(source: str = SOURCE) -> type[mm.Method]:
    module = ModuleType("a_users_file")
    exec(compile(source, "a_users_file.py", "exec"), module.__dict__)
    return module.Own


def test_it_is_known_by_name_everywhere():
    compiled()
    shop = tiny_shop()
    assert mm.methods()["own"] == "a method of a test"
    result = mm.run("own", shop, epochs=1, dim=4, boost="2")
    assert result.row["method"] == "own" and result.row["set boost"] == 2.0
    table = mm.sweep(["own", "mf"], shop, grid={"boost": [1.0, 3.0]}, epochs=1, dim=4, progress=False)
    errors = dict(zip(table["label"], table["error"], strict=True))
    assert "no hyper-parameter 'boost'" in errors["mf"] and errors["own"] != errors["own"]
    with pytest.raises(ValueError, match="own: boost = -1 is refused"):
        mm.create("own", mm.split(shop, "ratio"), boost=-1)


class Nameless(mm.Method):
    summary = "nothing"


class Inherits(REGISTRY["mf"]):
    pass


class Scoreless(mm.Method):
    name, summary = "scoreless", "nothing"


class Vectorless(mm.VectorMethod):
    name, summary = "vectorless", "nothing"


class Silent(mm.Method):
    name, summary = "silent", " "

    def score(self, users):
        return users


class Taken(REGISTRY["mf"]):
    name = "micro"


class Misconfigured(REGISTRY["mf"]):
    name, Config = "misconfigured", dict


class Wrong(REGISTRY["mf"]):
    name = "wrong"
    profiles: ClassVar = {"paper": {}, "lecture": {"dims": 4}}


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (dict, "no class derived from mm.Method"),
        ("mf", "no class derived from mm.Method"),
        (Nameless, "Nameless needs a `name`"),
        (Inherits, "Inherits needs a `name` of its own"),
        (type("Odd", (REGISTRY["mf"],), {"name": "My Method"}), "small letters"),
        (Scoreless, "has no score"),
        (Vectorless, "has no vectors"),
        (Silent, "needs a `summary`"),
        (Taken, "'micro' is a method of the kit's"),
        (Misconfigured, "no class derived from mm.Hyperparameters"),
        (Wrong, "has no hyper-parameter 'dims'; did you mean 'dim'"),
    ],
)
def test_what_is_no_method_is_refused(cls, words):
    before = dict(REGISTRY)
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        mm.register(cls)
    assert before == REGISTRY


def test_an_unknown_name_says_how_to_make_it_known():
    with pytest.raises(ValueError, match=r"@mm\.register"):
        mm.create("own", mm.split(tiny_shop(), "ratio"))


# Its code ----------------------------------------------------------------------------------------------------


def test_the_same_program_has_the_same_code_in_every_process():
    here = code_of(compiled())
    assert here == code_of(compiled(SOURCE.replace("\nclass Base", "\n\n# a remark\nclass Base")))
    program = SOURCE + "\nfrom mmrec_lite.methods.code import code_of\nprint(code_of(Own))"
    there = [
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert there[0] == there[1] and len(there[0]) == 64


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.factor() * super()", "self.factor() + super()"),
        ("WEIGHT = 0.5", "WEIGHT = 0.25"),
        ("scores * WEIGHT", "scores / WEIGHT"),
        ("2 * function", "3 * function"),
        ("for n in (1, 2)", "for n in (2, 1)"),
        ('"bitter"}', '"salty"}'),
        ("helper(super()", "(super()"),
    ],
)
def test_changed_code_is_another(old, new):
    assert old in SOURCE
    assert code_of(compiled()) != code_of(compiled(SOURCE.replace(old, new)))


def test_the_kits_own_methods_have_no_code_but_a_version():
    assert {code_of(cls) for cls in REGISTRY.values()} == {None}


def test_results_of_former_code_are_not_read_as_those_of_the_new(tmp_path):
    settings = {"epochs": 1, "dim": 4, "save": tmp_path}
    compiled()
    first = mm.run("own", tiny_shop(), **settings)
    compiled()
    assert mm.run("own", tiny_shop(), **settings).row == first.row, "the same code is read, not run again"
    compiled(SOURCE.replace("WEIGHT = 0.5", "WEIGHT = -0.5"))
    other = mm.run("own", tiny_shop(), **settings)
    assert other.row["id"] != first.row["id"] and other.row["code"] != first.row["code"]
    assert other.metrics != first.metrics


def test_a_checkpoint_of_former_code_is_refused(tmp_path):
    parts = mm.split(tiny_shop(), "ratio")
    for source in (SOURCE, SOURCE):
        mm.fit(
            compiled(source)(parts, compiled().Config(dim=4), 0), parts, epochs=1, checkpoint=tmp_path, progress=False
        )
    changed = compiled(SOURCE.replace("2 * function", "3 * function"))
    with pytest.raises(CheckpointError, match="another code"):
        mm.fit(changed(parts, changed.Config(dim=4), 0), parts, epochs=2, checkpoint=tmp_path, progress=False)


# Other processes ---------------------------------------------------------------------------------------------

MAIN = (
    SOURCE
    + """
if __name__ == "__main__":
    from tests.tiny import tiny_shop
    grid = {"boost": [1.0, -1.0]}
    table = mm.sweep("own", tiny_shop(), grid=grid, epochs=1, dim=4, progress=False, jobs=2)
    assert table["recall@20"].notna().tolist() == [True, False], table.to_string()
    assert "boost = -1.0 is refused" in table["error"].iloc[1]
    print(table["code"].iloc[0], mm.run("own", tiny_shop(), epochs=1, dim=4).row["code"])
"""
)


def test_workers_know_a_class_of_the_main_program(tmp_path, repository):
    """As a notebook's: the class can be imported from nowhere, and travels itself."""
    (tmp_path / "program.py").write_text(MAIN)
    ran = subprocess.run(
        [sys.executable, tmp_path / "program.py"],
        env={"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    there, here = ran.stdout.split()
    assert there == here


HOLDERS = {
    "a dict": "FORMS = {'up': up}",
    "a list in a dict": "FORMS = {'up': [up]}",
    "a class attribute": "class Forms:\n    up = {'up': up}\nFORMS = Forms",
    "an object": (
        "class Form:\n    def __init__(self, f): self.f = f\n    def __call__(self, n): return self.f(n)\n"
        "FORMS = [Form(up)]"
    ),
    "a partial's argument": "FORMS = partial(map, up)",
    "a default": "def other(n, f=up): return f(n)\nFORMS = {1: other}",
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_code_is_followed_into_what_holds_it(holder):
    """A kept run of the former function was read as that of the new one."""
    codes = []
    for sign in ("", "-"):
        scope = {"__name__": "lesson", "partial": functools.partial}
        source = f"def up(n): return {sign}n\n{holder}\ndef score(n): return FORMS\n"
        exec(compile(source, "lesson", "exec"), scope)
        codes.append(function_id(scope["score"]))
    assert codes[0] != codes[1]


def test_a_list_that_holds_itself_has_a_code():
    scope = {"__name__": "lesson"}
    exec("FORMS = []\nFORMS.append([FORMS])\ndef score(n): return FORMS\n", scope)
    assert function_id(scope["score"])


@pytest.mark.parametrize("setting", ["candidates", "seed", "parameters", "label"])
def test_a_setting_that_would_never_arrive_is_refused(setting):
    """run(candidates=4) ranked against four items, and the method's own setting stayed as it was."""
    config = pydantic.create_model("Config", __base__=mm.Hyperparameters, **{setting: (int, 7)})
    body = {"name": "mine", "summary": "mine", "Config": config, "score": lambda self, users: users}
    with pytest.raises(ValueError, match=f"its setting '{setting}' has the name of an argument or a column of mm.run"):
        mm.register(type("Mine", (mm.Method,), body))


def test_the_names_that_are_taken_are_those_of_the_calls_and_of_a_row():
    arguments = {p for call in (mm.run, mm.sweep, mm.create) for p in inspect.signature(call).parameters}
    assert arguments - {"hyper", "options"} <= TAKEN
    row = mm.run("popularity", tiny_shop()).row
    assert {name for name in row if name.isidentifier()} <= TAKEN
