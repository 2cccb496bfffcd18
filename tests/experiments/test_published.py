"""The printed values are the papers': each stands on the line of the text that the table names."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from mmrec_lite.experiments import order_agreement, published

ROWS = published()

# Read from the papers by eye, one a table: the transcription's columns are not shifted.
BY_EYE = [
    ("MICRO", "Table 1", "Sports", "Textual", "cosine, co-interacted items", 0.5423),
    ("MICRO", "Table 2", "Baby", "Visual", "users %, k=15", 50.87),
    ("MICRO", "Table 3", "Sports", "statistics", "interactions", 256308),
    ("MICRO", "Table 4", "Sports", "VBPR", "ndcg@20", 0.0265),
    ("MICRO", "Table 5", "Sports", "MICRO w/o contrast (NGCF)", "recall@20", 0.0804),
    ("MICRO", "Table 6", "Baby", "Textual", "precision@20", 0.0043),
    ("PAMD", "Table 1", "Yelp", "statistics", "items", 8937),
    ("PAMD", "Table 2", "Allrecipes", "Corr-AE", "ndcg@5", 0.1361),
    ("PAMD", "Table 3", "Yelp", "w/o common", "ndcg@10", 0.1398),
    ("PAMD", "Table 4", "Allrecipes", "PAMD-CON", "recall@10", 0.2418),
    ("PAMD", "Table 5", "Clothing", "de only", "ndcg@10", 0.0842),
    ("PAMD", "Table 6", "Yelp", "specific", "pairs %", 52.72),
    ("MCPTR", "Table 1", "TG", "statistics", "items", 78698),
    ("MCPTR", "Table 2", "TG", "PMGT", "recall@60", 0.1693),
    ("MCPTR", "Table 3", "Sharee", "w/o BCE", "ndcg@40", 0.0746),
    ("MCPTR", "Table 3", "VG", "w/o CIMA", "recall@20 decline %", 2.11),
    ("MP4SR", "Table 1", "Arts", "statistics", "avg. n", 8.21),
    ("MP4SR", "Table 2", "Arts", "S3-Rec", "ndcg@10", 0.0546),
    ("MP4SR", "Table 3", "Office", "w/o Pre-train", "recall@20", 0.0183),
    ("MP4SR", "Table 4", "Office", "w/o CMCL", "ndcg@20", 0.0713),
    ("MP4SR", "Table 5", "Pantry", "Larger", "recall@10", 0.0709),
    ("MP4SR", "Table 6", "Arts", "MP4SR-T", "ndcg@20", 0.0748),
]


@pytest.mark.parametrize("paper, table, dataset, row, metric, value", BY_EYE)
def test_values_read_by_eye(paper, table, dataset, row, metric, value):
    assert published(paper, table, dataset=dataset, row=row, metric=metric)["value"].tolist() == [value]


def test_every_table_is_there_and_whole():
    tables = set(map(tuple, ROWS[["paper", "table"]].drop_duplicates().to_numpy()))
    counts = {"MICRO": 6, "PAMD": 6, "MCPTR": 3, "MP4SR": 6}
    assert tables == {(paper, f"Table {n}") for paper, last in counts.items() for n in range(1, last + 1)}
    key = ["paper", "table", "dataset", "row", "metric"]
    assert not ROWS.duplicated(key).any() and not ROWS.isna().any().any()
    assert set(map(tuple, ROWS[["paper", "table"]].to_numpy())) == {row[:2] for row in map(tuple, BY_EYE)}
    shapes = ROWS.groupby(["paper", "table", "dataset"])["row"].size().groupby(level=[0, 1]).nunique()
    assert (shapes == 1).all()  # each data set has as many values as the others of its table


def test_each_value_stands_on_its_line(repository):
    seeds = repository.parent / "shared" / "seeds"
    if not seeds.is_dir():
        seeds = repository.parents[1] / "shared" / "seeds"
    if not seeds.is_dir():
        pytest.skip("the papers' texts (shared/seeds) may not ship and are not here")
    texts = {name: (seeds / name).read_text(encoding="utf-8").split("\n") for name in ROWS["source"].unique()}
    wrong = []
    for row in ROWS.itertuples():
        text = texts[row.source][row.line - 1].replace(",", "")
        numbers = [float(n) for n in re.findall(r"\d+\.?\d*", text)]
        above = "\n".join(texts[row.source][max(0, row.line - 70) : row.line])
        if row.value not in numbers or row.table.lower() not in above.lower():
            wrong.append(row)
    assert wrong == []


def test_the_papers_own_percentages_follow_from_their_values():
    """Table 3's declines of MCPTR against Table 2; rounding to 4 digits leaves 0.1 points."""
    full = published("MCPTR", "Table 2", row="MCPTR").set_index(["dataset", "metric"])["value"]
    ablated = published("MCPTR", "Table 3")
    plain = ablated[~ablated["metric"].str.contains("%")].set_index(["row", "dataset", "metric"])["value"]
    for (row, dataset, metric), value in plain.items():
        decline = published("MCPTR", "Table 3", row=row, dataset=dataset, metric=f"{metric} decline %")["value"][0]
        assert 100 * (1 - value / full[dataset, metric]) == pytest.approx(decline, abs=0.15), (row, dataset, metric)


def test_nothing_found_is_said():
    with pytest.raises(ValueError, match="no printed value has paper='MICRO', table='Table 9'"):
        published("MICRO", "Table 9")
    with pytest.raises(ValueError, match="there is no column 'foo' to choose by; there are paper, table, dataset"):
        published("MICRO", foo="x")


def test_order_agreement_by_hand():
    printed = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert order_agreement({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, printed)["tau"] == 1
    assert order_agreement({"a": 4, "b": 3, "c": 2, "d": 1}, printed)["tau"] == -1
    one_swap = order_agreement({"a": 1, "b": 3, "c": 2, "d": 4, "e": 9}, printed)  # 5 pairs agree, 1 does not
    assert one_swap["tau"] == pytest.approx(4 / 6) and one_swap["n"] == 4
    assert order_agreement(pd.Series(printed), pd.Series(printed))["tau"] == 1
    assert pd.isna(order_agreement({"a": 1, "z": 2}, printed)["tau"])


def test_rows_that_go_together_are_shuffled_together():
    """Two methods of two variants have four orders, worked out by hand: tau = 1, 1/3, -1/3 (methods turned), -1."""
    printed = {"m x": 1.0, "m y": 2.0, "n x": 3.0, "n y": 4.0}
    assert order_agreement(printed, printed, variants=2) == {"tau": 1, "p": 0.5, "n": 4}  # itself, and all turned round
    turned = {"m x": 2.0, "m y": 1.0, "n x": 4.0, "n y": 3.0}  # the variants turned
    found = order_agreement(turned, printed, variants=2)
    assert found["tau"] == pytest.approx(1 / 3) and found["p"] == 1
    assert order_agreement(dict(reversed(printed.items())), printed, variants=2)["p"] == 0.5
    with pytest.raises(ValueError, match="3 names in common with variants = 2: whole groups are needed"):
        order_agreement({"m x": 1, "m y": 2, "n x": 3}, printed, variants=2)
    with pytest.raises(ValueError, match="at most 50,000 orders of groups and variants, not 3,628,800"):
        order_agreement(dict.fromkeys(range(10), 1.0), dict.fromkeys(range(10), 1.0), variants=10)
    with pytest.raises(ValueError, match="variants = 0"):
        order_agreement(printed, printed, variants=0)
