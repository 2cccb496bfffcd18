"""`make audit` asks about every locked package, and a known hole is an error; the service it asks stands here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

UV = Path(sys.executable).with_name("uv")


@contextmanager
def service(asked: list[tuple[str, str]], bad: str) -> Iterator[str]:
    """Answer like osv.dev: the package `bad` has a hole that its version 99 closes; write down what was asked."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = canonicalize_name(question["package"]["name"]), question["version"]
            asked.append((name, version))
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]
            hole = {"id": "HOLE-1", "modified": "2020-01-01T00:00:00Z", "summary": "made up", "details": "made up"}
            hole["affected"] = [
                {"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges, "versions": [version]}
            ]
            body = json.dumps({"vulns": [hole]} if name == bad else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def auditors() -> None:
    """pip-audit and bandit are no dependency of ours: uv fetches them."""
    if not UV.exists() or shutil.which("make") is None:
        pytest.skip("needs make, and uv beside this Python (`make env`)")
    for tool in ("pip-audit", "bandit"):
        got = subprocess.run([UV, "tool", "run", tool, "--version"], capture_output=True, text=True)
        if got.returncode:
            pytest.skip(f"uv could not fetch {tool}: {got.stderr.strip().splitlines()[-1]}")


def test_audit_asks_about_every_locked_package_and_reports_a_hole(
    repository: Path, tmp_path: Path, auditors: None
) -> None:
    lines = [line for line in (repository / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    locked = {(canonicalize_name(r.name), str(r.specifier)[2:]) for r in map(Requirement, lines)}
    bad = [version for name, version in locked if name == "numpy"]
    asked: list[tuple[str, str]] = []
    with service(asked, "numpy") as address:
        flags = f"--vulnerability-service osv --osv-url {address} --cache-dir {tmp_path} --progress-spinner off"
        call = ["make", "--silent", "audit", f"AUDIT_FLAGS={flags}", f"BIN={UV.parent}", "--assume-old=env"]
        done = subprocess.run(call, cwd=repository, capture_output=True, text=True)
    assert set(asked) == locked, done.stderr
    assert len(bad) > 1, "the lock has one numpy for all Pythons: nothing here shows that both lists are read"
    assert done.returncode != 0, "a hole is no error"
    assert sorted(line.split()[1] for line in done.stdout.splitlines() if "HOLE-1" in line) == sorted(bad)
