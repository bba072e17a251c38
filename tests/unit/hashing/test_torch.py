"""Tensors are keyed by data type, shape and content, whatever lies in memory."""

from __future__ import annotations

import collections
import re
import tracemalloc

import pytest

from objcache.errors import UnkeyableArgumentError
from objcache.hashing import differences, digest, outline
from tests.unit.hashing.corpus import evaluate

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
pytestmark = pytest.mark.filterwarnings("ignore:ComplexHalf support")


class Tagged(torch.Tensor):
    """A tensor of a class of one's own."""


def tagged(unit):
    """Return a tensor with an attribute."""
    made = torch.arange(3).as_subclass(Tagged)
    made.unit = unit
    return made


def bits(number, kind, like):
    """Return a tensor of one number of these bits."""
    return torch.tensor([number], dtype=kind).view(like)


def linear(seed):
    """Return a layer with weights of that seed."""
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 1)


def learnt():
    """Return a tensor that has a gradient."""
    made = torch.tensor([1.0, 7.0], requires_grad=True)
    made.sum().backward()
    return made


NAMES = {name: member for name, member in globals().items() if not name.startswith("_")}

PAIRS = [
    "torch.arange(6) =/= torch.arange(6, dtype=torch.int32)",
    "torch.arange(6) =/= torch.arange(6).reshape(2, 3)",
    "torch.arange(6) =/= np.arange(6)",
    "torch.arange(6) === torch.arange(7)[:6]",
    "torch.arange(6).reshape(2, 3).T === torch.arange(6).reshape(2, 3).T.contiguous()",
    "torch.arange(9).reshape(3, 3) =/= torch.arange(9).reshape(3, 3).T",
    "torch.arange(10)[::2] === torch.arange(0, 10, 2)",
    "torch.ones(1).expand(3, 2) === torch.ones(3, 2)",
    "torch.zeros(0, 3) =/= torch.zeros(3, 0)",
    "torch.tensor(1.5) =/= torch.tensor([1.5])",
    "torch.tensor([0.0]) =/= torch.tensor([-0.0])",
    "torch.tensor([float('nan')]) === -torch.tensor([float('nan')])",
    "torch.tensor([1.5], dtype=torch.bfloat16) =/= torch.tensor([1.5], dtype=torch.float16)",
    "bits(0x7fc0, torch.int16, torch.bfloat16) === bits(0x7f81, torch.int16, torch.bfloat16)",
    "bits(0x7f80, torch.int16, torch.bfloat16) =/= bits(0x7f7f, torch.int16, torch.bfloat16)",
    "torch.ones(1).to(torch.float8_e4m3fn) =/= torch.ones(1).to(torch.float8_e5m2)",
    "torch.tensor([1 + 2j]).conj() === torch.tensor([1 - 2j])",
    "torch.tensor([1 + 2j]).conj() =/= torch.tensor([1 + 2j])",
    "torch.tensor([1 + 2j]).imag =/= torch.tensor([1 + 2j]).conj().imag",
    "torch.tensor([1 + 4j], dtype=torch.complex32) =/= torch.tensor([1 + 4j])",
    "torch.tensor([True]) =/= torch.tensor([1], dtype=torch.uint8)",
    "torch.tensor([1.0, 7.0]) =/= torch.tensor([1.0, 7.0], requires_grad=True)",
    "learnt() === torch.tensor([1.0, 7.0], requires_grad=True)",
    "torch.nn.Parameter(torch.tensor([1.0, 7.0])) =/= torch.tensor([1.0, 7.0], requires_grad=True)",
    "tagged('m') =/= tagged('s')",
    "tagged('m') =/= torch.arange(3)",
    "linear(1) =/= linear(2)",
    "linear(1) =/= linear(1).eval()",
    "linear(1).state_dict() =/= linear(2).state_dict()",
    "torch.float32 =/= torch.float64",
    "torch.strided =/= torch.sparse_coo",
    "torch.device('cpu') =/= torch.device('cuda', 1)",
    "torch.Size([1, 2]) =/= (1, 2)",
    "torch.Generator().manual_seed(1) =/= torch.Generator().manual_seed(2)",
]  # fmt: skip


def sides(pair):
    """Return the expressions of *pair*, and whether they are the same."""
    left, sign, right = re.split(" (===|=/=) ", pair)
    return left, right, sign == "==="


@pytest.mark.parametrize("pair", PAIRS)
def test_pairs(pair):
    """What is the same has one digest; what is not has two."""
    left, right, same = sides(pair)

    assert same == (digest(evaluate(left, NAMES)) == digest(evaluate(right, NAMES)))


def test_no_two_values_collide():
    """Expressions that no `===` connects have different digests, and each has one."""
    pairs = [sides(pair) for pair in PAIRS]
    owners = collections.defaultdict(list)
    for expression in dict.fromkeys(side for pair in pairs for side in pair[:2]):
        found = digest(evaluate(expression, NAMES))
        owners[found].append(expression)

        assert found == digest(evaluate(expression, NAMES))
    links = [left for left, _, same in pairs if same]
    collisions = [
        found for found in owners.values() if len(found) > 1 + sum(left in found for left in links)
    ]

    assert [] == collisions


@pytest.mark.parametrize(
    "expression",
    [
        "torch.ones(2, 2).to_sparse()",
        "torch.ones(2, device='meta')",
        "torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)",
        "torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])",
        "torch.ones(2).untyped_storage()",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_other_tensors_are_refused(expression):
    """Tensors that are not dense, or not in the memory of the processor, are refused."""
    with pytest.raises(UnkeyableArgumentError):
        digest(evaluate(expression, NAMES))


def test_large_tensors_are_not_copied():
    """The content of a contiguous tensor of 100 MB is hashed where it lies."""
    value = torch.zeros(12_500_000, dtype=torch.float64)
    tracemalloc.start()
    try:
        digest(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 8 << 20


def test_differences_are_named():
    """What differs between two tensors is said in terms of tensors."""
    before, now = outline(torch.zeros(2, 3)), outline(torch.zeros(2, 3, dtype=torch.float64))

    assert "x.dtype: float32 -> float64" in differences(before, now, "x")
