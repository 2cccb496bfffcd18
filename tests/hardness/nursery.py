"""Processes that are there at once: one imports what takes long, then every program runs in a fork of it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SERVE = """
import json, os, sys, traceback
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1), os.dup2(log, 2)
            sys.argv = ["program", *order["arguments"]]
            exec(compile(order["program"], "program", "exec"), globals())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """Runs programs, one at a time, after `first` has been run once for all of them."""

    def __init__(self, folder: Path, first: str, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self.log = folder / "program.log"
        begin = f"import sys, torch\ntorch.set_num_threads(1)\n{first}\nprint('ready', flush=True)\n"
        self.process = subprocess.Popen(
            [sys.executable, "-c", begin + SERVE, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            bufsize=0, cwd=REPOSITORY, env=environment, start_new_session=True,
        )  # fmt: skip
        assert self.line() == "ready"

    def run(
        self, program: str, *arguments: str, kill_after: float | None = None, after: str = "ready\n",
        sent: int = signal.SIGKILL,
    ) -> int:  # fmt: skip
        """Run a program and return its code; SIGKILL so many seconds after it has printed `after` (code -9)."""
        order = {"program": program, "arguments": arguments, "log": str(self.log)}
        self.log.unlink(missing_ok=True)
        self.process.stdin.write((json.dumps(order) + "\n").encode())
        child = int(self.line())
        if kill_after is not None:
            while after not in self.said() and not self.answered(0.001):
                pass
            self.answered(kill_after)  # waits so long, unless the program ends before
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.kill(child, sent)
        return int(self.line())

    def line(self, patience: float = 120) -> str:
        """The next line of the process; AssertionError where there is none in so many seconds."""
        assert self.answered(patience), f"no answer within {patience} s: {self.said()}"
        return self.process.stdout.readline().decode().strip()

    def answered(self, seconds: float) -> bool:
        """Whether a line, such as the last program's code, comes within so many seconds."""
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def said(self) -> str:
        """What the last program has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path, first: str) -> Iterator[Nursery]:
        """Yield a nursery for all tests of a file, and close it; skips where nothing can be forked."""
        if not hasattr(os, "fork"):
            pytest.skip("needs a system that can fork and send SIGKILL")
        nursery = cls(folder, first)
        yield nursery
        nursery.close()

    def close(self) -> None:
        """End the process that waits for programs."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)
