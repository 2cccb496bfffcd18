"""The built wheel, in an empty environment outside the repository: it is small, complete, and works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MAX_BYTES = 20_000_000
ASSETS = "mmrec_lite/data/bazaar/assets"

pytestmark = pytest.mark.slow


def run(command: list[str | Path], cwd: Path) -> str:
    """Standard output of a command that sees neither this repository nor this environment."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MMREC_SHARED"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, repository], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The programs' folder of an environment that holds the wheel and what it depends on, no extras."""
    pytest.importorskip("uv", reason="uv is not installed (extra dev)")
    environment = tmp_path_factory.mktemp("elsewhere") / "env"
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    uv = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--quiet", "--python", sys.executable, environment], environment.parent)
    # Without --python, uv would install into the environment that runs this test.
    install = [
        *uv,
        "pip",
        "install",
        "--quiet",
        "--python",
        programs / "python",
        "--constraints",
        repository / "requirements.lock",
        wheel,
    ]
    try:  # `make env` has left every package in uv's cache: half a second
        run([*install, "--offline"], environment.parent)
    except AssertionError:
        run(install, environment.parent)
    yield programs
    shutil.rmtree(environment)  # gigabytes, where uv could not make links


def test_the_wheel_is_small_and_holds_the_package_only(wheel: Path, repository: Path) -> None:
    assert wheel.stat().st_size <= MAX_BYTES
    names = set(zipfile.ZipFile(wheel).namelist())
    strange = {
        name
        for name in names
        if not name.startswith(("mmrec_lite/", "mmrec_lite-"))
        or "__pycache__" in name
        or name.endswith((".tmp", ".ipynb"))
    }
    assert strange == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path, repository: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", "mmrec_lite"], cwd=repository, capture_output=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git working copy")
    tracked = {name for name in listing.stdout.decode().split("\0") if name and (repository / name).exists()}
    assert tracked - names == set()
    assert any(name.startswith(ASSETS) for name in names), "the shop is missing"


def test_the_extras_are_not_needed(installed: Path, tmp_path: Path) -> None:
    listed = json.loads(
        run([sys.executable, "-m", "uv", "pip", "list", "--format=json", "--python", installed / "python"], tmp_path)
    )
    names = {entry["name"] for entry in listed}
    assert "mmrec-lite" in names
    extras = {"matplotlib", "open-clip-torch", "sentence-transformers", "jupyterlab", "pytest"}
    assert names.isdisjoint(extras)


def test_micro_runs_on_the_shop(installed: Path, tmp_path: Path) -> None:
    program = (
        "import json, mmrec_lite as mm\n"
        "result = mm.run('micro', 'bazaar', profile='lecture', epochs=1)\n"
        "print(json.dumps([mm.__file__, result.metrics]))"
    )
    where, metrics = json.loads(run([installed / "python", "-c", program], tmp_path).splitlines()[-1])
    assert Path(where).is_relative_to(installed.parent)
    assert 0 < metrics["recall@20"] <= 1
    assert list(tmp_path.iterdir()) == [], "a run without save= leaves no file behind"


def test_the_program_lists_its_methods(installed: Path, tmp_path: Path) -> None:
    said = run([installed / "mmrec", "methods"], tmp_path)
    assert all(name in said for name in ("popularity", "mf", "ngcf", "lightgcn", "micro"))


def test_the_program_runs_a_method(installed: Path, tmp_path: Path) -> None:
    said = json.loads(run([installed / "mmrec", "run", "popularity", "--data", "bazaar", "--json"], tmp_path))
    assert 0 < said["recall@20"] <= 1
