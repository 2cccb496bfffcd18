"""The pages of `make site` under axe-core (contrast, names: WCAG 2 A and AA); the decks of `make slides` on a wall."""

from __future__ import annotations

import nbformat
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tests.notebooks.export import main

pytestmark = [pytest.mark.browser, pytest.mark.slow]


CONTRAST = {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}}
OTHERS = CONTRAST | {"runOnly": ["wcag2a", "wcag2aa"], "rules": {"color-contrast": {"enabled": False}}}
# Of pieces of code that look alike one is enough, and what lies over what takes long to find out for thousands.
ONE_OF_EACH = r"""() => {
  const seen = new Set();
  const ground = one => {
    for (; one; one = one.parentElement) {
      const {backgroundColor: colour, backgroundImage: image} = getComputedStyle(one);
      if (colour !== "rgba(0, 0, 0, 0)" || image !== "none") return colour + image;
    }
  };
  for (const span of [...document.querySelectorAll(".highlight span")].filter(one => !one.childElementCount)) {
    const {color, fontSize, fontWeight, opacity} = getComputedStyle(span), text = span.textContent;
    const key = JSON.stringify([color, fontSize, fontWeight, opacity, ground(span), span.checkVisibility(),
      text.trim().length < 2 ? 1 : /[\p{L}\p{N}]{2}/u.test(text) ? 2 : text]);  // axe judges no single sign
    if (seen.has(key)) span.remove();
    seen.add(key);
  }
  return seen.size;
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    main(["site", str(out)])
    return out


def test_no_page_breaks_a_rule(browser, site, repository):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context()
    asked = []
    context.route("http*://**", lambda route: (asked.append(route.request.url), route.abort()))
    found, kept = [], []
    pages = sorted(site.glob("*.html"))
    assert len(pages) > len(list((repository / "notebooks").glob("*.ipynb"))) > 0
    for path in pages:
        tab = context.new_page()
        tab.goto(path.as_uri(), wait_until="load")
        violations = axe.run(tab, options=OTHERS).response["violations"]
        kept.append(tab.evaluate(ONE_OF_EACH))
        for rule in violations + axe.run(tab, options=CONTRAST).response["violations"]:
            first = rule["nodes"][0]
            where = f"{path.name}: {rule['id']} x {len(rule['nodes'])}"
            found.append(f"{where}: {first['html'][:100]} {first['failureSummary'][:200]}")
        tab.close()
    context.close()
    assert max(kept) > 5, "no code to read"
    assert found == []
    assert asked == [], "a page asks the network for something"


# What the decks use of reveal.js, which is not among our packages: one slide at a time, of the size asked for.
STAND_IN = """
window.Reveal = {
  heard: {}, slides: [], place: 0,
  on(name, call) { this.heard[name] = call; },
  getCurrentSlide() { return this.slides[this.place]; },
  show() { this.slides.forEach((slide, n) => { slide.style.display = n === this.place ? "block" : "none"; }); },
  next() { this.place += 1; this.show(); this.heard.slidechanged(); },
  initialize({width, height}) {
    const room = document.querySelector(".reveal .slides");
    Object.assign(room.style, {width: width + "px", height: height + "px"});
    this.slides = [...room.querySelectorAll("section")].filter(one => !one.querySelector("section"));
    for (const slide of this.slides) slide.parentElement.classList.toggle("stack", slide.parentElement !== room);
    this.show();
    setTimeout(() => this.heard.ready());
  },
};
"""


def test_a_slide_higher_than_the_wall_is_drawn_smaller(browser, tmp_path):
    for name in ("reveal.js", "reveal.css"):
        (tmp_path / "package" / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / "dist" / name).write_text(STAND_IN if name.endswith("js") else "")
    (tmp_path / "lessons").mkdir()
    texts = [f"# {rows} rows\n\n" + "\n".join(f"- row {row}" for row in range(rows)) for rows in (30, 5, 200, 6)]
    lesson = new_notebook(cells=[new_markdown_cell(text) for text in texts])
    nbformat.write(lesson, tmp_path / "lessons" / "01_long.ipynb")
    out = tmp_path / "slides"
    main(["slides", str(out), "--notebooks", str(tmp_path / "lessons"), "--reveal", str(tmp_path / "package")])
    tab = browser.new_page(viewport={"width": 1280, "height": 800})
    tab.goto((out / "01_long.slides.html").as_uri(), wait_until="load")
    tab.wait_for_function("Reveal.getCurrentSlide().children[0].style.zoom")
    seen = []
    for _ in texts:
        seen.append(
            tab.evaluate("""() => {
              const {children, clientHeight, scrollHeight} = Reveal.getCurrentSlide();
              return [Number(children[0].style.zoom), scrollHeight <= clientHeight, clientHeight];
            }""")
        )
        if len(seen) < len(texts):
            tab.evaluate("Reveal.next()")
    tab.close()
    zooms, whole, heights = zip(*seen, strict=True)
    assert heights == (800,) * 4
    assert 0.6 < zooms[0] < 1 and whole[0]  # a little too long: smaller, and whole
    assert zooms[1] == zooms[3] == 1 and whole[1] and whole[3]
    assert zooms[2] == 0.6 and not whole[2]  # far too long: as small as can be read, and scrolls
