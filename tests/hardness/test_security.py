"""What the library never does, read from its syntax; archives and pictures that are bombs; doors that stay closed."""

from __future__ import annotations

import ast
import io
import re
import struct
import warnings
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
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "runpy"}
# The last names of functions that unpack, unpickle or start what they are given, whoever has them.
NEVER = {
    "extract", "extractall", "unpack_archive", "read_pickle", "unsafe_load", "unsafe_load_all", "full_load",
    "full_load_all", "load_all", "system", "popen", "getoutput", "getstatusoutput", "run_path", "run_module",
}  # fmt: skip
LOADERS = {"json", "tomllib"}  # `load` and `loads` of these build plain values
# The one place that may: it reads SciPy's pickles through an unpickler that knows a closed list of names.
MAY_UNPICKLE = {"mmrec_lite/data/readers/mmssl.py"}


def imported(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for; one of our own begins with a dot or with mmrec_lite."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
            found |= {(root := a.name.split(".")[0]): root for a in node.names if not a.asname}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {a.asname or a.name: f"{module}.{a.name}" for a in node.names}
    return found


def whole_name(node: ast.AST, known: dict[str, str]) -> str:
    """`n.lib.load` as `numpy.lib.load`; what is no name, such as the result of a call, is a question mark."""
    if isinstance(node, ast.Attribute):
        return f"{whole_name(node.value, known)}.{node.attr}"
    return known.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def wrong_call(name: str, node: ast.Call, own: set[str]) -> bool:
    """Whether a call of this whole name may run what a file says."""
    *before, last = name.split(".")
    said = {k.arg: k.value.value if isinstance(k.value, ast.Constant) else "?" for k in node.keywords}
    given = bool(node.args or node.keywords)
    if said.get("shell", False) is not False or said.get("allow_pickle", False) is not False:
        return True
    if said.get("weights_only", True) is not True or (before and last in NEVER):
        return True
    if last in ("eval", "exec"):  # a table's own; `model.eval()` is given nothing
        return given
    if last == "read_array" or (last == "load" and before[:1] == ["numpy"]):
        return "allow_pickle" not in said
    if last == "load" and before[:1] == ["torch"]:
        return "weights_only" not in said
    ours = name.startswith((".", "mmrec_lite.")) or name.split(".")[0] in own
    return last in ("load", "loads") and given and not ours and before[:1] not in [[one] for one in LOADERS]


def offences(source: str, file: str = "x.py") -> list[str]:
    """Imports, names, calls and settings that let a file's content run, or open the way to it."""
    found, tree = [], ast.parse(source)
    known = imported(tree)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if any(name.split(".")[0] in PICKLES for name in names) and file not in MAY_UNPICKLE:
                found.append(f"{file}:{node.lineno} imports {names}")
            if "*" in names:
                found.append(f"{file}:{node.lineno} imports what it does not name")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = whole_name(node, known)
            if name.removeprefix("builtins.") in UNTRUSTED and isinstance(node.ctx, ast.Load):
                found.append(f"{file}:{node.lineno} names {name}")
            if name.endswith("MAX_IMAGE_PIXELS") and isinstance(node.ctx, ast.Store):
                found.append(f"{file}:{node.lineno} sets {name}")
        elif isinstance(node, ast.Call) and wrong_call(whole_name(node.func, known), node, own):
            found.append(f"{file}:{node.lineno} calls {ast.unparse(node)[:100]}")
    return found


def test_nothing_runs_what_a_file_says(tried):
    assert len(SOURCES) > 100
    files = {file.relative_to(REPOSITORY).as_posix(): file.read_text(encoding="utf-8") for file in SOURCES}
    assert [line for name, source in files.items() for line in offences(source, name)] == []
    assert all(offences(files[name]) for name in MAY_UNPICKLE), "nothing there needs leave"
    tried("source files searched for pickle, eval, torch.load, extractall, shell", len(SOURCES), "none found")


BAD_LINES = """
import pickle
import numpy, marshal
import _pickle as fast
from pickle import loads
from dill import load as read
from os import *
eval('1')
run = exec
list(map(eval, rows))
__import__(name)
builtins.eval(words)
import builtins as b; b.exec(words)
from builtins import compile as c; c(words, '', 'eval')
df.eval(words)
pd.eval(words)
torch.load(f)
torch.load(f, weights_only=False)
torch.load(f, weights_only=flag)
import torch as t; t.load(f)
from torch import load; load(f)
from torch import load as read; read(f)
torch.hub.load_state_dict_from_url(u, weights_only=False)
np.load(f)
import numpy as n; n.load(f)
from numpy import load as read; read(f)
import numpy as np; np.load(f, None, True)
import numpy as np; np.load(f, allow_pickle=True)
np.lib.format.read_array(f, allow_pickle=True)
from numpy.lib.format import read_array as r; r(f, None)
reader(f, allow_pickle=wanted)
module.load(f)
yaml.load(f)
yaml.unsafe_load(f)
from yaml import full_load; full_load(f)
joblib.load(f)
pd.read_pickle(f)
from pandas import read_pickle as r; r(f)
z.extractall(p)
z.extract(n)
tarfile.open(f).extractall(p)
shutil.unpack_archive(f)
from shutil import unpack_archive as u; u(f)
subprocess.run(c, shell=True)
subprocess.run(c, shell=flag)
os.system(c)
from os import system as s; s(c)
os.popen(c)
subprocess.getoutput(c)
import subprocess as sp; sp.getstatusoutput(c)
Image.MAX_IMAGE_PIXELS = None
from PIL import Image as I; I.MAX_IMAGE_PIXELS = 10**12
"""


@pytest.mark.parametrize("bad", BAD_LINES.strip().splitlines())
def test_the_search_finds_what_it_searches(bad):
    assert offences(bad, "mmrec_lite/other/mmssl.py")


@pytest.mark.parametrize("good", [
    "model.eval()", "import json as j; j.load(f)", "from .data import load; load(f)", "re.compile(p)", "picture.load()",
    "import numpy as np; np.load(f, allow_pickle=False)", "import torch; torch.load(f, weights_only=True)",
    "limit = Image.MAX_IMAGE_PIXELS", "subprocess.run([c], shell=False)",
])  # fmt: skip
def test_the_search_finds_nothing_else(good):
    assert offences(good) == []


def test_addresses_are_encrypted():
    plain = re.compile(r"http://(?!localhost|127\.0\.0\.1|www\.w3\.org)[\w.]+")
    assert {
        str(f.name): plain.findall(f.read_text(encoding="utf-8")) for f in SOURCES if plain.search(f.read_text())
    } == {}


def test_the_lab_stays_on_this_machine_and_asks_for_its_token():
    recipe = (REPOSITORY / "Makefile").read_text().split("\nlab:")[1].split("\n\n")[0]
    runs = "\n".join(line for line in recipe.splitlines() if line.startswith("\t"))  # the rest is help
    assert "jupyter lab" in runs
    open_door = r"--\S*ip\b|\bip\s*=|0\.0\.0\.0|password|token|allow_remote|disable_check_xsrf|allow_origin"
    assert not re.search(open_door, runs, re.IGNORECASE)
    for option in ("--ip=*", "--ServerApp.ip 1.2.3.4", "--IdentityProvider.token=''", "--LabApp.allow_remote_access=1"):
        assert re.search(open_door, option, re.IGNORECASE), option


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


def test_a_whole_picture_between_the_warning_and_the_error(tmp_path, monkeypatch, tried):
    """Pillow only warns of it; here it is refused, whatever filters of warnings are set."""
    (tmp_path / "good.png").write_bytes(good_png())
    assert open_image(tmp_path, "good.png", 3).size == (8, 8), "it is whole"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8 * 8 * 2 // 3)
    with warnings.catch_warnings(action="ignore"):
        assert Image.open(tmp_path / "good.png").size == (8, 8), "no error of Pillow's"
        with pytest.raises(DataError, match=r"the image 'good.png' of item 3 cannot be decoded .*exceeds limit"):
            open_image(tmp_path, "good.png", 3)
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
