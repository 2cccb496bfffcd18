"""Features: vectors from texts and pictures, and words from pictures. Encoders are loaded when first used."""

from .catalogue import add_features
from .encoding import encode_pictures
from .image import ImageEncoder
from .keywords import image_to_words, word_list
from .pictures import PictureReport, pictures_by_item
from .small_clip import train_small_clip
from .text import TextEncoder, encode_sentences, sentence_languages, split_sentences

__all__ = [
    "ImageEncoder",
    "PictureReport",
    "TextEncoder",
    "add_features",
    "encode_pictures",
    "encode_sentences",
    "image_to_words",
    "pictures_by_item",
    "sentence_languages",
    "split_sentences",
    "train_small_clip",
    "word_list",
]
