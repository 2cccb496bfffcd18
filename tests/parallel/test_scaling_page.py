"""notebooks/SCALING.md shows the rows of tests/benchmarks/scaling.json, and what follows from them."""

from __future__ import annotations

import json
import re

import pytest

from tests.benchmarks import scaling_page
from tests.benchmarks.scaling import RECORD


@pytest.mark.parametrize("name", ["products", "searches", "contrast", "catalogues", "processes", "notebooks", "large"])
def test_a_table_is_drawn_from_the_measured_rows(name):
    drawn = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", scaling_page.PAGE.read_text(), re.S)
    assert drawn and drawn[1] == getattr(scaling_page, name)(json.loads(RECORD.read_text()))


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\(([^)#]+)\)", scaling_page.PAGE.read_text())
    assert targets and [t for t in targets if not (scaling_page.PAGE.parent / t).exists()] == []
