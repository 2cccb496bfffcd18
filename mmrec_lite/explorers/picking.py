"""Ways to pick an item: by a word of its title, by its number, and its picture as a thumbnail."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.explorers.base import LABEL
from mmrec_lite.plots.items import item_title

__all__ = ["item_number", "thumbnail", "title_search"]


def title_search(
    data: MultimodalDataset, choose: Callable[[int], object], description: str = "or its title"
) -> widgets.Combobox:
    """Return a field that offers all titles and calls `choose(item)` when one is entered."""
    search = widgets.Combobox(
        options=[f"{item_title(data, i)} · {i}" for i in range(data.n_items)],
        placeholder="type a word of a title",
        description=description,
        ensure_option=False,
        continuous_update=False,
        style=LABEL,
        layout=widgets.Layout(width="40em"),
    )

    def searched(change: Any) -> None:
        number = str(change["new"]).rpartition("·")[2].strip()
        if number.isdigit() and int(number) < data.n_items:
            choose(int(number))
            search.value = ""  # an empty field offers all titles again

    search.observe(searched, "value")
    return search


def item_number(data: MultimodalDataset, item: int) -> widgets.BoundedIntText:
    """Return a field for an item's number, moved by keyboard."""
    look = {"style": LABEL, "layout": widgets.Layout(width="16em"), "continuous_update": False}
    return widgets.BoundedIntText(item, min=0, max=data.n_items - 1, description="or its number", **look)


def thumbnail(picture: np.ndarray, title: str) -> str:
    """Return an item's picture as an <img> with its title as alternative text."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    source = base64.b64encode(out.getvalue()).decode()
    look = 'width="96" height="96" style="max-width:100%;height:auto"'
    return f'<img alt="{html.escape(title)}" {look} src="data:image/png;base64,{source}">'
