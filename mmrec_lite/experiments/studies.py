"""The papers' tables and figures as lists of cells to run: what is compared, and what the paper says comes out.

A `Study` is one artefact. Its recipes are cells for `run_study`, its claims pairs (better, worse) of their labels.
`everything` is no artefact: all methods that a data set can feed, in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmrec_lite.data import MultimodalDataset
from mmrec_lite.data.sentences import SENTENCES, item_sentences

__all__ = ["STUDIES", "Study", "everything", "studies"]

Recipes = Mapping[str, Mapping[str, Any]]
SHORTEST, LONGEST = "recall@20 shortest", "recall@20 longest"  # the fifths of the users by length of history


@dataclass(frozen=True)
class Study:
    """One table or figure of a paper.

    `recipes` maps a label to {"method": name, settings...}; settings are hyper-parameters, arguments of ``run`` and the
    changes of the data that `run_study` knows ("masked", "words"). `claims` are pairs (better, worse) of labels that
    `says` puts into a sentence, `gains` claims that one difference is larger than another: (better, worse, column,
    other column) says that better gains more over worse in the one column of the rows than in the other; `declines`
    claims the same of relative losses: worse loses a larger share of what better has. `printed` maps labels to rows of
    the published table (of the data sets in it). `absent` says what a figure has that is not run
    here. `recommended` is the value of an axis that the paper settles on, where that is one of its labels. `lesson` is
    the notebook that draws it.
    """

    paper: str
    artefact: str
    title: str
    says: str
    recipes: Recipes
    claims: tuple[tuple[str, str], ...]
    lesson: str
    metric: str = "recall@20"
    printed: Mapping[str, str] = field(default_factory=dict)
    axis: str = ""  # of a sensitivity study: the hyper-parameter; the labels are its values
    grid: tuple[str, ...] = ()  # the values of that axis that the paper's text names
    gains: tuple[tuple[str, str, str, str], ...] = ()
    declines: tuple[tuple[str, str, str, str], ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)  # of labels whose value is not the column `metric`
    recommended: str = ""
    absent: str = ""

    @property
    def name(self) -> str:
        """The study's name: "MICRO Table 5"."""
        return f"{self.paper} {self.artefact}"


def _axis(method: str, name: str, values: Iterable[Any], **fixed: Any) -> dict[str, dict[str, Any]]:
    return {str(value): {"method": method, name: value, **fixed} for value in values}


def _variants(method: str, *variants: str, full: str = "", **fixed: Any) -> dict[str, dict[str, Any]]:
    rows = {variant: {"method": method, "variant": variant, **fixed} for variant in variants}
    return rows | {full or method.upper(): {"method": method, **fixed}}


def _beats_all(best: str, others: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((best, other) for other in others if other != best)


def _same(labels: Iterable[str]) -> dict[str, str]:
    return {label: label for label in labels}


# MICRO: full ranking on the ratio split -----------------------------------------------------------------------------


# MICRO's rows on another backbone than LightGCN, chosen on validation of the whole method there (tests/tuning.py).
ON_BACKBONE: dict[str, dict[str, float]] = {"mf": {"l2": 0.1}, "ngcf": {"l2": 1e-3}, "lightgcn": {}}


def _micro() -> list[Study]:
    compare = {
        "ItemKNN": {"method": "item_knn"},
        "MF": {"method": "mf"},
        "NGCF": {"method": "ngcf"},
        "LightGCN": {"method": "lightgcn"},
        "VBPR": {"method": "vbpr"},
        "MICRO": {"method": "micro"},
    }
    plugged, on_backbones, order = {}, [], {}
    for backbone, name in (("mf", "MF"), ("ngcf", "NGCF"), ("lightgcn", "LightGCN")):
        steps = {"CF": "cf", "CF+feats": "cf+feats", "MICRO/feats": "micro/feats"}
        steps |= {"MICRO w/o contrast": "w/o contrast", "MICRO": "full"}
        for label, variant in steps.items():
            recipe = {"method": "micro", "backbone": backbone, "variant": variant, **ON_BACKBONE[backbone]}
            plugged[f"{label} ({name})"] = recipe
            order[f"{label} ({name})"] = f"{label} ({name})"
        on_backbones += [(f"MICRO ({name})", f"{label} ({name})") for label in steps if label != "MICRO"]
        on_backbones += [(f"MICRO w/o contrast ({name})", f"CF+feats ({name})")]
    cold: Recipes = {
        label: recipe | {"protocol": "cold-items", "candidates": "held-out"}
        for label, recipe in (compare | {"MICRO w/o contrast": {"method": "micro", "variant": "w/o contrast"}}).items()
        if label in ("MF", "LightGCN", "VBPR", "MICRO w/o contrast", "MICRO")
    }
    modalities = {
        "Visual": {"method": "micro", "modalities": ("image",)},
        "Textual": {"method": "micro", "modalities": ("text",)},
        "Both": {"method": "micro"},
    }
    return [
        Study("MICRO", "Table 4", "methods", "MICRO beats every baseline.", compare,
              _beats_all("MICRO", compare), "07_comparison", printed=_same(compare)),
        Study("MICRO", "Table 5", "MICRO on three CF methods",
              "On each of MF, NGCF and LightGCN, MICRO beats the method alone and with features, and its own variants "
              "(but for MICRO/feats with MF on Baby); without contrast, too, it beats the method with features.",
              plugged, tuple(on_backbones), "08_ablations", printed=order),
        Study("MICRO", "Table 6", "modalities", "Two modalities beat one, and text beats pictures.", modalities,
              (("Both", "Visual"), ("Both", "Textual"), ("Textual", "Visual")), "10_modalities_and_cold_start",
              printed=_same(modalities)),
        Study("MICRO", "Fig. 3", "cold start",
              "Content helps on items that nobody took; so does the contrast. With it and without, MICRO is ahead.",
              cold, (*_beats_all("MICRO", cold), ("VBPR", "LightGCN"),
                     *_beats_all("MICRO w/o contrast", ("MF", "LightGCN", "VBPR"))),
              "10_modalities_and_cold_start", absent="GRCN"),
        Study("MICRO", "Fig. 4 k", "neighbours k", "A small k beats none (LightGCN), one and many.",
              {"0": {"method": "lightgcn"}} | _axis("micro", "k", (1, 5, 10, 50)),  # without item graphs: the backbone
              (("5", "0"), ("10", "0"), ("10", "1"), ("10", "50")), "09_sensitivity", axis="k", recommended="10"),
        Study("MICRO", "Fig. 4 λ", "share λ of the raw graph", "An inner λ beats the raw and the learned graph alone.",
              _axis("micro", "lam", (0.0, 0.3, 0.5, 0.7, 1.0)), (("0.7", "0.0"), ("0.7", "1.0")), "09_sensitivity",
              axis="lam", recommended="0.7"),
        Study("MICRO", "Fig. 5 β", "weight β of the contrast", "A little contrast beats none and much.",
              _axis("micro", "beta", (0.0, 0.03, 0.1, 1.0)), (("0.03", "0.0"), ("0.03", "1.0")),
              "09_sensitivity", axis="beta", recommended="0.03"),
        Study("MICRO", "Fig. 5 L", "layers L on the item graph", "One layer is much better than none.",
              _axis("micro", "layers", (0, 1, 2, 3)), (("1", "0"),), "09_sensitivity", axis="layers",
              grid=("0", "1", "2", "3", "4", "5"), recommended="1"),
        Study("MICRO", "4.1.4 τ", "temperature τ", "τ = 0.5 was the best of a grid (no figure).",
              _axis("micro", "temperature", (0.1, 0.5, 1.0)), (("0.5", "0.1"), ("0.5", "1.0")), "09_sensitivity",
              axis="temperature", recommended="0.5"),
    ]  # fmt: skip


# PAMD: one fold of five, a new deal a seed; a user's test items together with 1,000 sampled ones ----------------------


# Other models, with plain features or with PAMD's representations: what PAMD's own attention needs ruins them. Settings
# of BPR++ and LightGCN are chosen on validation (tests/tuning.py); the others, slow to rank with, take BPR++'s and stop
# early.
PLUGGED: dict[str, dict[str, float]] = {
    "bpr++": {"l2": 1e-3, "encoder_lr": 1e-3},
    "lightgcn++": {"l2": 1e-3, "encoder_lr": 0.0},
}
PLUGGED |= {base: PLUGGED["bpr++"] | {"epochs": 30, "patience": 6} for base in ("nfm++", "neumf++")}


def _pamd() -> list[Study]:
    fixed = {"protocol": "kfold", "candidates": 1000}
    named = {"bpr++": "BPR++", "nfm++": "NFM++", "neumf++": "NeuMF++"}
    plain = {named[b]: {"method": "pamd", "base": b, "variant": "features", **PLUGGED[b], **fixed} for b in named}
    compare = {"BPR": {"method": "pamd", "variant": "cf", **fixed}} | plain | {"PAMD": {"method": "pamd", **fixed}}
    enhanced = {f"{named[b]} with PAMD": {"method": "pamd", "base": b, **PLUGGED[b], **fixed} for b in named}
    shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    masked = {
        f"{label}, {share:.0%} hidden": recipe | {"masked": share}
        for share in shares
        for label, recipe in {"PAMD": compare["PAMD"], "BPR++": compare["BPR++"]}.items()
    }
    table = {"metric": "recall@10"}
    return [
        Study("PAMD", "Table 2", "methods", "Features help BPR, and PAMD beats all.", compare,
              (("BPR++", "BPR"), *_beats_all("PAMD", compare)), "07_comparison", printed=_same(compare), **table),
        Study("PAMD", "Table 3", "common and specific", "Both together are best; specific alone beats common alone.",
              _variants("pamd", "w/o specific", "w/o common", **fixed),
              (("PAMD", "w/o specific"), ("PAMD", "w/o common"), ("w/o common", "w/o specific")), "08_ablations",
              printed=_same(("w/o specific", "w/o common", "PAMD")), **table),
        Study("PAMD", "Table 4", "with and without the order loss", "The contrast of three gaps beats PAMD-CON.",
              {"PAMD-CON": {"method": "pamd", "variant": "pamd-con", **fixed}, "PAMD": compare["PAMD"]},
              (("PAMD", "PAMD-CON"),), "08_ablations", printed=_same(("PAMD-CON", "PAMD")), **table),
        Study("PAMD", "Table 5", "one loss alone", "Both losses together are best; L_de alone beats L_en alone.",
              _variants("pamd", "en only", "de only", **fixed),
              (("PAMD", "en only"), ("PAMD", "de only"), ("de only", "en only")), "08_ablations",
              printed=_same(("en only", "de only", "PAMD")), **table),
        Study("PAMD", "Fig. 3a", "epochs of pre-training", "Pre-training helps, most of it early.",
              _axis("pamd", "pretrain_epochs", (0, 5, 20, 60), **fixed), (("20", "0"),), "09_sensitivity",
              axis="pretrain_epochs", metric="ndcg@10"),
        Study("PAMD", "Fig. 3b", "hidden modality data", "More content is better; without any, BPR++ is ahead of PAMD.",
              masked, (("PAMD, 0% hidden", "PAMD, 100% hidden"), ("BPR++, 0% hidden", "BPR++, 100% hidden"),
                       ("BPR++, 100% hidden", "PAMD, 100% hidden")),
              "10_modalities_and_cold_start", metric="ndcg@10", absent="other rivals than BPR++"),
        Study("PAMD", "Fig. 3c", "plugged into other models", "PAMD's representations help each model.",
              plain | enhanced, tuple((f"{name} with PAMD", name) for name in plain), "08_ablations", metric="ndcg@10",
              absent="MMGCN"),
        Study("PAMD", "Table 6", "which representation is attended most",
              "Specific parts get the most attention a little more often (52–54 % of the pairs) than common ones.",
              {kind: {"method": "pamd", "query": "user", **fixed} for kind in ("common", "specific")},  # one run
              (("specific", "common"),), "08_ablations", metric="pairs %", printed=_same(("common", "specific")),
              columns={"common": "attention common", "specific": "attention specific"}),
    ]  # fmt: skip


# MCPTR: full ranking; a fifth of each user's interactions is test, a tenth of the others validation -------------------


def _mcptr() -> list[Study]:
    fixed = {"protocol": "ratio", "split_options": {"ratios": (0.72, 0.08, 0.2)}}
    starts = _variants("mcptr", "Random", "CLIP", **fixed)
    parts = {"R": "reviews", "T": "text", "V": "image", "G": "graph"}
    modalities = {letter: {"method": "mcptr", "modalities": (name,), **fixed} for letter, name in parts.items()}
    return [
        Study("MCPTR", "Table 2", "starts", "Pre-training beats a random start and CLIP's vectors.", starts,
              (("MCPTR", "Random"), ("MCPTR", "CLIP"), ("CLIP", "Random")), "07_comparison", printed=_same(starts)),
        Study("MCPTR", "Table 3", "losses",
              "Each loss helps, the interactions' (BCE) more; a short list loses a larger share without one.",
              _variants("mcptr", "w/o CIMA", "w/o BCE", **fixed),
              (("MCPTR", "w/o CIMA"), ("MCPTR", "w/o BCE"), ("w/o CIMA", "w/o BCE")), "08_ablations",
              printed=_same(("w/o CIMA", "w/o BCE")),
              declines=tuple(("MCPTR", v, "recall@20", "recall@60") for v in ("w/o CIMA", "w/o BCE"))),
        Study("MCPTR", "Fig. 3", "modalities",
              "All together beat each alone; the graph is the best alone; of products text beats pictures.",
              modalities | {"all": {"method": "mcptr", **fixed}},
              (*_beats_all("all", modalities), *_beats_all("G", modalities), ("T", "V")),
              "10_modalities_and_cold_start"),
        Study("MCPTR", "Fig. 4", "share λ of CIMA", "An inner λ beats either loss alone.",
              _axis("mcptr", "lam", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), **fixed), (("0.4", "0.0"), ("0.4", "1.0")),
              "09_sensitivity", axis="lam", grid=("0", "0.2", "0.4", "0.6", "0.8", "1"), recommended="0.2"),
    ]  # fmt: skip


# MP4SR: next item, full ranking ---------------------------------------------------------------------------------------


def _mp4sr() -> list[Study]:
    fixed = {"protocol": "leave-one-out"}
    compare = {
        "LightGCN": {"method": "lightgcn", **fixed},
        "SASRec": {"method": "sasrec", **fixed},
        "MP4SR": {"method": "mp4sr", **fixed},
    }
    variants = ("ResNet-style", "w/o NIP", "w/o CMCL", "w/o C-Mixup", "w/o pre-train", "w/o Proj", "E2E", "Shared")
    shown = {"ResNet-style": "ResNet", "w/o pre-train": "w/o Pre-train", "MP4SR": "MP4SR"}
    printed = {v: shown.get(v, v) for v in (*variants, "MP4SR")}
    cold = {
        "w/o pre-train": {"method": "mp4sr", "variant": "w/o pre-train", "ids": False, **fixed},
        "MP4SR": {"method": "mp4sr", "ids": False, "warm": 10, **fixed},
    }
    larger = {  # half of the shop's categories; pre-trained on its own users, or on both halves side by side
        "MP4SR": {"method": "mp4sr", "corpus": "own", **fixed},
        "MP4SR Larger": {"method": "mp4sr", "corpus": "both", **fixed},
    }
    one = {f"MP4SR{v}": {"method": "mp4sr", "variant": v, **fixed} for v in ("-V", "-T")}  # -V reads pictures alone
    return [
        Study("MP4SR", "Table 2", "methods", "Sequences beat graphs of pairs, and MP4SR beats all.", compare,
              (("MP4SR", "LightGCN"), ("MP4SR", "SASRec"), ("SASRec", "LightGCN")), "07_comparison",
              printed=_same(compare)),
        Study("MP4SR", "Table 3", "cold items, no IDs", "Pre-training helps items seen fewer than ten times.", cold,
              (("MP4SR", "w/o pre-train"),), "10_modalities_and_cold_start", metric="recall@20 rare",
              printed={"w/o pre-train": "w/o Pre-train", "MP4SR": "MP4SR"}),
        Study("MP4SR", "Table 4", "components", "Every component helps.", _variants("mp4sr", *variants, **fixed),
              _beats_all("MP4SR", variants), "08_ablations", printed=printed),
        Study("MP4SR", "Table 5", "larger pre-training data",
              "More pre-training data help the small set (and not the largest).", larger,
              (("MP4SR Larger", "MP4SR"),), "08_ablations", printed={"MP4SR": "MP4SR", "MP4SR Larger": "Larger"}),
        Study("MP4SR", "Table 6", "modalities", "Text beats pictures, both together beat one.",
              one | {"MP4SR": {"method": "mp4sr", **fixed}},
              (("MP4SR", "MP4SR-V"), ("MP4SR", "MP4SR-T"), ("MP4SR-T", "MP4SR-V")), "10_modalities_and_cold_start",
              printed=_same(("MP4SR-V", "MP4SR-T", "MP4SR"))),
        Study("MP4SR", "Fig. 4", "weight λ of the cross-modal loss", "A small λ is best.",
              _axis("mp4sr", "lam", (0.0, 0.001, 0.01, 0.1, 1.0), **fixed), _beats_all("0.01", ("0.001", "0.1", "1.0")),
              "09_sensitivity", axis="lam", grid=("0.001", "0.01", "0.1", "1"), recommended="0.01"),
        Study("MP4SR", "Fig. 5", "words N a picture", "Fifteen words are best: fewer tell too little, more add noise.",
              {str(n): {"method": "mp4sr", "words": n, **fixed} for n in (2, 5, 10, 15)},
              _beats_all("15", ("2", "5", "10")), "09_sensitivity", axis="words",
              grid=("5", "10", "15", "30", "50"), recommended="15"),
        Study("MP4SR", "Fig. 6", "experts O", "More experts help, up to eight; sixteen do not.",
              _axis("mp4sr", "experts", (1, 2, 4, 8, 16), **fixed), (("8", "1"), ("8", "16")), "09_sensitivity",
              axis="experts", grid=("1", "2", "4", "8", "16"), recommended="8"),
        Study("MP4SR", "Fig. 7", "dropped share ρ", "The share hardly matters.",
              _axis("mp4sr", "rho", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), **fixed), (), "09_sensitivity", axis="rho",
              grid=("0", "0.1", "0.2", "0.3", "0.4", "0.5"), recommended="0.2"),
        Study("MP4SR", "Fig. 8", "users by length",
              "MP4SR is ahead of GRCN and S3-Rec (here of LightGCN), and gains most where histories are short.",
              {label: compare[label] for label in ("LightGCN", "MP4SR")}, (("MP4SR", "LightGCN"),),
              "10_modalities_and_cold_start", metric="recall@20 short",
              gains=(("MP4SR", "LightGCN", SHORTEST, LONGEST),), absent="GRCN, S3-Rec"),
    ]  # fmt: skip


STUDIES: dict[str, Study] = {s.name: s for s in (*_micro(), *_pamd(), *_mcptr(), *_mp4sr())}


def studies(method: str | None = None, lesson: str | None = None) -> list[Study]:
    """Return the studies of a method ("micro", "pamd", "mcptr", "mp4sr") and of a lesson, in the papers' order.

    Raises ``ValueError`` if there is none.
    """
    found = [
        s
        for s in STUDIES.values()
        if (method is None or s.paper.lower() == method) and (lesson is None or s.lesson.startswith(lesson))
    ]
    if not found:
        papers = sorted({s.paper.lower() for s in STUDIES.values()})
        raise ValueError(f"no study for method {method!r} and lesson {lesson!r}; the methods are {', '.join(papers)}.")
    return found


# All methods in one table ---------------------------------------------------------------------------------------------


NAMES = {"popularity": "Popularity", "item_knn": "ItemKNN", "mf": "MF", "ngcf": "NGCF", "lightgcn": "LightGCN",
         "mixgcf": "MixGCF", "vbpr": "VBPR", "sasrec": "SASRec", "micro": "MICRO", "pamd": "PAMD", "mcptr": "MCPTR",
         "mp4sr": "MP4SR"}  # fmt: skip
FEATURES = {"vbpr": 1, "micro": 1, "pamd": 2}  # that a method needs at least


def everything(data: MultimodalDataset, protocol: str = "ratio") -> Study:
    """Return one study of the four methods and all baselines that can run on a data set under one protocol.

    A method that the data set lacks something for is left out, and `says` tells which and why. There is no paper to
    compare with: `printed` and `claims` are empty. With "cold-items" the held-out items are ranked among themselves.
    """
    fixed = {"protocol": protocol or "ratio"}
    if protocol == "cold-items":
        fixed["candidates"] = "held-out"
    why = {name: _lacking(name, data) for name in NAMES}
    recipes = {label: {"method": name, **fixed} for name, label in NAMES.items() if not why[name]}
    out = [f"{NAMES[name]} ({reason})" for name, reason in why.items() if reason]
    says = f"{len(recipes)} methods. " + (f"Left out: {', '.join(out)}." if out else "None is left out.")
    return Study("All", "methods", f"on {data.name}, {fixed['protocol']}", says, recipes, (), "07_comparison")


def _lacking(method: str, data: MultimodalDataset) -> str:
    """What a data set lacks for a method, in a few words; empty if nothing."""
    least = FEATURES.get(method, 0)
    if len(data.modalities) < least:
        has = ", ".join(data.modalities)
        return f"needs {least} features, has {has}" if has else "needs features"
    if method in ("sasrec", "mp4sr") and "timestamp" not in data.interactions:
        return "needs time stamps"
    if method == "mp4sr":
        for modality in SENTENCES:
            try:
                item_sentences(data, modality)
            except ValueError:
                return "needs sentences" if modality == "text" else "needs words of pictures"
    return ""
