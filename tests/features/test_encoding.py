"""Picture files of every bad kind: named, counted, and a missing modality."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmrec_lite.data import DataError, MultimodalDataset
from mmrec_lite.features import add_features, encode_pictures, pictures_by_item
from mmrec_lite.features.pictures import BadPicture, read_picture
from tests.features.test_cache import Cached


class Colour:
    """A stand-in for open_clip: a picture's vector is its mean colour, scaled to length one."""

    model, pretrained, fingerprint, width, batch_size = "colour", None, "c" * 64, 3, 2

    def __init__(self):
        self.batches: list[int] = []

    def preprocess(self, picture):
        assert picture.mode == "RGB"
        return np.asarray(picture, dtype=np.float32).mean(axis=(0, 1))

    def encode_pixels(self, pixels):
        self.batches.append(len(pixels))
        vectors = np.stack(pixels)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def knows(self, words):
        return np.array([word in ("red", "green") for word in words])

    def encode_texts(self, words):
        return np.array([{"red": (1, 0, 0), "green": (0, 1, 0)}[word] for word in words], dtype=np.float32)


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims an enormous size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.fixture
def folder(tmp_path) -> Path:
    """One file of every kind; called by what it is."""
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    red.save(tmp_path / "red.png")
    red.save(tmp_path / "again.png")
    Image.new("RGB", (8, 8), (0, 255, 0)).save(tmp_path / "green.png")
    Image.new("L", (8, 8), 90).save(tmp_path / "grey.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((8, 8), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "words.jpg").write_bytes(b"<html>404</html>")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    noise.save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "bomb.png").write_bytes(bomb(100_000, 100_000))  # PIL's own bound refuses it
    (tmp_path / "wide.png").write_bytes(bomb(10_000, 9_000))  # below PIL's bound, above ours
    return tmp_path


NAMES = ["red.png", "grey.png", "cmyk.jpg", "moving.gif", "clear.png", "deep.png", "empty.jpg", "words.jpg", "cut.jpg",
         "bomb.png", "wide.png", "nowhere.png", None, "again.png"]  # fmt: skip


def test_every_kind_of_bad_file_is_named_and_missing(folder):
    encoder = Colour()
    vectors, present, report = encode_pictures(NAMES, encoder, folder)
    assert report.unusable == {
        "zero bytes": ["empty.jpg"], "corrupt": ["words.jpg", "cut.jpg"], "huge": ["bomb.png", "wide.png"],
        "missing": ["nowhere.png"],
    }  # fmt: skip
    assert report.converted == {
        "grey": ["grey.png", "deep.png"], "CMYK": ["cmyk.jpg"], "animated": ["moving.gif"],
        "transparent": ["clear.png"],
    }  # fmt: skip
    assert present.tolist() == [True] * 6 + [False] * 7 + [True]
    assert report.read == 7 and report.without == 7
    assert not vectors[~present].any() and np.allclose(np.linalg.norm(vectors[present], axis=1), 1)
    np.testing.assert_allclose(vectors[0], [1, 0, 0])
    np.testing.assert_allclose(vectors[3], [1, 0, 0], atol=0.02, err_msg="the first frame")
    np.testing.assert_allclose(vectors[[1, 4, 5]], 3**-0.5, rtol=1e-5)
    assert sum(encoder.batches) == 6, "the same file under another name is encoded once"
    table = report.table().set_index("kind")
    assert table.loc["corrupt", "names"] == "cut.jpg, words.jpg" and table.loc["huge", "pictures"] == 2


def test_sixteen_bits_are_scaled_not_clipped(folder):
    picture, kinds = read_picture((folder / "deep.png").read_bytes(), "deep.png")
    assert kinds == ("grey",) and picture.getpixel((0, 0)) == (128, 128, 128)


def test_sixteen_bits_of_either_order_are_scaled():
    buffer = io.BytesIO()
    Image.frombytes("I;16B", (4, 4), struct.pack(">16H", *[32768] * 16)).save(buffer, "TIFF")
    picture, kinds = read_picture(buffer.getvalue(), "deep.tif")
    assert kinds == ("grey",) and picture.getpixel((0, 0)) == (128, 128, 128)


def test_whatever_pillow_raises_one_picture_ends_no_catalogue(folder):
    """Pillow lets struct.error out for a damaged EXIF block, and IndexError for a GIF that ends early."""
    Image.new("RGB", (8, 8)).save(folder / "exif.png", exif=b"Exif\0\0II*\0\x08")
    (folder / "early.gif").write_bytes((folder / "moving.gif").read_bytes()[:-1] + b"!")
    _, present, report = encode_pictures(["exif.png", "early.gif", "red.png"], Colour(), folder)
    assert report.unusable == {"corrupt": ["exif.png", "early.gif"]} and present.tolist() == [False, False, True]


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (201, 2)])
def test_a_picture_that_scaling_would_blow_up_is_huge(folder, size):
    """Its short side becomes 224 pixels, and the long one as many times as long: 6 GB out of 167 bytes."""
    Image.new("1", size).save(folder / "thin.png")
    assert (folder / "thin.png").stat().st_size < 5_000
    with pytest.raises(BadPicture, match=r"huge: thin\.png has [\d,]+ x [\d,]+ pixels; scaled for an encoder"):
        read_picture((folder / "thin.png").read_bytes(), "thin.png")
    _, present, report = encode_pictures(["thin.png", "red.png"], Colour(), folder)
    assert report.unusable == {"huge": ["thin.png"]} and present.tolist() == [False, True]
    Image.new("RGB", (200, 2)).save(folder / "banner.png")
    assert read_picture((folder / "banner.png").read_bytes(), "banner.png")[0].size == (200, 2)


def test_a_picture_that_cannot_be_scaled_is_named_and_ends_no_catalogue(folder):
    class Choosy(Colour):
        def preprocess(self, picture):
            if picture.getpixel((0, 0)) == (0, 255, 0):
                raise self.trouble
            return super().preprocess(picture)

    encoder = Choosy()
    encoder.trouble = ValueError("tile cannot extend outside image")
    _, present, report = encode_pictures(["green.png", "red.png"], encoder, folder)
    assert report.unusable == {"corrupt": ["green.png"]} and present.tolist() == [False, True]
    encoder.trouble = MemoryError()
    with pytest.raises(MemoryError, match=r"too little memory to scale the picture 'green\.png'"):
        encode_pictures(["green.png", "red.png"], encoder, folder)
    for trouble in (RuntimeError("can't allocate memory"), AttributeError("'Choosy' has no 'size'")):
        encoder.trouble = trouble
        with pytest.raises(type(trouble)) as caught:  # no fault of the picture: all would be "corrupt"
            encode_pictures(["green.png", "red.png"], encoder, folder)
        assert "the picture 'green.png' was scaled" in caught.value.__notes__[0]


def test_a_link_that_leads_out_is_refused_and_not_called_missing(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "red.png"
    (folder / "red.png").rename(outside)
    (folder / "red.png").symlink_to(outside)
    with pytest.raises(DataError, match=r"'red\.png' .* leads out of it; .*cp -rL"):
        encode_pictures(["red.png", "green.png"], Colour(), folder)


def test_a_name_that_no_file_can_have_is_missing():
    _, _, report = encode_pictures(["a\0.png", None], Colour())
    assert report.unusable == {"missing": ["a\0.png"]}


def test_a_bomb_is_refused_before_it_is_decoded():
    with pytest.raises(BadPicture, match=r"huge: x\.png has 9,000 x 9,000 pixels"):
        read_picture(bomb(9_000, 9_000), "x.png")
    with pytest.raises(BadPicture, match="corrupt"):
        read_picture(bomb(90, 90), "x.png")


def test_several_pictures_are_one_mean_of_length_one(folder):
    vectors, present, report = encode_pictures(
        [["red.png", "green.png", "cut.jpg"], [], ["cut.jpg"], "green.png"], Colour(), folder
    )
    np.testing.assert_allclose(vectors[0], [0.5**0.5, 0.5**0.5, 0], rtol=1e-6)
    assert present.tolist() == [True, False, False, True] and report.without == 2
    assert report.unusable == {"corrupt": ["cut.jpg"]}, "a file that two items share is reported once"


def test_a_second_run_and_an_archive_encode_nothing_again(folder, tmp_path):
    first, second = Colour(), Colour()
    names = ["red.png", "grey.png", "cut.jpg"]
    vectors, _, report = encode_pictures(names, first, folder, cache=tmp_path / "cache")
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in [*names, "green.png"]:
            file.write(folder / name, name)
    again, present, report_again = encode_pictures([*names, "green.png"], second, archive, cache=tmp_path / "cache")
    np.testing.assert_array_equal(again[:3], vectors)
    assert second.batches == [1] and present.tolist() == [True, True, False, True]
    assert report_again.converted == report.converted and report_again.unusable == report.unusable


def test_a_killed_run_goes_on_where_it_wrote_last(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("mmrec_lite.features.encoding._SHARD", 1)

    class Killed(Colour):
        def encode_pixels(self, pixels):
            if len(self.batches) == 1:
                raise KeyboardInterrupt
            return super().encode_pixels(pixels)

    names = ["red.png", "green.png", "grey.png", "whole.jpg"]
    with pytest.raises(KeyboardInterrupt):
        encode_pictures(names, Killed(), folder, cache=tmp_path / "cache")
    after = Colour()
    encode_pictures(names, after, folder, cache=tmp_path / "cache")
    assert after.batches == [2]


def test_pictures_are_found_by_their_names():
    paths = ["a.jpg", "a_10.jpg", "a_2.jpg", "b/front.png", "b/back.png", "c-1.webp", "a.txt", "other.jpg", "d_1.jpg"]
    assert pictures_by_item(paths, ["a", "b", "c", "d_1"]) == {
        "a": ["a.jpg", "a_2.jpg", "a_10.jpg"],
        "b": ["b/back.png", "b/front.png"],
        "c": ["c-1.webp"],
        "d_1": ["d_1.jpg"],
    }
    assert pictures_by_item(["cafe\u0301_2.jpg"], ["caf\xe9"]) == {"caf\xe9": ["cafe\u0301_2.jpg"]}, "as macOS writes é"


def catalogue(folder: Path | None, **columns) -> MultimodalDataset:
    items = pd.DataFrame({"item_id": list("abcd"), **columns})
    log = pd.DataFrame({"user": [0, 0, 1], "item": [0, 1, 2], "review": ["Good. Very red.", "", "Good."]})
    return MultimodalDataset(
        name="shop", users=pd.DataFrame({"user_id": ["u", "v"]}), items=items, interactions=log, image_root=folder
    )


def test_one_call_makes_what_the_methods_read(folder):
    data = catalogue(
        folder, text=["A red cup. It is red.", "A green cup.", "", "A red hat."],
        image=["red.png", "green.png", "cut.jpg", ""],
    )  # fmt: skip
    full, report = add_features(data, Cached(), Colour(), keywords=1, vocabulary=["red", "green", "blue"])
    assert full.modalities == ("text", "image")
    assert full.present["text"].tolist() == [True, True, False, True] and not full.features["text"][2].any()
    assert full.present["image"].tolist() == [True, True, False, False]
    assert full.items["image"].tolist() == ["red.png", "green.png", "", ""]
    assert full.items["keywords"].tolist() == ["red", "green", "", ""]
    assert full.texts["sentences"][:2] == ["A red cup.", "It is red."]
    assert full.sequences["reviews"].index.tolist() == [[0, 1], [-1, -1], [0, -1]]
    assert full.sequences["keywords"].mask[:, 0].tolist() == [True, True, False, False]
    assert full.card["pictures"]["unusable"] == {"corrupt": ["cut.jpg"]} and report.without == 2
    assert full.card["encoders"]["image"]["sha256"] == "c" * 64


def test_keywords_are_left_out_where_the_texts_have_too_few_words(folder):
    data = catalogue(folder, text=["Rote Tasse", "Rote Tasse red", "red", ""], image=["red.png", "green.png", "", ""])
    full, _ = add_features(data, Cached(), Colour(), keywords=1)
    assert full.modalities == ("text", "image") and full.present["image"].tolist() == [True, True, False, False]
    assert "keywords" not in full.sequences and "keywords" not in full.items
    assert full.card["encoders"]["keywords"] == (
        "left out: 1 words a picture, but of the texts' words the image encoder knows 1"
    )
    with pytest.raises(ValueError, match="n=1 words a picture were asked for, but the encoder knows 0"):
        add_features(data, Cached(), Colour(), keywords=1, vocabulary=["Tasse"])


def test_a_picture_model_that_cannot_be_had_costs_no_encoding_of_texts(folder):
    class Gone(Colour):
        @property
        def width(self):
            raise ValueError("could not be loaded")

    texts = Cached()
    with pytest.raises(ValueError, match="could not be loaded"):
        add_features(catalogue(folder, text=list("wxyz"), image=["red.png", "", "", ""]), texts, Gone())
    assert texts.encoded == 0


def test_a_picture_that_cannot_be_used_leaves_both_columns(folder, tmp_path):
    data = catalogue(folder, image=["gone.png", "red.png", "", ""],
                     images=["gone.png|red.png|cut.jpg", "red.png|green.png", "", None])  # fmt: skip
    with pytest.raises(DataError, match=r"image 'gone.png' is not in .*; correct the items' `image` column"):
        data.save(tmp_path / "before")
    full, _ = add_features(data, image=Colour())
    assert full.items["image"].tolist() == ["red.png", "red.png", "", ""]
    assert full.items["images"].tolist() == ["red.png", "red.png|green.png", "", ""]
    full.save(tmp_path / "after")
    with pytest.raises(DataError, match=r"image 'gone.png' is not in .*; correct the items' `images` column"):
        data.replace(items=data.items.drop(columns="image")).save(tmp_path / "before")


def test_nothing_to_encode_is_refused(folder):
    with pytest.raises(DataError, match="has no pictures"):
        add_features(catalogue(None), image=Colour())
    with pytest.raises(DataError, match="no column 'image'"):
        add_features(catalogue(folder), image=Colour())
    with pytest.raises(DataError, match="not one picture can be used"):
        add_features(catalogue(folder, image=["cut.jpg", "", "", ""]), image=Colour())
    with pytest.raises(DataError, match="not one item of 'shop' has a text"):
        add_features(catalogue(folder), Cached())


def test_a_picture_in_memory_needs_no_file():
    buffer = io.BytesIO()
    Image.new("P", (4, 4)).save(buffer, "PNG")
    picture, kinds = read_picture(buffer.getvalue(), "p")
    assert picture.mode == "RGB" and kinds == ()
