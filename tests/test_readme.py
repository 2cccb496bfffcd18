"""The README says what is: its table, its example, its links and commands."""

from __future__ import annotations

import re

import pandas as pd
import pytest
from scipy import stats

from tests import readme_table


@pytest.fixture(scope="module")
def readme(repository) -> str:
    return (repository / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "render", "rows"),
    [
        ("table", readme_table.render, readme_table.ROWS),
        ("real", readme_table.render_real, readme_table.REAL_ROWS),
        ("raw", readme_table.render_raw, readme_table.RAW_ROWS),
    ],
)
def test_a_table_is_drawn_from_the_measured_rows(readme, name, render, rows):
    drawn = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", readme, re.S)
    assert drawn and drawn[1] == render(pd.read_csv(rows))


def test_every_recipe_was_measured_on_every_seed_and_protocol():
    rows = pd.read_csv(readme_table.ROWS)
    assert set(rows["label"]) == set(readme_table.RECIPES)
    assert (rows.groupby("label")["seed"].apply(sorted).map(tuple) == readme_table.SEEDS).all()
    assert rows[list(readme_table.COLUMNS)].notna().all(axis=None)


@pytest.mark.parametrize(
    ("better", "worse", "columns"),
    [
        ("LightGCN", "popularity", ("recall@20", "ndcg@20", "recall@20 leave-one-out")),
        *(
            (content, "LightGCN", ("recall@20 rare", "recall@20 leave-one-out rare"))
            for content in ("nearest neighbours in content", "VBPR", "MP4SR")
        ),
    ],
)
def test_the_table_shows_what_the_shop_was_made_to_show(better, worse, columns):
    """LightGCN beats popularity by far, content beats LightGCN on rare items: on every seed, half as much again."""
    rows = pd.read_csv(readme_table.ROWS).set_index("seed").groupby("label")
    for column in columns:
        more, less = rows.get_group(better)[column].sort_index(), rows.get_group(worse)[column].sort_index()
        assert (more > 1.5 * less).all() and stats.ttest_rel(more, less, alternative="greater").pvalue < 0.01, column


def test_the_tables_chances_are_scipys():
    """p of a paired t-test, Holm's correction by its definition, and the marks of the other columns."""
    rows = pd.read_csv(readme_table.ROWS).set_index(["label", "seed"])
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in readme_table.render(rows.reset_index()).split("\n")
    ]
    printed = {line[0]: line[1:] for line in lines[2:]}
    others = [label for label in printed if label != readme_table.REFERENCE]
    pairs = {c: {o: stats.ttest_rel(rows.loc[readme_table.REFERENCE, c], rows.loc[o, c]).pvalue for o in others}
             for c in readme_table.COLUMNS}  # fmt: skip
    worst = 0.0
    for place, (label, p) in enumerate(sorted(pairs["recall@20"].items(), key=lambda pair: pair[1])):
        worst = max(worst, min(1.0, p * (len(others) - place)))
        for shown, value in zip(printed[label][-2:], (p, worst), strict=True):
            assert shown == ("< 0.001" if value < 0.001 else f"{value:.3f}"), label
    for place, column in enumerate(readme_table.COLUMNS):
        marked = {label for label in others if printed[label][place].endswith("*")}
        assert marked == {label for label in others if place and pairs[column][label] < 0.05}


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


def test_the_method_of_ones_own_is_one(readme):
    import mmrec_lite as mm
    from mmrec_lite.methods import REGISTRY

    code = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "@mm.register" in block)
    try:
        exec(code, {"mm": mm, "__name__": "__main__"})
        assert (mm.check_method("latest")["outcome"] != "fault").all()
    finally:
        REGISTRY.pop("latest", None)


def test_the_ten_lines_run(readme):
    """The example as printed, one epoch a training instead of sixty."""
    code = next(block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "mm.fit" in block)
    assert len(code.strip().splitlines()) <= 12
    quick = code.replace('profile="lecture"', 'profile="lecture", epochs=1')
    names: dict = {}
    exec(compile(quick, "README.md", "exec"), names)  # the project's own text
    assert 0 <= names["report"].metrics["recall@20"] <= 1 and names["result"].metrics
