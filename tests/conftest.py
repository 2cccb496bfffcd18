"""What every test gets: no network, few threads, and the way to the real data sets where they are present."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ.pop("MMREC_FIGURES", None)  # a test never draws over the committed figures

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


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
