"""notebooks/SCALING.md shows the rows of tests/benchmarks/scaling.json, and what follows from them."""

from __future__ import annotations

import json
import re

import pytest
import torch

from tests.benchmarks import scaling_page
from tests.benchmarks.limits import Work
from tests.benchmarks.scaling import RECORD


@pytest.mark.parametrize(
    "name", ["products", "searches", "contrast", "limits", "catalogues", "processes", "notebooks", "large"]
)
def test_a_table_is_drawn_from_the_measured_rows(name):
    drawn = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", scaling_page.PAGE.read_text(), re.S)
    assert drawn and drawn[1] == getattr(scaling_page, name)(json.loads(RECORD.read_text()))


def test_every_link_leads_to_a_file():
    targets = re.findall(r"\]\(([^)#]+)\)", scaling_page.PAGE.read_text())
    assert targets and [t for t in targets if not (scaling_page.PAGE.parent / t).exists()] == []


def test_operations_and_bytes_are_counted_as_by_hand():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with Work() as work:
        torch.t(a @ b.clone())  # 3 x 5 results of 4 multiplications and additions; the transposed product moves nothing
    assert (work.products, work.bytes) == (2 * 3 * 4 * 5, 4 * (2 * 20 + (12 + 20 + 15)))
    with Work() as work:
        a[torch.tensor([0, 2])]  # two rows of a table, read and written, and two numbers of 8 bytes
    assert (work.products, work.bytes) == (0, 2 * 2 * 4 * 4 + 16)
    graph = torch.eye(3).to_sparse_csr()
    with Work() as work:
        graph @ a  # an edge: an index of 8 and a weight of 4 bytes, and the row of its other end
    assert (work.products, work.bytes) == (2 * 3 * 4, 3 * (12 + 4 * 4) + 4 * 12)
    x = torch.ones(2, 6, requires_grad=True)
    with Work() as work:
        (x @ b[:, :1].expand(4, 6).reshape(6, 4)).sum().backward()
    assert work.products == 2 * (2 * 2 * 6 * 4)  # forth, and back to the one factor that wants a gradient
