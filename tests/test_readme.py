"""The README says what is: its table, its example, its links and commands."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from tests import readme_table


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "render", "rows"),
    [
        ("table", readme_table.render, readme_table.ROWS),
        ("real", readme_table.render_real, readme_table.REAL_ROWS),
    ],
)
def test_a_table_is_drawn_from_the_measured_rows(readme, name, render, rows):
    drawn = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", readme, re.S)
    assert drawn and drawn[1] == render(pd.read_csv(rows))


def test_every_recipe_was_measured_on_every_seed_and_protocol():
    rows = pd.read_csv(readme_table.ROWS)
    assert set(rows["label"]) == set(readme_table.RECIPES)
    assert (rows.groupby("label")["seed"].apply(sorted).map(tuple) == readme_table.SEEDS).all()
    for label, (_, _, protocols) in readme_table.RECIPES.items():
        columns = ["recall@20", "ndcg@20", "recall@20 rare", *(f"recall@20 {p}" for p in protocols if p != "ratio")]
        assert rows.loc[rows["label"] == label, columns].notna().all(axis=None), label


def test_every_link_leads_to_a_file(readme, repository):
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", readme) if not t.startswith("http")]
    assert targets and [t for t in targets if not (repository / t).exists()] == []


def test_every_make_target_is_there(readme, repository):
    makefile = (repository / "Makefile").read_text()
    for target in set(re.findall(r"`?make ([a-z]+)", readme)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_method_is_in_the_table(readme):
    import mmrec_lite as mm

    for name, summary in mm.methods().items():
        assert f"| `{name}` | {summary} |" in readme


def test_the_ten_lines_run(readme):
    """The example as printed, one epoch a training instead of sixty."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "mm.fit" in block)
    assert len(code.strip().splitlines()) <= 12
    quick = code.replace('profile="lecture"', 'profile="lecture", epochs=1')
    names: dict = {}
    exec(compile(quick, "README.md", "exec"), names)  # the project's own text
    assert 0 <= names["report"].metrics["recall@20"] <= 1 and names["result"].metrics
