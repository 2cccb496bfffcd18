"""Pictures to vectors, by the small model that ships and by one trained here."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

import mmrec_lite as mm
from mmrec_lite.data.bazaar import CLIP_FOLDER
from mmrec_lite.features import ImageEncoder, train_small_clip
from mmrec_lite.features.pictures import read_picture

NEEDS_CLIP = pytest.mark.skipif(
    not all(__import__("importlib.util").util.find_spec(m) for m in ("open_clip", "transformers")),
    reason="needs the extra 'features'",
)


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return ImageEncoder("bazaar")


@NEEDS_CLIP
def test_shipped_vectors_are_those_of_the_shipped_model(encoder):
    shop = mm.load("bazaar")
    vectors = encoder.encode(shop.image(i) for i in range(8))
    assert vectors.dtype == np.float32
    assert np.allclose(vectors, shop.features["image"][:8], atol=2e-3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@NEEDS_CLIP
def test_local_dir_paths_and_missing_pictures(tmp_path):
    Image.new("RGBA", (40, 20), (200, 30, 30, 255)).save(tmp_path / "a.png")
    vectors = ImageEncoder(f"local-dir:{CLIP_FOLDER}", batch_size=2).encode([tmp_path / "a.png", None, None, None])
    assert vectors.shape[0] == 4
    assert vectors[0].any() and not vectors[1:].any()


@NEEDS_CLIP
def test_words_and_pictures_share_a_space(encoder):
    shop = mm.load("bazaar")
    hue = shop.truth["item_hue"]
    blue, red = (np.flatnonzero(hue == k)[:20] for k in (5, 0))
    word = encoder.encode_texts(["blue"])[0]
    pictures = shop.dense("image") @ word
    assert pictures[blue].mean() > pictures[red].mean() + 0.1
    assert encoder.knows(["blue", "watering can", "porcelain"]).tolist() == [True, True, False]


@NEEDS_CLIP
def test_a_small_model_learns_two_colours(tmp_path):
    rng = np.random.default_rng(0)
    names = ["red", "blue"]
    colours = {"red": (220, 40, 40), "blue": (40, 40, 220)}
    labels = [names[n % 2] for n in range(64)]
    pictures = [Image.new("RGB", (32, 32), tuple(int(c + rng.integers(-30, 30)) for c in colours[n])) for n in labels]
    folder = train_small_clip(
        pictures, [f"a {name} square" for name in labels], tmp_path / "clip", epochs=6, batch_size=16, progress=False
    )
    written = {path.name for path in folder.iterdir()} - {"special_tokens_map.json"}  # transformers 4 writes that, too
    tokenizer = {"tokenizer.json", "tokenizer_config.json"}
    assert written == {"open_clip_config.json", "open_clip_model.safetensors"} | tokenizer
    model = ImageEncoder(f"local-dir:{folder}")
    vectors = model.encode(pictures)
    likeness = vectors @ model.encode_texts(["a red square", "a blue square"]).T
    right = likeness.argmax(axis=1) == np.array([names.index(name) for name in labels])
    assert right.mean() > 0.9


def test_wrong_use_is_refused(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="without weights would give random vectors"):
        ImageEncoder("ViT-B-32")
    for whole in ("bazaar", f"local-dir:{tmp_path}", "hf-hub:one/model"):
        with pytest.raises(ValueError, match=f"'{whole}' has weights of its own: leave out `pretrained` .'laion'"):
            ImageEncoder(whole, "laion")
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        ImageEncoder("bazaar", batch_size=0)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ImportError, match=r"pip install 'mmrec_lite\[features\]'"):
        ImageEncoder("bazaar").encode([])


@NEEDS_CLIP
def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="could not be loaded"):
        ImageEncoder(f"local-dir:{tmp_path / 'nothing'}").encode_texts(["a"])


@NEEDS_CLIP
def test_a_download_that_was_refused_is_called_so(tmp_path):
    """Tests run with HF_HUB_OFFLINE=1; a folder needs no download."""
    with pytest.raises(ValueError, match="could not be loaded; HF_HUB_OFFLINE is set: "):
        ImageEncoder("hf-hub:mmrec-lite/there-is-none").encode([])
    with pytest.raises(ValueError, match="could not be loaded: "):
        ImageEncoder(f"local-dir:{tmp_path}").encode([])


@NEEDS_CLIP
@pytest.mark.slow
def test_a_model_by_name_with_a_checkpoint(tmp_path):
    """Weights by path: here random ones, since tests have no network; a tag goes the same way."""
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    name = "ViT-S-32-alt"
    model = open_clip.create_model(name).eval()
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, tmp_path / "weights.safetensors")
    encoder = ImageEncoder(name, tmp_path / "weights.safetensors", device="cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    found = encoder.encode([picture])
    pixels = open_clip.image_transform(224, is_train=False)(picture)[None]
    np.testing.assert_allclose(found, model.encode_image(pixels, normalize=True).detach().numpy(), atol=1e-5)
    assert encoder.width == found.shape[1] and len(encoder.fingerprint) == 64
    with pytest.raises(ValueError, match="could not be loaded"):
        ImageEncoder(name, "no-such-tag").encode([picture])


def test_a_picture_is_encoded_as_it_is_seen_whoever_opens_it(encoder, tmp_path):
    """By its path, as a Pillow image and from a data set: rotated by EXIF, transparent, of 16 bits."""
    rng = np.random.default_rng(0)
    block = Image.fromarray(rng.integers(0, 255, (40, 80, 3), dtype=np.uint8)).resize((80, 40), Image.Resampling.BOX)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    block.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    clear = block.convert("RGBA")
    clear.putalpha(Image.fromarray((np.arange(80) > 40)[None].repeat(40, 0).astype(np.uint8) * 255))
    clear.save(tmp_path / "clear.png")
    Image.fromarray(rng.integers(0, 65535, (40, 80), dtype=np.uint16)).save(tmp_path / "deep.png")
    for name in ("turned.jpg", "clear.png", "deep.png"):
        seen, _ = read_picture((tmp_path / name).read_bytes(), name)
        with Image.open(tmp_path / name) as opened:
            by_hand = encoder.encode([tmp_path / name, opened, seen])
        np.testing.assert_allclose(by_hand[:2], by_hand[2:].repeat(2, axis=0), atol=1e-3)


def test_no_picture_and_no_device_are_called_so(tmp_path):
    from mmrec_lite.data import DataError
    from mmrec_lite.features.catalogue import add_features
    from mmrec_lite.features.text import TextEncoder
    from tests.test_plots import make_shop

    with pytest.raises(DataError, match="not one picture can be used: no item has one"):
        add_features(make_shop(tmp_path), None, ImageEncoder("bazaar"), pictures={})
    with pytest.raises(ValueError, match="device 'cuda' cannot be used") as refused:
        TextEncoder("offline", device="cuda").encode(["a"])
    assert "was not found" not in str(refused.value)
