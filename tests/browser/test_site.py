"""The pages of `make site` under axe-core: contrast, alternative texts, headings, names of links (WCAG 2 A and AA)."""

from __future__ import annotations

import pytest

from tests.notebooks.export import main

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    main(["site", str(out)])
    return out


def test_no_page_breaks_a_rule(browser, site):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context()
    asked = []
    context.route("http*://**", lambda route: (asked.append(route.request.url), route.abort()))
    found = []
    for path in sorted(site.glob("*.html")):
        tab = context.new_page()
        tab.goto(path.as_uri(), wait_until="load")
        result = axe.run(tab, options={"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]})
        for rule in result.response["violations"]:
            first = rule["nodes"][0]
            where = f"{path.name}: {rule['id']} x {len(rule['nodes'])}"
            found.append(f"{where}: {first['html'][:100]} {first['failureSummary'][:200]}")
        tab.close()
    context.close()
    assert found == []
    assert asked == [], "a page asks the network for something"
