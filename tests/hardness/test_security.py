"""What the library never does, read from its syntax; archives and pictures that are bombs; doors that stay closed."""

from __future__ import annotations

import ast
import io
import re
import struct
import zipfile
import zlib
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from mmrec_lite.data import DataError, storage
from mmrec_lite.data.storage import image_bytes, open_image
from mmrec_lite.features.pictures import BadPicture, read_picture

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = sorted((REPOSITORY / "mmrec_lite").rglob("*.py"))
UNTRUSTED = {"eval", "exec", "compile", "__import__"}
# The one place that may: it reads SciPy's pickles through an unpickler that knows a closed list of names.
MAY_UNPICKLE = {"mmssl.py"}


def offences(source: str, file: str = "x.py") -> list[str]:
    """Calls and imports that run what a file says."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if any(name.split(".")[0] in ("pickle", "dill", "cloudpickle", "marshal", "shelve") for name in names):
            found += [] if file in MAY_UNPICKLE else [f"{file}:{node.lineno} imports pickle"]
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
        if called in UNTRUSTED:
            found.append(f"{file}:{node.lineno} calls {called}")
        if called.endswith("torch.load") and keywords.get("weights_only") != "True":
            found.append(f"{file}:{node.lineno} torch.load without weights_only=True")
        if called in ("np.load", "numpy.load") and keywords.get("allow_pickle") != "False":
            found.append(f"{file}:{node.lineno} np.load without allow_pickle=False")
        if called.endswith((".extractall", ".extract")) or keywords.get("shell") == "True" or called == "os.system":
            found.append(f"{file}:{node.lineno} {called}")
        if called.endswith(("read_pickle", "yaml.load", "joblib.load")):
            found.append(f"{file}:{node.lineno} {called}")
    return found


def test_nothing_runs_what_a_file_says(tried):
    assert [line for file in SOURCES for line in offences(file.read_text(encoding="utf-8"), file.name)] == []
    tried("source files searched for pickle, eval, torch.load, extractall, shell", len(SOURCES), "none found")


@pytest.mark.parametrize("bad", [
    "import pickle", "from pickle import loads", "eval('1')", "torch.load(f)", "np.load(f)", "z.extractall(p)",
    "subprocess.run(c, shell=True)", "pd.read_pickle(f)", "torch.load(f, weights_only=False)",
])  # fmt: skip
def test_the_search_finds_what_it_searches(bad):
    assert offences(bad)


def test_addresses_are_encrypted():
    plain = re.compile(r"http://(?!localhost|127\.0\.0\.1|www\.w3\.org)[\w.]+")
    assert {
        str(f.name): plain.findall(f.read_text(encoding="utf-8")) for f in SOURCES if plain.search(f.read_text())
    } == {}


def test_the_lab_stays_on_this_machine_and_asks_for_its_token():
    recipe = (REPOSITORY / "Makefile").read_text().split("\nlab:")[1].split("\n\n")[0]
    assert "jupyter lab" in recipe
    assert not re.search(r"--ip|0\.0\.0\.0|token\s*=|disable_check_xsrf|allow_origin", recipe)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it is as large as one likes."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def good_png() -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(out, "PNG")
    return out.getvalue()


BAD = {
    "a bomb of 10^10 pixels": png_of(100_000, 100_000),
    "a bomb between the warning and the error": png_of(12_000, 12_000),
    "nothing": b"",
    "no picture": b"GIF89a, or so it says",
    "half a picture": good_png()[:40],
    "a broken checksum": good_png().replace(b"IDAT", b"IDAX"),
    "text": b"<svg onload=alert(1)>",
}


@pytest.mark.parametrize("what", BAD)
def test_pictures_that_are_none(tmp_path, what, tried):
    (tmp_path / "bad.png").write_bytes(BAD[what])
    with pytest.raises(DataError, match=r"the image 'bad.png' of item 3 cannot be decoded"):
        open_image(tmp_path, "bad.png", 3)
    tried("pictures that are bombs, halves, empty or none", 1, "refused: cannot be decoded, item named")


def test_what_a_decoder_raises_is_the_files_fault_but_for_memory(tmp_path, monkeypatch, tried):
    (tmp_path / "bad.png").write_bytes(good_png())
    for raised in (struct.error("short"), IndexError(), TypeError(), AttributeError()):
        monkeypatch.setattr(ImageFile.ImageFile, "load", Mock(side_effect=raised))
        with pytest.raises(DataError, match=r"the image 'bad.png' of item 3 cannot be decoded"):
            open_image(tmp_path, "bad.png", 3)
    monkeypatch.setattr(ImageFile.ImageFile, "load", Mock(side_effect=MemoryError()))
    with pytest.raises(MemoryError):
        open_image(tmp_path, "bad.png", 3)
    tried("pictures that are bombs, halves, empty or none", 4, "refused: cannot be decoded, item named")


def test_no_picture_starts_another_program(tmp_path, monkeypatch, tried):
    """An EPS file is a program for Ghostscript, whatever its name says."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.jpg").write_bytes(eps)
    assert Image.open(tmp_path / "a.jpg").format == "EPS", "or this tries nothing"
    with pytest.raises(DataError, match="cannot be decoded"):
        open_image(tmp_path, "a.jpg", 0)
    with pytest.raises(BadPicture, match="corrupt"):
        read_picture(eps, "a.jpg")
    tried("programs called pictures", 2, "refused: no format that is decoded here")


def test_a_picture_that_an_archive_does_not_give_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.writestr("a.png", good_png())
    content = bytearray((tmp_path / "p.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # encrypted, or so its directory says
    content[6] |= 1
    (tmp_path / "p.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"image 'a.png' in .*p.zip cannot be read \(.*encrypted"):
        image_bytes(tmp_path / "p.zip", "a.png")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "..", "a/..\\..\\secret.png"])
@pytest.mark.parametrize("archived", [True, False])
def test_no_path_leads_out(tmp_path, name, archived, tried):
    (tmp_path / "secret.png").write_bytes(good_png())
    root = tmp_path / ("shop.zip" if archived else "shop")
    if archived:
        with zipfile.ZipFile(root, "w") as archive:
            archive.writestr("../secret.png", good_png())
    else:
        (root / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"must stay inside|is not in"):
        image_bytes(root, name)
    tried("paths that lead out of a picture folder or archive", 1, "refused")


@pytest.mark.parametrize(
    "name", [r"..\..\x.png", r"a\..\x.png", r"D:\x.png", "D:x.png", r"\x.png", r"\\host\share\x.png"]
)
def test_no_path_leads_out_on_windows(tmp_path, name, tried):
    """Each is a fine name of a file on Linux, and leads out of the folder on a system the data set may travel to."""
    with pytest.raises(DataError, match=r"must stay inside .*, on Windows, too \(where a backslash parts folders"):
        image_bytes(tmp_path, name)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(good_png())
    assert image_bytes(tmp_path, "a/x.png") == good_png()
    tried("paths that lead out of a picture folder or archive", 1, "refused")


def test_an_archive_that_unpacks_to_much_more(tmp_path, monkeypatch, tried):
    monkeypatch.setattr(storage, "LARGEST_PICTURE", 2**20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.png", bytes(2**21))
    assert (tmp_path / "bomb.zip").stat().st_size < 2**14
    with pytest.raises(DataError, match="has 2,097,152 bytes; more than 1,048,576"):
        image_bytes(tmp_path / "bomb.zip", "big.png")
    tried("zip bomb", 1, "refused by its stated size")
