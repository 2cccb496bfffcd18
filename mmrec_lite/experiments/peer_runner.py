"""Train a method of RecBole or cornac on an export, in the peers' own interpreter: python -I peer_runner.py JOB.json

It imports nothing of mmrec_lite and only what it is asked for. It writes `valid.npy` and `test.npy`, each user's best
items (row numbers, -1 where there are fewer), and `done.json` beside the job. Ids in the export are row numbers.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

PARTS = ("train", "valid", "test")
clock = time.perf_counter  # or the processor's time, where a job says so
LONGEST = 50  # items of a history that SASRec reads


def read_parts(job: dict) -> dict[str, np.ndarray]:
    """Each part's rows (user, item), in time order where the export has times."""
    parts = {}
    for part in PARTS:
        with open(Path(job["folder"]) / f"{job['name']}.{part}.inter", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        pairs = np.array([(int(row["user_id:token"]), int(row["item_id:token"])) for row in rows]).reshape(-1, 2)
        times = [float(row.get("timestamp:float") or 0) for row in rows]
        parts[part] = pairs[np.argsort(times, kind="stable")]
    return parts


def histories(parts: dict[str, np.ndarray], names: list[str]) -> dict[int, list[int]]:
    """Each user's items of some parts, the oldest first."""
    out: dict[int, list[int]] = {}
    for name in names:
        for user, item in parts[name].tolist():
            out.setdefault(user, []).append(item)
    return out


def write_rankings(job: dict, parts: dict[str, np.ndarray], score) -> None:
    """Rank all items but those of training for the users of validation and test.

    `score(users, part)` gives (B, I) scores, -inf where the program knows no such item.
    """
    seen = histories(parts, ["train"])
    for part in ("valid", "test"):
        users = np.unique(parts[part][:, 0])
        k = min(job["k"], job["n_items"])
        top = np.full((len(users), k), -1, dtype=np.int32)
        for start in range(0, len(users), 256):
            block = users[start : start + 256]
            scores = np.array(score(block, part), dtype=np.float32)
            for row, user in enumerate(block.tolist()):
                scores[row, seen.get(user, [])] = -np.inf
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            there = np.take_along_axis(scores, best, axis=1) > -np.inf
            top[start : start + len(block)] = np.where(there, best, -1)
        np.save(Path(job["out"]) / f"{part}.npy", top, allow_pickle=False)


class Some:
    """A loader's first batches, so that the time of a long epoch can be told from a few."""

    def __init__(self, loader, batches: int):
        self.loader, self.batches, self.seconds = loader, batches, []

    def __getattr__(self, name: str):
        return getattr(self.loader, name)

    def __iter__(self):
        started = clock()
        for number, batch in enumerate(self.loader):
            if number > self.batches:
                return
            yield batch
            now = clock()
            if number:  # the first one also pays for shuffling
                self.seconds.append(now - started)
            started = now


# RecBole ------------------------------------------------------------------------------------------------------------


def sequence_files(job: dict, parts: dict[str, np.ndarray]) -> None:
    """Rewrite the three files as RecBole wants sequences: one line a case, the history in `item_id_list`."""
    known: dict[int, list[int]] = {}
    for part in PARTS:
        lines = ["user_id:token\titem_id:token\titem_id_list:token_seq"]
        for user, item in parts[part].tolist():
            past = known.setdefault(user, [])
            if past:
                lines.append(f"{user}\t{item}\t{' '.join(map(str, past[-LONGEST:]))}")
            past.append(item)
        path = Path(job["folder"]) / f"{job['name']}.{part}.inter"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def recbole_config(job: dict, sequential: bool):
    """What RecBole is told: the split as it is, full ranking, our settings."""
    from recbole.config import Config

    columns = ["user_id", "item_id", *(["item_id_list"] if sequential else [])]
    settings = {
        "data_path": str(Path(job["folder"]).parent),
        "benchmark_filename": list(PARTS),
        "load_col": {"inter": columns, "item": ["item_id"]},
        "seed": job["seed"],
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "epochs": job["epochs"],
        "stopping_step": job["patience"],
        "topk": [20],
        "metrics": ["Recall", "NDCG"],
        "valid_metric": "Recall@20",
        "eval_batch_size": 4096 if not sequential else 512,
        "eval_args": {"order": "TO" if sequential else "RO", "group_by": "user", "mode": "full"},
        "checkpoint_dir": job["out"],
    }
    if sequential:
        settings |= {"alias_of_item_id": ["item_id_list"], "MAX_ITEM_LIST_LENGTH": LONGEST}
        settings |= {"train_neg_sample_args": None}  # its loss is over all items
    return Config(model=job["model"], dataset=Path(job["folder"]).name, config_dict=settings | job["settings"])


def recbole(job: dict, parts: dict[str, np.ndarray]) -> dict:
    """Train by RecBole's own trainer, keep the best state by its own validation."""
    from recbole.data import create_dataset, data_preparation
    from recbole.data.interaction import Interaction
    from recbole.utils import get_model, get_trainer, init_seed

    torch = set_up_torch(job)
    sequential = job["model"] in ("SASRec",)
    if sequential:
        sequence_files(job, parts)
    config = recbole_config(job, sequential)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    started = clock()
    model = get_model(config["model"])(config, train._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    created = clock() - started
    done = {"create": created, "epoch seconds": [], "parameters": sum(p.numel() for p in model.parameters())}
    if job["batches"]:
        some = Some(train, job["batches"])
        trainer._train_epoch(some, 0, show_progress=False)
        return done | {"epoch seconds": [float(np.mean(some.seconds)) * len(train)]}
    best = train_recbole(trainer, train, valid, done)
    if config["MODEL_TYPE"].name == "TRADITIONAL":  # its constructor does the work
        done["epoch seconds"] = [created]
    if job["only"] == "epoch":
        return done
    if job["only"] == "evaluation":
        trainer.eval_collector.data_collect(train)
        done["evaluation seconds"] = timed(lambda: trainer.evaluate(test, load_best_model=False))
        return done
    model.load_state_dict(best)
    model.eval()
    for name in ("restore_user_e", "restore_item_e"):
        if hasattr(model, name):
            setattr(model, name, None)
    user_of, item_of = (dataset.field2token_id[name] for name in ("user_id", "item_id"))
    columns = torch.tensor([item_of[str(item)] for item in range(job["n_items"])])
    past = {part: histories(parts, job["history"][part]) for part in ("valid", "test")}

    @torch.no_grad()
    def score(users, part):
        batch = {"user_id": torch.tensor([user_of.get(str(user), 0) for user in users.tolist()])}
        if sequential:
            lists = [past[part].get(user, [])[-LONGEST:] for user in users.tolist()]
            rows = [[item_of[str(item)] for item in items] + [0] * (LONGEST - len(items)) for items in lists]
            batch |= {"item_id_list": torch.tensor(rows), "item_length": torch.tensor([max(1, len(x)) for x in lists])}
        scores = torch.as_tensor(model.full_sort_predict(Interaction(batch))).view(len(users), -1)
        return scores[:, columns].numpy()

    write_rankings(job, parts, score)
    return done


def train_recbole(trainer, train, valid, done: dict) -> dict:
    """Fit; note each epoch's seconds without its validation; return the state of the best epoch."""
    model, one_epoch, best = trainer.model, trainer._train_epoch, {}

    def timed_epoch(*args, **kwargs):
        started = clock()
        loss = one_epoch(*args, **kwargs)
        done["epoch seconds"].append(clock() - started)
        return loss

    def keep(epoch: int, score: float) -> None:
        if not best or score > best["score"]:
            state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            best.update(score=score, epoch=epoch + 1, state=state)

    trainer._train_epoch = timed_epoch
    trainer.fit(train, valid, saved=False, show_progress=False, verbose=False, callback_fn=keep)
    done |= {"best epoch": best.get("epoch", 0), "best valid": float(best.get("score", np.nan))}
    return best.get("state", model.state_dict())


# cornac -------------------------------------------------------------------------------------------------------------


def cornac(job: dict, parts: dict[str, np.ndarray]) -> dict:
    """Train by cornac's own loop, all epochs: it has no early stopping for these methods."""
    import cornac
    from cornac.data import Dataset, ImageModality

    set_up_torch(job)
    ids = {part: [(str(u), str(i), 1.0) for u, i in parts[part].tolist()] for part in PARTS}
    train = Dataset.build(ids["train"], seed=job["seed"])
    settings = job["settings"] | {"seed": job["seed"], "verbose": False}
    length = {"VBPR": "n_epochs"}.get(job["model"], "max_iter")
    if job["model"] == "VBPR":
        modality = ImageModality(features=features(job), ids=[str(item) for item in range(job["n_items"])])
        modality.build(id_map=train.iid_map)
        train.add_modalities(item_image=modality)
    make = getattr(cornac.models, job["model"])
    one = make(**settings, **{length: 1})
    once = (
        [timed(lambda: one.fit(train)) for _ in range(2)][-1] if job["only"] == "epoch" else 0.0
    )  # the first warms up
    model = make(**settings, **{length: job["epochs"]})
    seconds = timed(lambda: model.fit(train))
    epochs = job["epochs"]
    each = (seconds - once) / (epochs - 1) if once and epochs > 1 else seconds / epochs  # once: tensors are made, too
    done = {"epoch seconds": [each] * epochs}
    if job["only"] == "epoch":
        return done
    if job["only"] == "evaluation":
        held = Dataset.build(ids["test"], global_uid_map=train.uid_map.copy(), global_iid_map=train.iid_map.copy())
        metrics = [cornac.metrics.Recall(20), cornac.metrics.NDCG(20)]
        done["evaluation seconds"] = timed(
            lambda: cornac.eval_methods.base_method.ranking_eval(model, metrics, train, held, exclude_unknowns=True)
        )
        return done
    columns = np.array([int(item) for item in train.iid_map])

    def score(users, part):
        out = np.full((len(users), job["n_items"]), -np.inf, dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            if str(user) in train.uid_map:
                out[row, columns] = model.score(train.uid_map[str(user)])[: len(columns)]
        return out

    write_rankings(job, parts, score)
    return done


def features(job: dict) -> np.ndarray:
    """The modalities side by side, each column to mean 0 and variance 1, divided by the root of the width."""
    blocks = []
    for name in job["modalities"]:
        x = np.load(Path(job["folder"]) / f"{name}_feat.npy", allow_pickle=False).astype(np.float32)
        there = x.any(axis=1)
        scaled = (x - x[there].mean(0)) / (x[there].std(0) + 1e-6) / x.shape[1] ** 0.5
        blocks.append(scaled * there[:, None])
    return np.concatenate(blocks, axis=1)


# ---------------------------------------------------------------------------------------------------------------------


def set_up_torch(job: dict):
    """Import torch with the number of threads that the job asks for."""
    import torch

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    return torch


def timed(work) -> float:
    """Seconds of a piece of work."""
    started = clock()
    work()
    return clock() - started


def peak_memory(status: str = "/proc/self/status") -> float:
    """Return the most memory this process held so far, in MiB (NaN where the system does not tell).

    As `runs.peak_memory`, which cannot be imported here.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        # Linux. getrusage would also count the process that started this one, as it was at that moment.
        lines = Path(status).read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**10
    try:
        import resource  # not on Windows
    except ImportError:
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main(path: str) -> None:
    """Read the job, do it, write what came out."""
    global clock
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if job.get("clock") == "cpu":
        clock = time.process_time
    parts = read_parts(job)
    started = clock()
    done = {"recbole": recbole, "cornac": cornac}[job["library"]](job, parts)
    done["seconds"] = clock() - started
    done |= {"MiB": peak_memory(), "version": version(job["library"]), "version torch": version("torch")}
    (Path(job["out"]) / "done.json").write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
