"""Tensors of PyTorch as plain parts.

Knows: what a tensor consists of. Must not know: how parts are written.

A tensor is its data type, its shape, its content in C order and whether it requires a gradient:
strides, the gradient itself and where it came from do not count. Only dense tensors in the memory
of the processor are known; others are refused. docs/design/hashing.md is normative.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from objcache.hashing import _numpy
from objcache.hashing._canonical import NoFormError

__all__ = ["structure_of"]

# Not imported by name: torch may be missing where this is type checked.
np: Any = importlib.import_module("numpy")
torch: Any = importlib.import_module("torch")

_StandIn = tuple[str, Any]

_BFLOAT16_NAN: Final = 0x7FC0
_KNOWN: Final = frozenset({"_backward_hooks", "_is_param"})


def structure_of(value: Any) -> _StandIn | None:
    """Return a name and plain parts that stand for *value*; None where there are none."""
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        return type(value).__name__, str(value)
    if isinstance(value, torch.device):
        return "device", (value.type, value.index)
    if isinstance(value, torch.Size):
        return "Size", tuple(value)
    if isinstance(value, torch.Generator):
        return "Generator", {"device": value.device, "state": value.get_state()}
    if "Storage" in type(value).__name__:
        raise NoFormError("it is known by the tensors that lie in it only")
    return None


def _tensor(value: Any) -> _StandIn:
    if value.device.type != "cpu" or value.layout != torch.strided:
        raise NoFormError("it is not a dense tensor in the memory of the processor")
    if value.is_quantized or value.is_nested:
        raise NoFormError("it is quantized or nested")
    kind = type(value)
    parts: dict[str, Any] = {
        "dtype": str(value.dtype).removeprefix("torch."),
        "shape": tuple(value.shape),
        "requires_grad": value.requires_grad,
        "content": _content(value),
    }
    attributes = _numpy.attributes_of(value, _KNOWN)
    if attributes:
        parts["attributes"] = attributes
    if kind.__module__.partition(".")[0] != "torch":
        parts["class"] = kind
    return kind.__name__, parts


def _content(value: Any) -> str:
    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.dtype == torch.bfloat16:
        bits = flat.view(torch.int16).numpy().view(np.uint16)
        nans = (bits & 0x7FFF) > 0x7F80
        return _numpy.content_of(np.where(nans, np.uint16(_BFLOAT16_NAN), bits))
    if flat.dtype == torch.complex32:
        flat = flat.view(torch.float16)
    elif flat.dtype.is_floating_point and flat.dtype.itemsize == 1:  # NumPy has no such floats
        flat = flat.view(torch.uint8)
    return _numpy.content_of(flat.numpy())
