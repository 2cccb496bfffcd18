"""The page that `make bench` writes: a column that only some rows have, and rows measured anew."""

from __future__ import annotations

from tests.benchmarks import table


def measured(group: str, *rows: dict) -> dict:
    return {"datetime": "2026-11-01T00:00", "benchmarks": [{"group": group, "extra_info": row} for row in rows]}


def test_a_column_that_only_some_rows_have():
    rows = {"label": "theirs", "seconds": 4.0, "MiB": 100}, {"label": "ours", "seconds": 2.0, "MiB": 90, "epochs": 7}
    assert table.tables(measured("one epoch", *rows))["one epoch"].splitlines() == [
        "| | seconds | times as fast as the first | MiB | epochs |",
        "|---|---|---|---|---|",
        "| theirs | 4 | 1 | 100 |  |",
        "| ours | 2 | 2 | 90 | 7 |",
    ]


def test_a_table_measured_again_takes_its_own_place_and_the_others_stay(tmp_path):
    page = tmp_path / "page.md"
    for group, seconds in (("one", 1.0), ("two", 2.0), ("one", 3.0)):
        table.write(measured(group, {"label": "it", "seconds": seconds, "MiB": 1}), page)
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("| it ")] == [
        "| it | 3 | 1 | 1 |",
        "| it | 2 | 1 | 1 |",
    ]
    assert text.index("\n## one\n") < text.index("\n## two\n") and text.startswith("# Speed and memory")
    assert [file.name for file in tmp_path.iterdir()] == ["page.md"]
