"""Readers: one file a source, each returns a checked `MultimodalDataset`."""

from .amazon_2014 import read_amazon_2014
from .amazon_2018 import read_amazon_2018
from .amazon_2023 import read_amazon_2023
from .frames import read_frames
from .goodreads import read_goodreads
from .logs import Filters
from .mmrec import read_mmrec
from .mmssl import read_mmssl
from .movielens import read_movielens
from .recbole import read_recbole
from .yelp import read_yelp

__all__ = [
    "Filters",
    "read_amazon_2014",
    "read_amazon_2018",
    "read_amazon_2023",
    "read_frames",
    "read_goodreads",
    "read_mmrec",
    "read_mmssl",
    "read_movielens",
    "read_recbole",
    "read_yelp",
]
