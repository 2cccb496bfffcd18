"""Run the papers' tables and figures, and say which of their claims the measurement bears out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mmrec_lite.data import MultimodalDataset, load
from mmrec_lite.data.masking import mask_modalities
from mmrec_lite.evaluation import evaluate
from mmrec_lite.experiments import runs
from mmrec_lite.experiments.corpora import pretrained_part
from mmrec_lite.experiments.published import order_agreement, published
from mmrec_lite.experiments.studies import LONGEST, SHORTEST, STUDIES, Study
from mmrec_lite.experiments.sweeps import check_seeds, run_cells
from mmrec_lite.methods import REGISTRY, Method, adopt, configure, method_class, own_methods
from mmrec_lite.probes import strongest_representation

__all__ = ["AGREES", "OPEN", "REVERSED", "beside", "judge", "measured", "noise", "run_studies", "run_study"]

AGREES, OPEN, REVERSED = "agrees", "not told apart", "reversed"
LENGTHS = {"epochs", "pretrain_epochs"}  # how long to train what there is to train
RARE = 10  # an item with fewer training interactions is a cold one in MP4SR's Table 3


def run_study(study: Study | str, data: str | Path | MultimodalDataset = "bazaar", **options: Any) -> pd.DataFrame:
    """Run one study; `options` are those of ``run_studies``. One row a cell."""
    return run_studies([study], data, **options)


def _known(study: Study | str) -> Study:
    """Return a study by its name, or raise ``ValueError`` with the names that are near."""
    if not isinstance(study, str) or study in STUDIES:
        return STUDIES[study] if isinstance(study, str) else study
    folded = {name.casefold(): name for name in STUDIES}
    close = [folded[name] for name in difflib.get_close_matches(study.casefold(), folded, n=3)]
    raise ValueError(
        f"there is no study {study!r}; " + (f"did you mean {' or '.join(close)}?" if close else "see STUDIES.")
    )


def run_studies(
    chosen: Iterable[Study | str],
    data: str | Path | MultimodalDataset = "bazaar",
    *,
    seeds: Sequence[int] = (0,),
    profile: str = "lecture",
    save: str | Path | None = None,
    jobs: int = 1,
    threads: int = 1,
    dask: str | Any | None = None,
    progress: bool = True,
    protocol: str | None = None,
    **hyper: Any,
) -> pd.DataFrame:
    """Run studies; one row a study, label and seed, with the study's figure in `value`.

    A seed decides split, weights and batches together, so that labels are paired by it; leave-one-out and a given split
    are the same for every seed, which then varies the training alone. `protocol` takes the place of the papers'
    ("given", where the data bring their split). `hyper` (epochs=5 ...) goes to every cell whose method has it, unless
    its recipe says otherwise. Cells that several studies share are trained once. The others are ``sweep``'s options.
    Raises ``ValueError`` for a setting that no method of these studies has (but for `LENGTHS`).
    """
    check_seeds("run_studies", seeds)
    dataset, save = load(data), Path(save).resolve() if save is not None else None  # workers may stand elsewhere
    todo = [_known(s) for s in chosen]
    known = {name for method in REGISTRY.values() if method.Config for name in method.Config.model_fields}
    for name in hyper.keys() - known:
        close = difflib.get_close_matches(name, known, n=1)
        raise ValueError(
            f"run_studies: no method has a setting {name!r}"
            + (f"; did you mean {close[0]!r}?" if close else ", nor has run_studies.")
        )
    names = list(dict.fromkeys(recipe["method"] for study in todo for recipe in study.recipes.values()))
    chosen_have = {field for name in names for field in method_class(name).Config.model_fields} | LENGTHS
    for name in sorted(hyper.keys() - chosen_have):
        raise ValueError(f"run_studies: none of {', '.join(names)} has a setting {name!r}; leave it out.")
    cells: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    wanted = []
    for study in todo:
        for label, recipe in study.recipes.items():
            for seed in seeds:
                fields = method_class(recipe["method"]).Config.model_fields
                settings = {"profile": profile} | {k: v for k, v in hyper.items() if k in fields} | dict(recipe)
                settings |= {"seed": seed, "split_seed": seed, "save": save}
                if protocol is not None and recipe.get("protocol", "ratio") != "cold-items":
                    settings["protocol"] = protocol
                    settings.pop("split_options", None)  # the shares are those of the paper's protocol
                key = _same_run(settings)
                cells.setdefault(key, ({}, settings))
                wanted.append((study, label, seed, key))
    work, desc = partial(_cell, own_methods(names)), "cells"
    rows = run_cells(
        work, list(cells.values()), dataset, jobs=jobs, threads=threads, dask=dask, progress=progress, desc=desc
    )
    by_key = {key: _by_length(row) for key, row in zip(cells, rows, strict=True)}
    found = [
        {"study": study.name, "label": label, "seed": seed, "metric": study.metric}
        | {"value": by_key[key].get(study.columns.get(label, study.metric), np.nan)}
        | by_key[key]
        for study, label, seed, key in wanted
    ]
    return pd.DataFrame(found).assign(seed=[seed for _, _, seed, _ in wanted])


def _same_run(settings: Mapping[str, Any]) -> str:
    """What decides a cell's outcome, in words: recipes that name a default and those that do not are one."""
    rest = dict(settings)
    cls = method_class(method := rest.pop("method"))
    hyper = {name: rest.pop(name) for name in list(rest) if name in cls.Config.model_fields}
    try:
        config = configure(method, profile := rest.pop("profile"), **hyper).model_dump_json()
    except ValueError:  # it is to fail as a cell of its own
        config = repr((profile, sorted(hyper.items())))
    rest = {name: value for name, value in rest.items() if (name, value) != ("masked", 0)}
    return repr((method, config, sorted(rest.items(), key=str)))


def _by_length(row: dict[str, Any]) -> dict[str, Any]:
    """A run's row, with its first and last group of users by length under names that do not depend on the data."""
    start = "recall@20 length "
    groups = [c for c in row if c.startswith(start)]
    groups.sort(key=lambda c: int(c.removeprefix(start).rstrip("+").split("-")[0]))
    return row | ({SHORTEST: row[groups[0]], LONGEST: row[groups[-1]]} if len(groups) > 1 else {})


def _cell(
    own: Mapping[str, type[Method]], settings: dict[str, Any], dataset: MultimodalDataset, wait: bool
) -> dict[str, Any]:
    """One cell's row: what a worker does, which does not know the methods that its caller registered."""
    adopt(own)
    settings = dict(settings)
    method = settings.pop("method")
    masked, words, corpus = settings.pop("masked", 0.0), settings.pop("words", None), settings.pop("corpus", None)
    if masked:
        dataset = mask_modalities(dataset, masked, settings["seed"])
    if words is not None:
        dataset = _fewer_words(dataset, words)
    if corpus is None:
        return runs.run(method, dataset, wait=wait, also=_also, **settings).row
    with pretrained_part(method, dataset, corpus, settings, wait) as (small, file):
        return runs.run(method, small, wait=wait, also=_also, pretrained=file, **settings).row


_told: dict[tuple[str, str, int], MultimodalDataset] = {}  # the last one; a worker has another object for every cell


def _fewer_words(dataset: MultimodalDataset, n: int) -> MultimodalDataset:
    """The items' pictures told in their n nearest words alone (MP4SR's N), encoded again unless they just were."""
    key = dataset.name, dataset.hash, n
    if key not in _told:
        made = _encode_fewer(dataset, n)
        _told.clear()
        _told[key] = made
    return _told[key]


def _encode_fewer(dataset: MultimodalDataset, n: int) -> MultimodalDataset:
    from mmrec_lite.features.catalogue import BETWEEN_PICTURES
    from mmrec_lite.features.text import TextEncoder, encode_sentences

    if "keywords" not in dataset.items:
        raise ValueError(f"data set {dataset.name!r} has no column items['keywords'] to take {n} words from.")
    told = dataset.items["keywords"].fillna("").str.split(BETWEEN_PICTURES, regex=False)
    few = [[" ".join(picture.split()[:n]) for picture in pictures if picture] for pictures in told]
    vectors, sentences = encode_sentences(few, TextEncoder())
    texts = dataset.texts | ({"keywords": sentences} if "keywords" in dataset.texts else {})
    sequences = dataset.sequences | {"keywords": vectors}
    return dataset.replace(name=f"{dataset.name}-words{n}", sequences=sequences, texts=texts)


# What the papers measure beside the means over all users --------------------------------------------------------------


def _also(result: runs.Result) -> dict[str, float]:
    """Recall of rare items and of users by length; the full ranking beside a sampled one; PAMD's attention."""
    report, split = result.report, result.split
    out: dict[str, float] = {}
    rare = report.slices("popularity", edges=(0, RARE)).set_index("bin")["recall@20"]
    out["recall@20 rare"] = float(rare.get(f"0-{RARE - 1}", np.nan))
    lengths = split.train_lengths[report.per_user["user"].to_numpy()]
    recall = report.per_user["recall@20"].to_numpy()
    out["recall@20 short"] = float(recall[lengths <= np.median(lengths)].mean())
    edges = sorted({0, *(int(np.quantile(lengths, q)) + 1 for q in (0.2, 0.4, 0.6, 0.8))})
    for row in report.slices("length", edges=edges).itertuples():
        out[f"recall@20 length {row.bin}"] = float(row[4])
    if result.row["candidates"] not in ("all", "held-out"):
        full = evaluate(result.model, split, ks=(10, 20)).metrics
        out |= {f"{name} full": full[name] for name in ("recall@10", "ndcg@10", "recall@20", "ndcg@20")}
    if result.row["method"] == "pamd" and result.row["set base"] == "bpr" and result.row["set variant"] == "full":
        common = _attention_on_common(result)
        out |= {"attention common": common, "attention specific": 100 - common}
    return out


def _attention_on_common(result: runs.Result) -> float:
    """Share (%) of the pairs found in the top ten whose common parts have more attention together (PAMD Table 6)."""
    if not result.report.hits[:, :10].any():
        return float("nan")
    return float(100 * strongest_representation(result.model, result.report, k=10, together=True)["common"])


# Claims against measurements ------------------------------------------------------------------------------------------


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `value` by seed and label, without gaps: all that is said of a study is said of the same seeds.

    A label that no seed has a value of is left out, and then each seed that lacks one of the others: a mean over other
    seeds than its rival's would take an easier split for a better method.
    """
    wide = rows.pivot_table(index="seed", columns="label", values="value", aggfunc="first")
    return wide.dropna(axis=1, how="all").dropna()


def noise(rows: pd.DataFrame, confidence: float = 0.95) -> float:
    """Return the smallest difference of two labels' means over seeds that is told from chance.

    Fisher's least significant difference: labels and seeds are taken as two factors (a seed's split is easier or harder
    for all), what they leave over is chance; its spread times Student's t times sqrt(2 / seeds). Where all seeds have
    one split (leave-one-out, given) the chance is that of training again, not of other users. Seeds that lack a label's
    value are left out. NaN for one seed.
    """
    from scipy import stats

    wide = _wide(rows)
    n, m = wide.shape
    if n < 2 or m < 2:
        return float("nan")
    values = wide.to_numpy()
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    freedom = (n - 1) * (m - 1)
    spread = np.sqrt(np.square(rest).sum() / freedom)
    return float(stats.t.ppf((1 + confidence) / 2, freedom) * spread * np.sqrt(2 / n))


def judge(study: Study | str, rows: pd.DataFrame) -> pd.DataFrame:
    """Hold a study's claims against its rows: better, worse, difference, the noise, and a verdict each.

    "agrees": the difference has the claimed sign and is larger than ``noise``; "reversed": the other sign, and larger;
    else "not told apart". With one seed there is no noise to compare with, and every verdict is "not told apart".
    Means are over the seeds of which every label has a value.
    For `Study.gains` (and `declines`, in shares) the difference is one gain minus the other, taken seed by seed, and
    the noise half of its 95 % interval (Student's t).
    """
    study = _known(study)
    rows = rows[rows["study"] == study.name] if "study" in rows else rows
    means = _wide(rows).mean()
    limit = noise(rows)
    out = [
        (better, worse, means.get(better, np.nan) - means.get(worse, np.nan), limit) for better, worse in study.claims
    ]
    out += [_gain(rows, *gain) for gain in study.gains]
    out += [_gain(rows, *decline, relative=True) for decline in study.declines]
    table = pd.DataFrame(out, columns=["better", "worse", "difference", "noise"])
    gap, told = table["difference"], table["difference"].abs() > table["noise"]
    return table.assign(verdict=np.select([told & (gap > 0), told], [AGREES, REVERSED], OPEN))


def _gain(
    rows: pd.DataFrame, better: str, worse: str, column: str, other: str, relative: bool = False
) -> tuple[str, str, float, float]:
    """How much more one label gains over another in one column than in another: names, mean over seeds, and noise.

    `relative`: gains as shares of the better one's value, which is what the worse one declines by.
    """
    from scipy import stats

    gain = f"gain of {better} over {worse}, "
    out = (f"decline of {worse}, {column}", other) if relative else (f"{gain}{column}", f"{gain}{other}")
    if not {column, other} <= set(rows):
        return *out, float("nan"), float("nan")
    gains = [rows.pivot_table(index="seed", columns="label", values=c, aggfunc="first") for c in (column, other)]
    if any(label not in wide for label in (better, worse) for wide in gains):
        return *out, float("nan"), float("nan")
    more, less = ((wide[better] - wide[worse]) / (wide[better] if relative else 1.0) for wide in gains)
    gap = (more - less).dropna()
    n = len(gap)
    reach = stats.t.ppf(0.975, n - 1) * gap.std() / np.sqrt(n) if n > 1 else float("nan")
    return *out, float(gap.mean()), float(reach)


def beside(study: Study | str, rows: pd.DataFrame) -> pd.DataFrame:
    """Compare a study's order with the paper's: Kendall's `tau`, its `p` and `n` labels in common, a row a data set.

    Means are over the seeds of which every label has a value. Empty where the paper printed no such table (figures).
    """
    study = _known(study)
    rows = rows[rows["study"] == study.name] if "study" in rows else rows
    if not study.printed or rows.empty:
        return pd.DataFrame({"tau": [], "p": [], "n": []}).astype({"n": int}).rename_axis("dataset")
    means = _wide(rows).mean().filter(list(study.printed)).rename(index=dict(study.printed))
    table = published(study.paper, study.artefact, metric=study.metric.removesuffix(" rare"))
    found = {d: order_agreement(means, g.set_index("row")["value"]) for d, g in table.groupby("dataset", sort=False)}
    return pd.DataFrame(found).T.astype({"n": int}).rename_axis("dataset")


def measured(study: str | None = None, data: str = "bazaar") -> pd.DataFrame:
    """Return what `make reproduction` measured on a data set: study, label, seed, metric, value, seconds.

    Raises ``ValueError`` for a study that was not measured there.
    """
    with (resources.files("mmrec_lite.experiments") / "measured.csv").open(encoding="utf-8") as opened:
        rows = pd.read_csv(opened, dtype={"label": str})
    rows = rows[rows["data"] == data]
    if study is not None:
        rows = rows[rows["study"] == study]
        if rows.empty:
            raise ValueError(f"{study!r} was not measured on {data!r}; run_study({study!r}, {data!r}) does it.")
    return rows.reset_index(drop=True)


def tuning(method: str | None = None) -> pd.DataFrame:
    """Return what the *lecture* settings were chosen by (`make tuning`): method, settings tried, seed, validation.

    `validation` is the metric `monitor` on the validation part of the embedded shop. Raises ``ValueError`` for a
    method that was not tuned.
    """
    with (resources.files("mmrec_lite.experiments") / "tuning.csv").open(encoding="utf-8") as opened:
        rows = pd.read_csv(opened)
    if method is not None:
        rows = rows[rows["method"] == method].dropna(axis=1, how="all")
        if rows.empty:
            raise ValueError(f"{method!r} was not tuned; tests/tuning.py holds the grids of those that were.")
    return rows.reset_index(drop=True)
