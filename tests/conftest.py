"""What every test gets: no network, few threads, and the way to the real data sets where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.pop("MMREC_FIGURES", None)  # a test never draws over the committed figures

import pytest

from tests.hardness.ledger import Ledger, mark, tried

__all__ = ["tried"]  # a fixture for every test: how it says what it has tried

REPOSITORY = Path(__file__).resolve().parents[1]


# In several processes the tests of a file stay together, for they share its fixtures; each lesson's runs are a group of
# their own. What takes longest begins, so that no process waits for another at the end.
APART = {"test_a_lesson_opens_and_runs", "test_runs_with_another_seed"}
FIRST = (
    "tests/browser/",
    "notebooks/",
    "tests/notebooks/",
    "tests/hardness/",
    "tests/experiments/",
    "tests/parallel/",
    "tests/test_wheel.py",
)


def group(nodeid: str) -> str:
    """The tests that stay in one process with this one: a name, equal for all of them."""
    file, *_, function = nodeid.split("[")[0].split("::")
    return nodeid if function in APART else file


def pytest_configure(config: pytest.Config) -> None:
    """The process that sees every report keeps the ledger; under pytest-xdist that is not a worker."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Ledger(), "ledger")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest, where several processes share the tests; mark those that count what they try."""
    mark(items)
    if hasattr(config, "workerinput"):
        places = [next((n for n, start in enumerate(FIRST) if i.nodeid.startswith(start)), len(FIRST)) for i in items]
        items[:] = [items[n] for n in sorted(range(len(items)), key=places.__getitem__)]


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's own `--dist=loadgroup` (3.8) is without effect under pytest 9.2
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share out groups, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the working copy."""
    return REPOSITORY


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    """Sums of floats depend on the number of threads: the same two everywhere, but where processes are forked."""
    import torch

    torch.set_num_threads(int(os.environ.get("MMREC_TEST_THREADS", min(2, os.cpu_count() or 1))))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """`shared_data("tiktok")` is that data set's folder; skips where the real data sets are absent.

    They may not be published with the project. Looked for in `$MMREC_SHARED` and beside the repository.
    """
    named = os.environ.get("MMREC_SHARED")
    roots = [Path(named)] if named else [REPOSITORY.parent / "shared", REPOSITORY / "shared"]

    def find(name: str) -> Path:
        for root in roots:
            for folder in (root / "data" / name, root / name):
                if folder.is_dir():
                    return folder
        pytest.skip(f"the data set {name!r} is not here: set MMREC_SHARED to the folder with real data")

    return find
