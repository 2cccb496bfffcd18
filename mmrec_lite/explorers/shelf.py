"""A row of pictures to choose one from, by mouse or by keyboard."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["PictureShelf"]

# Each picture and its title are one button: a title alone would leave the larger part of it dead.
SCRIPT = """
function render({ model, el }) {
  const row = document.createElement("div");
  const draw = () => {
    const entries = model.get("entries");
    row.style.cssText = "display:grid;gap:4px;grid-template-columns:repeat(" + entries.length + ",minmax(0,112px))";
    row.replaceChildren(...entries.map(({ title, source }, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "choose " + title;
      button.style.cssText = "display:flex;flex-direction:column;align-items:center;gap:4px;padding:4px;" +
        "cursor:pointer;font:inherit;line-height:1.25;overflow-wrap:anywhere;border:1px solid transparent;" +
        "color:var(--jp-ui-font-color1,#222);background:var(--jp-layout-color2,#eee)";
      const image = document.createElement("img");
      image.alt = "";  // the title is beside it, and would be read twice
      image.src = source;
      image.style.cssText = "max-width:100%;height:auto";
      const words = document.createElement("span");
      words.textContent = title;
      button.append(image, words);
      button.addEventListener("click", () => { model.set("clicked", place); model.save_changes(); });
      return button;
    }));
  };
  model.on("change:entries", draw);
  draw();
  el.append(row);
  return () => model.off("change:entries", draw);
}
export default { render };
"""


class PictureShelf(anywidget.AnyWidget):
    """Pictures with titles, each a button; `entries` are {"title", "source"}, `source` is an <img>'s.

    `clicked` is a place in `entries`, -1 for none. Who acts upon it puts it back to -1, so that the same picture can be
    clicked again.
    """

    _esm = SCRIPT
    entries = traitlets.List().tag(sync=True)
    clicked = traitlets.Int(-1).tag(sync=True)
