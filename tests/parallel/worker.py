"""Train every case in one of several processes, for test_processes.py: fabric run ... worker.py FOLDER."""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path


def main(folder: Path) -> None:
    """Leave each case's final weights and history, one file a process."""
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # a script's own folder otherwise
    import torch
    from safetensors.torch import save_file

    from mmrec_lite import training
    from tests.parallel.worlds import CASES, train

    write = training.write_tensors

    def slow_disk(*what: object) -> None:  # a process that does not wait for it resumes from an older state, or none
        time.sleep(0.5)
        write(*what)

    training.write_tensors = slow_disk
    torch.set_num_threads(1)
    rank = os.environ["RANK"]
    for case in CASES:
        if case == "resumed":
            train(case, epochs=1, checkpoint=folder / "kept")
        model, history = train(case, checkpoint=folder / "kept" if case == "resumed" else None)
        name = f"{case} {rank}"
        save_file(
            {key: value.contiguous() for key, value in model.state_dict().items()}, folder / f"{name}.safetensors"
        )
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in history.rows]
        (folder / f"{name}.json").write_text(json.dumps([rows, history.best, history.stopped]))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        raise
