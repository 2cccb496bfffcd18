"""A picture that knows where its points are: which item is under the pointer, which was clicked."""

from __future__ import annotations

import anywidget
import traitlets

__all__ = ["PointPicture"]

# The pointer's nearest point within reach, in CSS pixels; one message a frame at most, none while it stays the same.
SCRIPT = """
const REACH = 14;
function render({ model, el }) {
  const box = document.createElement("div");
  box.style.position = "relative";
  const ring = document.createElement("div");
  ring.style.cssText = "position:absolute;width:15px;height:15px;border:3px solid #000;border-radius:50%;" +
    "pointer-events:none;display:none;transform:translate(-50%,-50%)";
  const place = document.createElement("div");
  box.append(place, ring);
  el.append(box);
  const draw = () => { place.innerHTML = model.get("value"); };
  model.on("change:value", draw);
  draw();
  function nearest(event) {
    const image = place.querySelector("img");
    if (!image) return [-1];
    const frame = image.getBoundingClientRect();
    const view = model.get("points");
    const points = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
    const x = event.clientX - frame.left, y = event.clientY - frame.top;
    let best = -1, least = REACH * REACH;
    for (let i = 0; i < points.length; i += 2) {
      const dx = points[i] * frame.width - x, dy = points[i + 1] * frame.height - y;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = i / 2; }
    }
    return best < 0 ? [-1] : [best, points[2 * best] * frame.width, points[2 * best + 1] * frame.height];
  }
  let last = null;
  box.addEventListener("pointermove", event => {
    const asked = last !== null;
    last = event;  // of several moves within a frame the last one counts
    if (asked) return;
    requestAnimationFrame(() => {
      const [point, x, y] = nearest(last);
      last = null;
      ring.style.display = point < 0 ? "none" : "block";
      if (point >= 0) { ring.style.left = x + "px"; ring.style.top = y + "px"; }
      if (point !== model.get("hovered")) { model.set("hovered", point); model.save_changes(); }
    });
  });
  box.addEventListener("pointerleave", () => { ring.style.display = "none"; });
  box.addEventListener("pointerdown", event => {  // not click: JupyterLab may scroll before the button is up
    const [point] = nearest(event);
    if (point >= 0 && event.button === 0) { model.set("clicked", point); model.save_changes(); }
  });
}
export default { render };
"""


class PointPicture(anywidget.AnyWidget):
    """An <img> (`value`) and the points in it: float32 pairs, shares of its width and height, as bytes in `points`.

    `hovered` and `clicked` are places in `points`, -1 for none. Who acts upon `clicked` puts it back to -1, so that the
    same point can be clicked again.
    """

    _esm = SCRIPT
    value = traitlets.Unicode("").tag(sync=True)
    points = traitlets.Bytes(b"").tag(sync=True)
    hovered = traitlets.Int(-1).tag(sync=True)
    clicked = traitlets.Int(-1).tag(sync=True)
