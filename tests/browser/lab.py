"""A real JupyterLab in a real browser: start the one, drive the other."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page

SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Cells outside the window would not be in the page, and a test would not see their outputs.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # JupyterLab saves by itself, after two minutes: who saves before it has heard that this is done finds a newer file
    # than it knows, and asks the user ("File Changed"), whom a test does not have.
    "docmanager-extension/plugin": {"autosave": False},
}
RAN = r"/^\[\d+\]:$/"
# Asked for at every frame, as is Playwright's way, a browser without a GPU draws all the time: on two cores it costs
# the kernel, which it waits for, a core.
POLLING = 250  # ms


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: `folder` is what it shows, `url` and `token` lead to it."""

    folder: Path
    url: str
    token: str

    def address(self, name: str) -> str:
        """Where the file `name` opens, in a workspace of its own: no tab of an earlier test is restored."""
        return f"{self.url}/lab/workspaces/auto-{secrets.token_hex(4)}/tree/{name}?token={self.token}"

    def stop_kernels(self) -> None:
        """End all kernels: each lesson's holds a gigabyte."""
        headers = {"Authorization": f"token {self.token}"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/api/kernels", headers=headers)) as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            address = f"{self.url}/api/kernels/{kernel['id']}"
            urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="DELETE")).close()


@contextmanager
def running_lab(folder: Path, home: Path, patience: float = 60) -> Iterator[Lab]:
    """JupyterLab on `folder`, on a free port, with a token, with settings of its own in `home`."""
    for name, content in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    token = secrets.token_hex(16)
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "HF_HUB_OFFLINE": "1",
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        "--expose-app-in-browser",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
    ]
    log = home / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield Lab(folder, _address(process, home / "runtime", token, log, patience), token)
    finally:
        process.terminate()  # which ends its kernels, too
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen, runtime: Path, token: str, log: Path, patience: float) -> str:
    """Wait until the server answers; the port it chose stands in a file that it writes."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            said = json.loads((runtime / f"jpserver-{process.pid}.json").read_text())
            url = f"http://127.0.0.1:{said['port']}"
            with urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5):
                return url
        except (OSError, ValueError):
            time.sleep(0.2)
    said = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"JupyterLab did not start in {patience:.0f} s:\n{said}")


class LabPage:
    """One notebook in one browser tab, with the words a test needs."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab = page, lab

    def open(self, name: str) -> None:
        """Show the notebook `name` and wait for its kernel."""
        self.page.goto(self.lab.address(name))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.wait_until_idle(60)

    def dialogs(self) -> list[str]:
        """What stands in the way or in a corner: dialogs and toasts."""
        return self.page.locator(".jp-Dialog, .Toastify__toast").all_inner_texts()

    def wait_until_idle(self, seconds: float) -> None:
        """The status bar knows; the circle above the notebook is "idle" before there is a kernel, too."""
        self.page.wait_for_function(
            """() => /\\| Idle$/.test(document.querySelector('#jp-main-statusbar')?.innerText
                .split('\\n').find(text => text.includes(' | ')) ?? '')""",
            timeout=seconds * 1000,
            polling=POLLING,
        )

    def run_all(self, seconds: float) -> None:
        """Menu Run, Run All Cells; returns when every code cell that holds anything has its number."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
        self.page.wait_for_function(
            f"""() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')]
                .filter(cell => cell.querySelector('.cm-content')?.textContent.trim())
                .every(cell => {RAN}.test(cell.querySelector('.jp-InputPrompt').textContent.trim()))""",
            timeout=seconds * 1000,
            polling=POLLING,
        )
        self.wait_until_idle(seconds)

    def clear_outputs(self) -> None:
        """Forget the numbers and outputs that came with the file, so that `run_all` waits for its own."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text="Edit").first.click()
        self.page.locator(".lm-Menu-itemLabel", has_text="Clear Outputs of All Cells").first.click()
        self.page.wait_for_function(
            "() => !document.querySelector('.jp-Notebook .jp-CodeCell .jp-OutputArea-output')", polling=POLLING
        )

    def save(self) -> None:
        """Write the notebook with its outputs to its file; an error where that takes more than a minute."""
        self.page.evaluate(
            """() => Promise.race([
                jupyterapp.commands.execute('docmanager:save'),
                new Promise((_, refuse) => setTimeout(() => refuse(Error('not saved in a minute')), 60_000))
            ])"""  # evaluate itself would wait without end
        )

    def errors(self) -> list[str]:
        """Every error a reader would see: tracebacks, widgets that do not show, broken pictures."""
        # Asked of the notebook itself: in the page, a traceback looks like any other line on stderr.
        found = self.page.evaluate(
            """() => jupyterapp.shell.currentWidget.content.model.toJSON().cells
                .flatMap(cell => cell.outputs ?? []).filter(output => output.output_type === 'error')
                .map(error => error.ename + ': ' + error.evalue)"""
        )
        found += self.page.get_by_text("Error displaying widget").all_inner_texts()
        found += self.page.evaluate(
            """() => [...document.querySelectorAll('.jp-Notebook img')]
                .filter(image => image.complete && image.naturalWidth === 0)
                .map(image => 'a broken picture: ' + (image.alt || image.src.slice(0, 80)))"""
        )
        return found

    def screenshot(self, path: Path) -> None:
        """The whole notebook as one picture (at most 15,000 points high)."""
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self.page.viewport_size or {"width": 1400, "height": 1000}
        height = self.page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer')?.scrollHeight ?? 1000")
        self.page.set_viewport_size({"width": size["width"], "height": min(int(height) + 150, 15_000)})
        self.page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer')?.scrollTo(0, 0)")
        self.page.wait_for_timeout(300)
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
