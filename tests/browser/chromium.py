"""Where the browser of the tests is; as a program it prints that, and fails if there is none."""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The first two let it start as root in a container, the others keep it from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The browser's program: `$MMREC_CHROMIUM`, else the system's; None if there is none."""
    named = os.environ.get("MMREC_CHROMIUM")
    if named:
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


if __name__ == "__main__":
    program = chromium()
    print(program or "no Chromium")
    sys.exit(program is None)
