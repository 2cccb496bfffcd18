"""Ways to pick an item: by a word of its title, by its number, and its picture as a thumbnail."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.explorers.base import LABEL, within
from mmrec_lite.plots.items import item_titles

__all__ = ["item_number", "picture_source", "thumbnail", "title_search"]

OFFERED = 3000  # titles sent to the page: ten times as many would be megabytes for each explorer


def title_search(
    data: MultimodalDataset, choose: Callable[[int], object], description: str = "or its title"
) -> widgets.Combobox:
    """Return a field that offers titles and calls `choose(item)` when one is entered, or words of one.

    The titles of the first 3,000 items are offered, and "title · number" is that item. Other words choose the first
    item whose title holds them; where none does, the field says so.
    """
    asks, titles = "type a word of a title", item_titles(data)
    folded: list[str] = []  # made at the first search
    search = widgets.Combobox(
        options=[f"{title} · {i}" for i, title in enumerate(titles[:OFFERED])],
        placeholder=asks,
        description=description,
        ensure_option=False,
        continuous_update=False,
        style=LABEL,
        layout=widgets.Layout(width="40em"),
    )

    def searched(change: Any) -> None:
        if not (words := str(change["new"]).strip()):
            return
        if not folded:
            folded.extend(title.casefold() for title in titles)
        item = _item_of(folded, words)
        if item is not None:
            choose(item)
        search.placeholder = asks if item is not None else f"no title holds “{words}”; {asks}"
        search.value = ""  # an empty field offers all titles again

    search.observe(searched, "value")
    return search


def _item_of(titles: Sequence[str], words: str) -> int | None:
    """Return the item that "title · number" names, else the first whose title, casefolded, holds the words."""
    _, dot, number = words.rpartition("·")
    if dot and (number := number.strip()[:12]).isdecimal() and int(number) < len(titles):
        return int(number)
    wanted = words.casefold()
    return next((i for i, title in enumerate(titles) if wanted in title), None)


def item_number(data: MultimodalDataset, item: int) -> widgets.BoundedIntText:
    """Return a field for an item's number, moved by keyboard."""
    within("explorer", "item", item, 0, data.n_items - 1)
    look = {"style": LABEL, "layout": widgets.Layout(width="16em"), "continuous_update": False}
    return widgets.BoundedIntText(item, min=0, max=data.n_items - 1, description="or its number", **look)


def picture_source(picture: np.ndarray) -> str:
    """Return an item's picture as what an <img> may have as its source."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def thumbnail(picture: np.ndarray, title: str) -> str:
    """Return an item's picture as an <img> with its title as alternative text."""
    look = 'width="96" height="96" style="max-width:100%;height:auto"'
    return f'<img alt="{html.escape(title)}" {look} src="{picture_source(picture)}">'
