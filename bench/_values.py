"""Arguments whose hash is timed, and for each another value that is nearly the same.

Knows: numpy and pandas, where they are installed. Must not know: who hashes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench._inputs import SEED, tree

__all__ = ["KINDS", "Kind"]

_ARRAY_ITEMS: Final = 12_500_000
_ROWS: Final = 100_000
_COLUMNS: Final = 1000
_CITIES: Final = ("Aachen", "Berlin", "Celle", "Dresden", "Emden", "Fulda", "Gotha", "Halle")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of argument.

    Attributes:
        name: of the workload.
        title: for the page.
        words: what it is.
        operations: how many are timed in a slice.
        make: returns the value, built anew at each call.
        change: returns a value that differs a little from what it is given.
    """

    name: str
    title: str
    words: str
    operations: int
    make: Callable[[], Any]
    change: Callable[[Any], Any]


def _array() -> Any:
    import numpy as np

    return np.random.default_rng(SEED).standard_normal(_ARRAY_ITEMS)


def _changed_array(array: Any) -> Any:
    changed = array.copy()
    changed[len(changed) // 2] += 1.0
    return changed


def _frame() -> Any:
    import numpy as np
    import pandas as pd

    source = np.random.default_rng(SEED)
    words = [f"customer {number:06d}" for number in range(_ROWS)]
    return pd.DataFrame(
        {
            "price": source.standard_normal(_ROWS),
            "weight": source.standard_normal(_ROWS),
            "count": source.integers(0, 1 << 40, _ROWS),
            "city": pd.Categorical.from_codes(
                source.integers(0, len(_CITIES), _ROWS), categories=list(_CITIES)
            ),
            "name": pd.Series([words[at] for at in source.permutation(_ROWS)]),
        }
    )


def _wide_frame() -> Any:
    import numpy as np
    import pandas as pd

    numbers = np.random.default_rng(SEED).standard_normal((100, _COLUMNS))
    return pd.DataFrame(numbers, columns=[f"column {number}" for number in range(_COLUMNS)])


def _changed_frame(frame: Any) -> Any:
    changed = frame.copy()
    changed.iloc[len(frame) // 2, 0] += 1.0
    return changed


def _ints() -> list[int]:
    source = random.Random(SEED)
    return [source.randrange(1 << 40) for _ in range(1000)]


def _floats() -> list[float]:
    source = random.Random(SEED)
    return [source.gauss(0.0, 1000.0) for _ in range(1000)]


def _changed_list(numbers: list[Any]) -> list[Any]:
    return [*numbers[:-1], numbers[-1] + 1]


def _pair() -> tuple[int, str]:
    return (1, "abc")


def _tree() -> dict[str, Any]:
    return tree(random.Random(SEED))


def _changed_tree(nested: dict[str, Any]) -> dict[str, Any]:
    return {**nested, "group9": {**nested["group9"], "numbers": []}}


KINDS: Final = (
    Kind(
        "key_array",
        "key of an array of 100 MB",
        "a numpy array of 12,500,000 float64, 100 MB",
        1,
        _array,
        _changed_array,
    ),
    Kind("key_ints", "key of 1,000 ints", "a list of 1,000 ints", 50, _ints, _changed_list),
    Kind(
        "key_frame",
        "key of a frame of 100,000 rows",
        "a pandas frame of 100,000 rows and 5 columns: two of float64, one of int64, one "
        "categorical, one of str",
        3,
        _frame,
        _changed_frame,
    ),
    Kind(
        "key_pair",
        "key of a pair",
        'the tuple `(1, "abc")`',
        300,
        _pair,
        lambda pair: (*pair[:1], "abd"),
    ),
    Kind(
        "key_tree",
        "key of a nested dict",
        "a dict of 10 groups with 200 leaves in dicts and lists: str, int, float",
        50,
        _tree,
        _changed_tree,
    ),
    Kind("key_floats", "key of 1,000 floats", "a list of 1,000 floats", 50, _floats, _changed_list),
    Kind(
        "key_wide",
        "key of a frame of 1,000 columns",
        "a pandas frame of 100 rows and 1,000 columns of float64, which lie in one block",
        5,
        _wide_frame,
        _changed_frame,
    ),
)
