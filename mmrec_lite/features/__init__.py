"""Features: vectors from texts and pictures, and words from pictures. Encoders are loaded when first used."""

from .image import ImageEncoder, train_small_clip
from .keywords import image_to_words, word_list
from .text import TextEncoder, encode_sentences, split_sentences

__all__ = [
    "ImageEncoder",
    "TextEncoder",
    "encode_sentences",
    "image_to_words",
    "split_sentences",
    "train_small_clip",
    "word_list",
]
