"""`mm.methods` is a package and answers when it is called."""

from __future__ import annotations

import pickle

import mmrec_lite as mm
import mmrec_lite.methods.micro as micro
from mmrec_lite import methods


def test_it_is_both():
    assert mm.methods() == methods.methods() and mm.methods()["micro"] == micro.MICRO.summary
    assert mm.methods.micro is micro and mm.methods.create is mm.create
    assert pickle.loads(pickle.dumps(mm.methods)) is methods
