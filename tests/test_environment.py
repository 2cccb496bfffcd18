"""environment.yml and requirements.lock say what pyproject.toml says, and nothing names a package index."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from mmrec_lite._threads import SPIN

INDEX = re.compile(
    r"""
    --(extra-)?index-url | --find-links | --trusted-host | ^\s*-[if]\s+\S*/
    | (?<!\w)(index-url|index_url|find-links|trusted-host)\s*=
    | https?://[^\s"')>]*/simple(/|\b)            # what every index's address ends with
    | https?://[^\s"')>]*(pypi|artifactory|nexus|devpi|download\.pytorch\.org)[^\s"')>]*
    """,
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)
URL = re.compile(r"\w+://|\b[\w-]+(\.[\w-]+)+:\d+\b|\s@\s")


def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def requirements(repository: Path) -> list[Requirement]:
    declared = project(repository)
    lines = list(declared["dependencies"])
    for extra in declared["optional-dependencies"].values():
        lines += extra
    return [Requirement(line) for line in lines]


def locked(text: str) -> list[Requirement]:
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


def pins(text: str, python: str) -> dict[str, Version]:
    """Name -> pinned version on Linux with that Python."""
    where = {
        "python_version": python,
        "python_full_version": python + ".0",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
    }
    chosen = {}
    for line in locked(text):
        if line.marker is None or line.marker.evaluate(where):
            (pin,) = line.specifier
            assert pin.operator == "==", f"{line} is not pinned"
            chosen[canonicalize_name(line.name)] = Version(pin.version)
    return chosen


def unmet(wanted: list[Requirement], have: dict[str, Version]) -> list[str]:
    return [
        str(line)
        for line in wanted
        if (version := have.get(canonicalize_name(line.name))) is None
        or not line.specifier.contains(version, prereleases=True)
    ]


def test_environment_yml_installs_what_pyproject_declares(repository: Path) -> None:
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    declared = project(repository)
    assert environment["name"] == declared["name"]
    assert environment["channels"] == ["conda-forge"]
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    # The file stays thin: a package listed here as well would drift away from pyproject.toml.
    assert [re.split("[=<>]", entry)[0] for entry in conda] == ["python", "pip"]
    (editable,) = pip
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", editable)
    assert extras, editable
    assert set(extras[1].split(",")) == set(declared["optional-dependencies"])


def test_environment_yml_has_a_python_that_pyproject_allows(repository: Path) -> None:
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    python = environment["dependencies"][0].removeprefix("python=")
    allowed = SpecifierSet(project(repository)["requires-python"])
    assert allowed.contains(Version(python + ".0"))
    assert str(allowed) == f">={python}", "environment.yml pins the oldest Python that pyproject.toml allows"


CONDA = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "sklearn": "scikit-learn", "PIL": "pillow"}
BINDER_LESSONS = ("00_quick_tour", "01_data_preparation", "03_micro_losses")


def test_the_binder_has_the_core_and_what_its_lessons_import(repository: Path) -> None:
    """Same bounds as pyproject.toml: a Binder cannot be tried here, so that its file must not drift."""
    environment = yaml.safe_load((repository / ".binder" / "environment.yml").read_text())
    listed = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    declared = project(repository)
    extra = declared["optional-dependencies"]["notebooks"]
    bounds = {Requirement(line).name: line for line in [*declared["dependencies"], *extra]}
    bounds = {CONDA.get(name, name): line.replace(name, CONDA.get(name, name), 1) for name, line in bounds.items()}
    assert listed[:2] == [f"python={declared['requires-python'].removeprefix('>=')}", "pip"]
    given = {re.split("[=<>]", line)[0]: line for line in [*listed[2:], *pip]}
    assert given == {name: bounds[name] for name in given}
    assert {CONDA.get(name, name) for name in (Requirement(line).name for line in declared["dependencies"])} <= set(
        given
    )
    known = (
        {name.replace("-", "_") for name in given} | {"mmrec_lite", "torch", "IPython"} | set(sys.stdlib_module_names)
    )
    for lesson in BINDER_LESSONS:
        cells = json.loads((repository / "notebooks" / f"{lesson}.ipynb").read_text())["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for module in re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE):
            assert CONDA.get(module, module).replace("-", "_") in known, f"{lesson} imports {module}"
        assert "UMAP" not in code and "mmrec_lite.features" not in code


def test_the_binder_installs_the_package_itself(repository: Path) -> None:
    script = repository / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111 and "pip install --no-deps" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_satisfies_every_dependency(repository: Path, python: str) -> None:
    have = pins((repository / "requirements.lock").read_text(), python)
    assert unmet(requirements(repository), have) == [], "run `make lock`"


def test_unmet_sees_a_missing_and_an_old_package() -> None:
    have = pins("numpy==1.26.0\ntorch==2.5.0 ; sys_platform == 'linux'\n", "3.11")
    wanted = [Requirement(line) for line in ("numpy>=2.0", "torch>=2.4", "scipy>=1.13")]
    assert unmet(wanted, have) == ["numpy>=2.0", "scipy>=1.13"]


def test_the_lock_holds_names_and_versions_only(repository: Path) -> None:
    text = (repository / "requirements.lock").read_text()
    assert URL.search(text) is None
    assert all(line.url is None for line in locked(text))
    assert len(locked(text)) > len(requirements(repository))


def tracked(repository: Path) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, check=False)
    if listing.returncode:
        pytest.skip("not a git working copy")
    return [repository / name for name in listing.stdout.decode().split("\0") if name]


def test_no_tracked_file_names_a_package_index(repository: Path) -> None:
    found = []
    for path in tracked(repository):
        if path == Path(__file__).resolve() or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures, tables, weights
        # The Makefile's own options that leave addresses out are the one allowed mention.
        text = re.sub(r"--no-emit-(index-url|find-links)", "", text)
        found += [f"{path.relative_to(repository)}: {hit[0].strip()}" for hit in INDEX.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://mirror.example/simple",
        "index-url = 'x'",
        "-f /opt/wheels",
        "see https://mirror.example/pypi/web",
        "--extra-index-url=https://a.example/b",
    ],
)
def test_the_search_for_a_package_index_finds_one(line: str) -> None:
    assert INDEX.search(line)


def test_no_uv_lock_is_tracked(repository: Path) -> None:
    names = {path.name for path in tracked(repository)}
    assert "uv.lock" not in names, "uv.lock holds the addresses of the index it was made from"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, SPIN), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, None)],
    ids=["nothing set", "rounds set", "policy set"],
)
def test_idle_threads_spin_briefly_unless_somebody_chose(
    given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # so that it is put back, whatever the module does to it
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(repository / "mmrec_lite" / "_threads.py"))
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_how_idle_threads_spin_is_chosen_before_pytorch_is_loaded() -> None:
    """Afterwards libgomp does not read it."""
    program = "import sys, mmrec_lite; n = list(sys.modules); print(n.index('mmrec_lite._threads') < n.index('torch'))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "True\n"


def test_a_server_for_notebooks_is_started_with_the_same_choice(repository: Path) -> None:
    """For lessons that import torch first."""
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    assert environment["variables"] == {"GOMP_SPINCOUNT": SPIN}
    assert f"export GOMP_SPINCOUNT ?= {SPIN}\n" in (repository / "Makefile").read_text()
    assert f"`GOMP_SPINCOUNT={SPIN}`" in (repository / "notebooks" / "teaching.md").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("given", [{}, {"HF_HUB_OFFLINE": "0"}], ids=["nothing set", "online asked for"])
def test_models_are_downloaded_by_people_alone(given: dict[str, str], repository: Path, tmp_path: Path) -> None:
    """Lesson 12 recommends one; what runs by itself needs none. The shell of the recipes says what they would see."""
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "offline=${HF_HUB_OFFLINE-unset}"\n')
    shell.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"} | given

    def seen(target: str) -> set[str]:
        call = ["make", "--silent", "--assume-old=env", f"SHELL={shell}", target]
        said = subprocess.run(call, cwd=repository, env=environment, capture_output=True, text=True, check=True)
        return set(re.findall("offline=(.*)", said.stdout))

    for target in ("lab", "voila"):
        assert seen(target) == {given.get("HF_HUB_OFFLINE", "unset")}, target
    for target in ("test", "demo", "notebooks", "figures", "site", "tuning", "bench", "coverage", "oldest"):
        assert seen(target) == {"1"}, target
