"""Downloads from a server of our own that cuts connections, changes files and lies about them."""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from mmrec_lite.data import DataError
from mmrec_lite.data.download import SOURCES, fetch, published_md5, source_files

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Serves `content`; cuts each of the next `cuts` answers after `after` bytes.

    Each of the next `shifted` answers begins before what was asked for; `told` stands in for a Content-Range;
    `shrunk` refuses every range. In the middle of an answer the server waits until `go` is set.
    """

    content, etag, cuts, after, ranges, broken = CONTENT, '"one"', 0, 100_000, True, 0
    shifted, told, shrunk = 0, "", False

    def __init__(self):
        self.asked: list[str | None] = []
        self.come, self.go = threading.Event(), threading.Event()
        self.go.set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_):
        pass

    def path_elsewhere(self):
        return self.server.url.replace("127.0.0.1", "0.0.0.0") + ".md5"

    def do_GET(self):
        server, start = self.server, 0
        if self.path.endswith(".md5"):
            if "missing" in self.path:
                self.send_error(404)
                return
            if "moved" in self.path:
                self.send_response(302)
                self.send_header("Location", self.path_elsewhere())
                self.end_headers()
                return
            body = f"MD5 (file.bin) = {hashlib.md5(server.content).hexdigest()}\n".encode()
            body = b"<html>later</html>" if "odd" in self.path else body
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            return
        server.asked.append(self.headers.get("Range"))
        if server.broken:
            server.broken -= 1
            self.send_error(503)
            return
        if self.path.endswith("moved"):
            self.send_response(302)
            self.send_header("Location", server.url.replace("127.0.0.1", "0.0.0.0"))
            self.end_headers()
            return
        if server.shrunk and self.headers.get("Range"):
            self.send_error(416)
            return
        if self.path.endswith("nothing"):
            self.send_error(404)
            return
        if server.ranges and (asked := self.headers.get("Range")) and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start and server.shifted:
            server.shifted -= 1
            start -= 1000
        if self.headers.get("Range") and start:
            end = len(server.content)
            self.send_header("Content-Range", server.told or f"bytes {start}-{end - 1}/{end}")
        self.send_header("Content-Length", str(len(server.content) - start))
        self.send_header("ETag", server.etag)
        body = server.content[start:]
        if server.cuts:  # counted before the client can see anything of the answer, and go on
            server.cuts -= 1
            body = body[: server.after]
            self.close_connection = True
        self.end_headers()
        with suppress(ConnectionError):  # who does not like the head of an answer hangs up
            self.wfile.write(body[: len(body) // 2])
            server.come.set()
            server.go.wait(5)
            self.wfile.write(body[len(body) // 2 :])


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.cuts = 2
    steps = []
    path = fetch(server.url, tmp_path, wait=0, report=lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]
    assert steps[-1] == (300_000, 300_000)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]
    assert fetch(server.url, tmp_path) == path and len(server.asked) == 3, "what is there is not fetched again"


def test_a_later_run_goes_on(server, tmp_path):
    server.cuts = 1
    with pytest.raises(DataError, match=r"the connection broke after 100,000 of 300,000 bytes.*run it again"):
        fetch(server.url, tmp_path, attempts=1, wait=0)
    assert (tmp_path / "file.bin.partial").stat().st_size == 100_000
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=100000-"


def test_a_file_that_changed_meanwhile_is_begun_anew(server, tmp_path):
    server.cuts = 1
    with pytest.raises(DataError):
        fetch(server.url, tmp_path, attempts=1, wait=0)
    server.content, server.etag = b"another" * 10_000, '"two"'
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == server.content


@pytest.mark.parametrize("step", ["open", "write_text"])
def test_a_kill_between_the_new_tag_and_the_new_bytes_mixes_no_two_files(server, tmp_path, monkeypatch, step):
    """`step` is where the second run, which finds another file on the server, ends."""
    server.cuts = 1
    with pytest.raises(DataError):
        fetch(server.url, tmp_path, attempts=1, wait=0)
    server.content, server.etag = b"another" * 30_000, '"two"'

    def ends(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, step, ends)
        fetch(server.url, tmp_path, wait=0)
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == server.content


def test_two_downloads_of_one_file_write_it_once(server, tmp_path):
    server.go.clear()
    began = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(fetch, server.url, tmp_path, wait=0, report=lambda *_: began.set())
        assert server.come.wait(5)
        second = pool.submit(fetch, server.url, tmp_path, wait=0)
        time.sleep(0.2)  # without a lock the second one asks for the rest of what the first one is writing
        server.go.set()
        paths = [first.result(10), second.result(10)]
    assert began.is_set() and paths[0].read_bytes() == CONTENT and paths[0] == paths[1]
    assert server.asked == [None], "the second one waited, and found the file"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("told", ["", "bytes */300000", "bytes 100000-299999/200000"])
def test_an_answer_that_does_not_fit_what_lies_here_is_not_appended(server, tmp_path, told):
    server.cuts, server.told, server.shifted = 1, told, not told
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", None]


def test_answers_that_never_fit_end_in_an_error(server, tmp_path):
    server.cuts, server.shifted = 3, 9
    with pytest.raises(DataError, match=r"asked for the bytes from 100,000 on and sends 'bytes 99000-.*twice"):
        fetch(server.url, tmp_path, wait=0)
    assert not (tmp_path / "file.bin.partial").exists()
    server.cuts = 1
    with pytest.raises(DataError):
        fetch(server.url, tmp_path, attempts=1, wait=0)
    server.shrunk = True  # 416: the file became shorter, under the same tag
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == CONTENT


def test_bytes_of_another_writer_are_noticed(server, tmp_path):
    """As where a network's file system grants no locks."""

    def intrude(done, total):
        if not intruded:
            intruded.append(done)
            with (tmp_path / "file.bin.partial").open("ab") as file:
                file.write(b"x" * (total + 1))

    intruded = []
    assert fetch(server.url, tmp_path, wait=0, report=intrude).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_server_without_ranges_sends_it_whole(server, tmp_path):
    server.ranges, server.cuts = False, 1
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == CONTENT


def test_checksums_are_held(server, tmp_path):
    good = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert fetch(server.url, tmp_path / "a", checksum=good).is_file()
    assert published_md5(server.url + ".md5") == f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    with pytest.raises(DataError, match=r"has md5 .* published is 0{32}; it was deleted"):
        fetch(server.url, tmp_path / "b", checksum="md5:" + "0" * 32)
    assert not (tmp_path / "b" / "file.bin").exists() and not (tmp_path / "b" / "file.bin.partial").exists()
    with pytest.raises(DataError, match="must begin with md5: or sha256:"):
        fetch(server.url, tmp_path / "a", checksum="crc:1")


def test_a_checksum_that_is_not_there_and_one_that_is_none(server):
    assert published_md5(server.url.replace("file.bin", "missing.md5")) is None
    with pytest.raises(DataError, match=r"odd.md5 holds no MD5, so that what is fetched could not be checked"):
        published_md5(server.url.replace("file.bin", "odd.md5"))
    with pytest.raises(DataError, match=r"'http://0.0.0.0:.* is no https address"):  # where a redirection leads
        published_md5(server.url.replace("file.bin", "moved.md5"))
    with pytest.raises(DataError, match=r"'http://example.org/a.md5' is no https address"):
        published_md5("http://example.org/a.md5")
    server.server_close()
    with pytest.raises(DataError, match=r"the checksum .* could not be read"):
        published_md5(server.url.replace("127.0.0.1", "localhost").replace(str(server.server_port), "1") + ".md5")


def test_errors_of_the_server(server, tmp_path):
    server.broken = 2
    assert fetch(server.url, tmp_path, wait=0).read_bytes() == CONTENT
    with pytest.raises(DataError, match="the server says 404"):
        fetch(server.url.replace("file.bin", "nothing"), tmp_path)
    server.broken = 9
    with pytest.raises(DataError, match=r"503 .*; 3 attempts without progress"):
        fetch(server.url.replace("file", "other"), tmp_path, attempts=3, wait=0)
    with pytest.raises(DataError, match="is no https address"):
        fetch("file:///etc/hostname", tmp_path)


def test_plain_http_is_for_this_machine_only(server, tmp_path):
    with pytest.raises(DataError, match=r"'http://example.org/a' is no https address"):
        fetch("http://example.org/a", tmp_path)
    with pytest.raises(DataError, match=r"'http://0.0.0.0:.* is no https address"):  # where a redirection leads
        fetch(server.url.replace("file.bin", "moved"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["moved.partial.lock"], "nothing of what it leads to"


def test_addresses_are_made_of_the_category():
    assert source_files("amazon-2014", "Baby")[1].endswith("/meta_Baby.json.gz")
    assert source_files("movielens") == ["https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"]
    for name, source in SOURCES.items():
        addresses = source_files(name, more=source.more)
        assert len(addresses) == len(source.files) + len(source.more)
        assert all(address.startswith("https://") and "{" not in address for address in addresses)
    assert len(source_files("amazon-2014", "Baby")) == 2
    assert source_files("amazon-2014", "Baby", ["image_features"])[2].endswith("/image_features_Baby.b")
    assert source_files("goodreads", more=["reviews"])[2].endswith("/byGenre/goodreads_reviews_poetry.json.gz")
    with pytest.raises(DataError, match="movielens has no further file 'reviews'; there are: none"):
        source_files("movielens", more=["reviews"])
    for name, category, message in (("yelp", None, "after a form"), ("x", None, "unknown source"),
                                    ("amazon-2014", "../etc", "not made of letters, digits")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            source_files(name, category)
