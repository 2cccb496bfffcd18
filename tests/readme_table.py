"""The README's tables: measure the shop's (`make table`), and draw both into README.md.

Five seeds on the embedded shop; each decides the split, the weights and the batches together, and all methods of a
seed share the split. Runs are kept in build/table, so a stopped call goes on where it was. The rows behind the tables
are committed as figures/bazaar_table.csv, real_data.csv and raw_to_trained.csv, and a test holds the README to them.
"""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

import pandas as pd
from statsmodels.stats.multitest import multipletests

import mmrec_lite as mm
from mmrec_lite.data.sample import shuffle_features

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = REPOSITORY / "figures" / "bazaar_table.csv"
REAL_ROWS = REPOSITORY / "figures" / "real_data.csv"
RAW_ROWS = REPOSITORY / "figures" / "raw_to_trained.csv"
README = REPOSITORY / "README.md"
SEEDS = (0, 1, 2, 3, 4)
REFERENCE = "MICRO, image + text"
PROTOCOLS = ("ratio", "cold-items", "leave-one-out")
RECIPES: dict[str, tuple[str, dict]] = {  # label -> method, hyper-parameters
    "random": ("random", {}),
    "popularity": ("popularity", {}),
    "nearest neighbours in content": ("content_knn", {}),
    "nearest neighbours in interactions (ItemKNN)": ("item_knn", {}),
    "MF": ("mf", {}),
    "NGCF": ("ngcf", {}),
    "LightGCN": ("lightgcn", {}),
    "LightGCN with mixed negatives (MixGCF)": ("mixgcf", {}),
    "VBPR": ("vbpr", {}),
    "LightGCN + features": ("micro", {"variant": "cf+feats"}),
    "LightGCN + shuffled features": ("micro", {"variant": "cf+feats"}),
    "SASRec": ("sasrec", {}),
    "MICRO, image": ("micro", {"modalities": ("image",)}),
    "MICRO, text": ("micro", {"modalities": ("text",)}),
    REFERENCE: ("micro", {}),
    "MICRO w/o contrast": ("micro", {"variant": "w/o contrast"}),
    "MICRO/feats": ("micro", {"variant": "micro/feats"}),
    "PAMD": ("pamd", {}),
    "MCPTR": ("mcptr", {}),
    "MCPTR, start CLIP": ("mcptr", {"variant": "CLIP"}),
    "MP4SR": ("mp4sr", {}),
    "oracle (knows the planted truth)": ("oracle", {}),
}
SHUFFLED = ("LightGCN + shuffled features",)  # controls: each item has another item's features
COLUMNS = {  # measured -> printed
    "recall@20": "Recall@20",
    "ndcg@20": "NDCG@20",
    "recall@20 rare": "rare items",
    "recall@20 cold-items": "new items",
    "recall@20 leave-one-out": "next item",
    "recall@20 leave-one-out rare": "rare next item",
}


def measure(labels: list[str], seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """Run recipes on seeds under their protocols; return one row a recipe and seed."""
    rows = []
    shop = mm.load("bazaar")
    for seed in seeds:
        for label in labels:
            data = shuffle_features(shop, seed=seed) if label in SHUFFLED else shop
            method, hyper = RECIPES[label]
            row: dict = {"label": label, "seed": seed}
            for protocol in PROTOCOLS:
                result = mm.run(
                    method,
                    data,
                    protocol=protocol,
                    profile="lecture",
                    seed=seed,
                    split_seed=seed,
                    save=REPOSITORY / "build" / "table",
                    **hyper,
                )
                name = "recall@20" if protocol == "ratio" else f"recall@20 {protocol}"
                row[name] = result.metrics["recall@20"]
                if protocol != "cold-items":
                    row[f"{name} rare"] = result.slices.set_index("bin")["recall@20"]["1-2"]
                if protocol == "ratio":
                    row |= {"ndcg@20": result.metrics["ndcg@20"], "seconds": result.row["seconds fit"]}
            print(row, flush=True)
            rows.append(row)
    return pd.DataFrame(rows)


def render(rows: pd.DataFrame) -> str:
    """Draw the Markdown table: mean ± sample standard deviation over the seeds, paired t-tests against MICRO.

    The first column's p-values are printed, alone and by Holm over all lines; in the others * marks p < 0.05 (alone).
    """
    lines = [f"| | {' | '.join(COLUMNS.values())} | p | p, Holm |", "|---" * (len(COLUMNS) + 3) + "|"]
    groups = {label: rows[rows["label"] == label].sort_values("seed") for label in RECIPES}
    others = [label for label in RECIPES if label != REFERENCE]
    chances = {column: {label: _p(groups[REFERENCE], groups[label], column) for label in others} for column in COLUMNS}
    first = chances[next(iter(COLUMNS))]
    corrected = dict(zip(others, multipletests(list(first.values()), method="holm")[1], strict=True))
    for label, group in groups.items():
        cells = [
            _mean_and_sd(group[column]) + (" *" if place and chances[column].get(label, 1) < 0.05 else "")
            for place, column in enumerate(COLUMNS)
        ]
        cells += [_chance(p[label]) if label in p else "" for p in (first, corrected)]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean_and_sd(values: pd.Series) -> str:
    if values.isna().all():
        return ""
    return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else f"{values.mean():.3f}"


def _p(a: pd.DataFrame, b: pd.DataFrame, column: str) -> float:
    return mm.compare(a[column].to_numpy(), b[column].to_numpy())["p_t"]


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def render_real(rows: pd.DataFrame) -> str:
    """Draw what was measured on the real sets: mean ± sample standard deviation over the seeds."""
    lines = ["| data, protocol | method | settings tried | Recall@20 | NDCG@20 |", "|---|---|---|---|---|"]
    for (data, protocol, method), group in rows.groupby(["data", "protocol", "method"]):
        cells = [_mean_and_sd(group[column]) for column in ("recall@20", "ndcg@20")]
        lines.append(f"| {data}, {protocol} | `{method}` | {group['tried'].iloc[0]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def render_raw(rows: pd.DataFrame) -> str:
    """Draw what came out of raw files: a method a row, a data set a column."""
    wide = rows.pivot(index="method", columns="data", values="recall@20")
    sizes = rows.groupby("data")[["users", "items"]].first()
    heads = [f"{data} ({sizes.loc[data, 'users']:,} users, {sizes.loc[data, 'items']:,} items)" for data in wide]
    lines = [f"| method | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    order = wide.sort_values(list(wide), na_position="first").index
    lines += [f"| {m} | {' | '.join(f'{v:.3f}' if v == v else '' for v in wide.loc[m])} |" for m in order]
    return "\n".join(lines)


def write(name: str, table: str) -> None:
    """Put a table between the README's markers of its name, beside first, then renamed."""
    text = README.read_text()
    pattern = rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)"
    if not re.search(pattern, text, re.S):
        raise SystemExit(f"README.md has no <!-- {name} --> and <!-- /{name} --> markers to put the table between.")
    beside = README.with_suffix(".tmp")
    beside.write_text(re.sub(pattern, lambda m: m[1] + table + m[2], text, flags=re.S))
    os.replace(beside, README)


def main() -> None:
    """Measure what is asked for, keep the other rows, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draw-only", action="store_true", help="from the committed rows, without measuring")
    parser.add_argument("--only", nargs="*", choices=list(RECIPES), help="measure these rows, keep the others")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS, help="with --no-keep: to share the work out")
    parser.add_argument("--no-keep", action="store_true", help="measure into build/table alone")
    args = parser.parse_args()
    if not args.draw_only:
        measured = measure(args.only or list(RECIPES), tuple(args.seeds))
        if args.no_keep:
            return
        if args.only and ROWS.exists():
            old = pd.read_csv(ROWS)
            measured = pd.concat([old[~old["label"].isin(args.only)], measured])
        beside = ROWS.with_suffix(".tmp")
        measured.to_csv(beside, index=False, float_format="%.6f")
        os.replace(beside, ROWS)
    write("table", render(pd.read_csv(ROWS)))
    write("real", render_real(pd.read_csv(REAL_ROWS)))
    write("raw", render_raw(pd.read_csv(RAW_ROWS)))


if __name__ == "__main__":
    main()
