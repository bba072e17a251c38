"""NumPy's own files: one array a file, nothing around it.

Knows: numpy. Must not know: other engines.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from bench.engines._engine import ARRAYS, VIEWS, Engine, Handle, Loss

__all__ = ["ENGINES"]


def _open(directory: str) -> Handle:
    def path(key: str) -> str:
        return os.path.join(directory, f"{key}.npy")

    def put(key: str, array: Any) -> None:
        np.save(path(key), array)

    def get(key: str) -> Any:
        return np.load(path(key))

    view = partial(np.load, mmap_mode="r")
    return Handle(close=lambda: None, get=get, put=put, view=lambda key: view(path(key)))


ENGINES = (
    Engine(
        name="numpy-files",
        distributions=("numpy",),
        settings="`numpy.save(path, array)` over the file that is there, without a flush; "
        '`numpy.load(path)` into a fresh array; `numpy.load(path, mmap_mode="r")`.',
        killed="the old and the new array, if it is being written",
        power_cut="may lose everything",
        loss=Loss.EVERYTHING,
        faster_because="it writes over the one file, and neither computes nor compares digests: "
        "there is a moment without a whole array, and altered bytes are not noticed",
        open=_open,
        offers=frozenset({ARRAYS, VIEWS}),
    ),
)
