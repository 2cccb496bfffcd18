"""Sliders that take a method's own value, whatever it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import ipywidgets as widgets

from mmrec_lite.explorers.base import SLIDER

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["hold", "lambda_slider"]

LAMBDAS = {"micro": "λ, raw share", "mcptr": "λ, CIMA's share", "mp4sr": "λ, contrast"}  # three papers, three meanings


def hold(slider: widgets.IntSlider | widgets.FloatSlider | widgets.FloatLogSlider, value: float) -> None:
    """Set a slider to a value, and widen it first where it would move the value in silence."""
    end = math.log10(value) if isinstance(slider, widgets.FloatLogSlider) else value
    slider.max, slider.min = max(slider.max, end), min(slider.min, end)
    slider.value = value


def lambda_slider(method: str, config: BaseModel) -> widgets.FloatSlider | widgets.FloatLogSlider:
    """Return a slider for what the method calls lambda: over its range, or, without an upper end, by powers of ten."""
    known, value = type(config).model_fields["lam"], float(config.lam)
    low = next((end.ge for end in known.metadata if hasattr(end, "ge")), min(0.0, value))
    high = next((end.le for end in known.metadata if hasattr(end, "le")), None)
    look = {"description": LAMBDAS.get(method, "λ, lam"), "tooltip": known.description, **SLIDER}
    if high is not None:
        return widgets.FloatSlider(value, min=low, max=high, step=(high - low) / 20, **look)
    if value <= 0:  # it has no logarithm
        return widgets.FloatSlider(value, min=value, max=value + 1, step=0.05, **look)
    middle = round(math.log10(value))
    return widgets.FloatLogSlider(value, min=middle - 2, max=middle + 2, step=0.25, readout_format=".2g", **look)
