"""One JupyterLab and one browser for all browser tests; skips, with the reason, without a Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import FLAGS, chromium
from tests.browser.lab import Lab, LabPage, running_lab


@pytest.fixture(scope="session")
def browser() -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine: `make browser` installs it, MMREC_CHROMIUM names one")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab(browser, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a copy of notebooks/: a test may not change a lesson."""
    folder, home = tmp_path_factory.mktemp("lessons"), tmp_path_factory.mktemp("lab")
    for name in ("notebooks", "figures"):
        if (repository / name).is_dir():
            shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns(".*"))
    with running_lab(folder, home) as started:
        yield started


@pytest.fixture
def page(browser, lab: Lab) -> Iterator[LabPage]:
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    tab = context.new_page()
    tab.set_default_timeout(30_000)
    yield LabPage(tab, lab)
    context.close()
