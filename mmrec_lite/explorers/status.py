"""The line that says what was done, so that a screen reader speaks it; it also gives menus their keys back."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["StatusLine"]

# A region that is new in the page is not spoken, only what changes in one that was there: the paragraph is made once,
# empty, and its words come after the browser has seen it.
# JupyterLab takes arrows and letters for itself wherever nothing is typed: in a menu they went to the next cell, or
# deleted one. It leaves alone what has this attribute.
SCRIPT = """
function render({ model, el }) {
  const line = document.createElement("p");
  line.setAttribute("role", "status");
  line.setAttribute("aria-live", "polite");
  line.setAttribute("aria-atomic", "true");
  line.style.cssText = "line-height:1.4;margin:0 2px";
  el.append(line);
  const say = () => { line.innerHTML = model.get("value"); };
  model.on("change:value", say);
  requestAnimationFrame(say);
  const own = ({ target }) => {
    if (target.matches("select")) target.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  const listen = (tries) => {
    const box = el.parentElement?.closest(".widget-vbox");
    if (box) box.addEventListener("focusin", own);
    else if (tries > 0) requestAnimationFrame(() => listen(tries - 1));
  };
  listen(100);
  return () => model.off("change:value", say);
}
export default { render };
"""


class StatusLine(anywidget.AnyWidget):
    """A paragraph with `role="status"` whose words (`value`, HTML) change while it stays in the page."""

    _esm = SCRIPT
    value = traitlets.Unicode("").tag(sync=True)
