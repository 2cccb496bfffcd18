"""Where a data set is written to, and what of a folder of pictures comes into it."""

from __future__ import annotations

import os
import shutil
import weakref
import zipfile
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from mmrec_lite.cli_data import ready
from mmrec_lite.data import DataError, MultimodalDataset, storage
from mmrec_lite.data.readers import read_frames
from mmrec_lite.data.readers.pictures import picture_paths, pictures_by_item
from mmrec_lite.data.storage import image_bytes
from tests.tiny import tiny_shop

LOG = pd.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})


@pytest.fixture
def pictures(tmp_path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for name in "ab":
        Image.new("RGB", (4, 4)).save(root / f"{name}.png")
    return root


def test_a_link_that_leads_out_of_the_pictures_is_refused(pictures, tmp_path):
    """What it leads to, a key or a mailbox, would be saved as a picture and travel with the data set."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.png").write_bytes(b"my key")
    (pictures / "a.png").unlink()
    (pictures / "a.png").symlink_to(tmp_path / "secret" / "key.png")
    (pictures / "more").symlink_to(tmp_path / "secret")
    message = r"image '{}' in .*pictures is a link, or lies behind one, that leads out of it; put the picture i.*cp -rL"
    for name in ("a.png", "more/key.png"):
        with pytest.raises(DataError, match=message.format(name)):
            image_bytes(pictures, name)
    with pytest.raises(DataError, match=message.format("a.png")):
        read_frames(LOG, images=pictures)
    items = pd.DataFrame({"item_id": ["a"], "image": ["more/key.png"]})
    users, rows = pd.DataFrame({"user_id": ["u"]}), pd.DataFrame({"user": [0], "item": [0]})
    shop = MultimodalDataset(name="x", users=users, items=items, interactions=rows, image_root=pictures)
    with pytest.raises(DataError, match=message.format("more/key.png")):
        shop.save(tmp_path / "saved")


def test_what_no_item_names_is_nobody_s_concern(pictures, tmp_path):
    (tmp_path / "logo.png").write_bytes(b"a shop's logo")
    (pictures / "logo.png").symlink_to(tmp_path / "logo.png")
    if os.name != "nt":
        with suppress(OSError):  # a file system that takes UTF-8 alone
            (pictures / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    assert read_frames(LOG, images=pictures).items["image"].tolist() == ["a.png", "b.png"]
    items = pd.DataFrame({"item": ["a", "b"], "image": ["a", "logo"]})
    with pytest.raises(DataError, match=r"image 'logo.png' in .* leads out of it"):
        read_frames(LOG, items, images=pictures)


def test_a_picture_that_is_no_link_costs_no_look_above_its_folder(pictures, monkeypatch):
    monkeypatch.setattr(Path, "resolve", lambda path: pytest.fail("resolved"))
    assert image_bytes(pictures, "a.png")[:4] == b"\x89PNG"


def test_a_tiff_beside_a_picture_of_its_name_is_its_master(tmp_path):
    for name, kind in (("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("b.TIFF", "TIFF"), ("b.webp", "WEBP"), ("c.tif", "TIFF")):
        Image.new("RGB", (4, 4)).save(tmp_path / name, kind)
    log = pd.DataFrame({"user": ["u", "v", "w"], "item": ["a", "b", "c"]})
    shop = read_frames(log, images=tmp_path)
    assert shop.items["image"].tolist() == ["a.jpg", "b.webp", "c.tif"] and "images" not in shop.items
    items = pd.DataFrame({"item": ["a", "b", "c"], "image": ["a", "b", "c"]})
    assert read_frames(log, items, images=tmp_path).items["image"].tolist() == ["a.jpg", "b.webp", "c.tif"]
    items = pd.DataFrame({"item": ["a", "b", "c"], "image": ["a.tif", "b", ""]})
    assert read_frames(log, items, images=tmp_path).items["image"].tolist() == ["a.tif", "b.webp", ""]
    assert pictures_by_item(["x.jpg", "x.tif"], ["x.jpg", "x.tif"]) == {"x.jpg": ["x.jpg"], "x.tif": ["x.tif"]}


def test_links_that_stay_inside_and_a_linked_folder_of_pictures_are_read(pictures, tmp_path):
    (pictures / "c.png").symlink_to(pictures / "a.png")
    (tmp_path / "linked").symlink_to(pictures)
    assert picture_paths(tmp_path / "linked") == ["a.png", "b.png", "c.png"]
    assert image_bytes(tmp_path / "linked", "c.png") == (pictures / "a.png").read_bytes()
    (pictures / "circle.png").symlink_to(pictures / "circle.png")
    with pytest.raises(DataError, match=r"image 'circle.png' .*cannot be read"):
        image_bytes(pictures, "circle.png")


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"])
def test_what_can_be_decoded_is_found_by_its_ending(ending, tmp_path):
    kind = {"jpg": "JPEG", "jfif": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
    assert kind in storage.PICTURE_FORMATS
    Image.new("RGB", (4, 4)).save(tmp_path / f"a.{ending}", kind)
    shop = read_frames(LOG, images=tmp_path)
    assert shop.items["image"].tolist() == [f"a.{ending}", ""] and shop.image(0).size == (4, 4)


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_picture_whose_name_no_table_can_hold_is_named_at_once(pictures):
    (pictures / "a").mkdir()
    try:
        (pictures / "a" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    message = r"the name of 'a/caf\\udce9.png' in .* is not valid UTF-8, so no table can hold it"
    with pytest.raises(DataError, match=message):
        read_frames(LOG, images=pictures)


def test_a_mount_point_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    """Docker's /data: it is empty, can be written to, and cannot be renamed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == tmp_path / "data")
    for place in (tmp_path / "data", tmp_path / "link"):
        message = rf"{place.name} is a mount point, which no other folder can replace; name a folder inside it"
        with pytest.raises(DataError, match=message):
            ready(place, overwrite=False)
        with pytest.raises(DataError, match=message):
            tiny_shop().save(place)
    assert tiny_shop().save(tmp_path / "data" / "shop").is_dir()


def test_a_linked_folder_is_written_through(tmp_path):
    """The link stays, and nothing is left beside it: /data -> /mnt/disk is where people keep large sets."""
    (tmp_path / "disk" / "shop").mkdir(parents=True)
    (tmp_path / "shop").symlink_to(tmp_path / "disk" / "shop")
    (tmp_path / "new").symlink_to(tmp_path / "disk" / "new")  # leads nowhere yet
    shop = tiny_shop()
    for overwrite in (False, True):
        assert shop.save(tmp_path / "shop", overwrite=overwrite) == tmp_path / "shop"
    shop.save(tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "new", "shop"]
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["new", "shop"]
    for name in ("shop", "new"):
        assert (tmp_path / name).is_symlink() and MultimodalDataset.load(tmp_path / name).hash == shop.hash
    (tmp_path / "disk" / "shop").rename(tmp_path / "disk" / ".shop.0.old")  # killed between its two renamings
    with pytest.raises(DataError, match=r"was killed\. The former one lies whole in .*disk/\.shop\.0\.old"):
        MultimodalDataset.load(tmp_path / "shop")


def test_the_archive_that_is_replaced_is_closed_before(pictures, tmp_path, monkeypatch):
    """Windows renames no folder with an open file in it: `encode X --out X --overwrite` ends so, after hours."""
    read_frames(LOG, images=pictures, name="x").save(tmp_path / "x")
    shop = MultimodalDataset.load(tmp_path / "x")
    assert shop.image(0).size == (4, 4)
    opened = weakref.ref(storage._archive(shop.image_root, shop.image_root.stat().st_mtime_ns))
    renamed = Path.rename

    def rename(path: Path, target: Path) -> Path:
        assert opened() is None, "the archive is still open"
        return renamed(path, target)

    assert opened() is not None, "or this tries nothing"
    monkeypatch.setattr(Path, "rename", rename)
    Image.new("RGB", (9, 9)).save(tmp_path / "large.png")
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        for name in ("a.png", "b.png"):
            archive.write(tmp_path / "large.png", name)
    shop.replace(image_root=tmp_path / "new.zip").save(tmp_path / "x", overwrite=True)
    assert opened() is None and shop.image(0).size == (9, 9)


@pytest.mark.parametrize("index", ["whole", "damaged"])
def test_overwriting_deletes_nothing_but_the_data_set(tmp_path, index):
    """Runs, notes and another data set saved inside went without a word."""
    folder = tiny_shop().save(tmp_path / "raw")
    if index == "damaged":
        (folder / "dataset.json").write_text("{")
    tiny_shop(seed=1).save(folder, overwrite=True)
    (folder / ".DS_Store").touch()
    tiny_shop().save(folder, overwrite=True)
    for stranger, shown in (("notes.csv", "'notes.csv'"), ("results/a/row.json", "'results'"), ("sub", "'sub'")):
        place = folder / stranger
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch() if "." in stranger else place.mkdir()
        if index == "damaged":
            (folder / "dataset.json").write_text("{")
        with pytest.raises(DataError, match=f"holds {shown}, which the data set did not put there"):
            tiny_shop().save(folder, overwrite=True)
        assert place.exists()
        shutil.rmtree(folder / stranger.split("/")[0]) if (folder / stranger.split("/")[0]).is_dir() else place.unlink()
    (folder / "features" / "mine.npy").touch()
    if index == "whole":
        with pytest.raises(DataError, match=r"holds 'features/mine\.npy'"):
            tiny_shop().save(folder, overwrite=True)
