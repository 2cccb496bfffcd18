"""How long an idle thread spins; imported before anything that loads PyTorch, for libgomp reads it only then.

A thread that waits for its next piece of work spins, by default for some milliseconds. Alone that costs nothing; but
two notebooks that train at once, each with as many threads as there are cores, take each other's cores for it (measured
in notebooks/SCALING.md). A hundredth of the spinning loses no speed alone and gives the core away soon.

And `ALONE`: PyTorch's random numbers and its deterministic mode belong to the process. Whoever sets them for a while
holds this lock, so that two trainings in two threads take turns and neither mixes up the other's.
"""

from __future__ import annotations

import os
import threading

SPIN = "3000"  # rounds; libgomp's own choice is 300,000

if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = SPIN

ALONE = threading.RLock()
