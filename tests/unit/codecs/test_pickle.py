"""What surrounds the record layer's pickle calls: buffers, and the protocol of a payload."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from objcache.codecs import OUT_OF_BAND_MIN_BYTES, OutOfBand, payload_protocol


def test_small_buffers_stay_in_the_stream():
    """Buffers of 512 bytes and more are kept out of band, smaller ones are not."""
    assert 512 == OUT_OF_BAND_MIN_BYTES
    for size, expected in ((0, 0), (511, 0), (512, 1), (100_000, 1)):
        buffers = OutOfBand()
        payload = pickle.dumps(
            pickle.PickleBuffer(bytearray(size)), 5, buffer_callback=buffers.keep
        )

        assert expected == len(buffers)
        assert bytes(size) == bytes(pickle.loads(payload, buffers=buffers))


def test_scattered_buffers_stay_in_the_stream():
    """A buffer that is not contiguous is left to pickle, which says what is wrong."""
    scattered = pickle.PickleBuffer(memoryview(bytearray(4096))[::2])

    assert True is OutOfBand().keep(scattered)
    with pytest.raises(pickle.PicklingError, match="non-contiguous"):
        pickle.dumps(scattered, 5, buffer_callback=OutOfBand().keep)


def test_buffers_are_collected_in_order_and_not_copied():
    """The buffers are those of the arrays, in the order in which pickle met them."""
    arrays = [np.arange(1000), np.asfortranarray(np.ones((30, 30))), np.zeros(3)]
    buffers = OutOfBand()
    payload = pickle.dumps(arrays, 5, buffer_callback=buffers.keep)
    arrays[0][0] = 77
    loaded = pickle.loads(payload, buffers=buffers)

    assert [8000, 7200] == [buffer.raw().nbytes for buffer in buffers]
    assert 77 == loaded[0][0]
    assert [True] * 3 == [
        bool((ours == theirs).all()) for ours, theirs in zip(arrays, loaded, strict=True)
    ]
    assert not hasattr(buffers, "__dict__")


@pytest.mark.parametrize("value", [None, [1, "a", {"b": 2.5}], "text", b"bytes", 2**40])
def test_protocol_is_read_from_the_payload(value):
    """The protocol that wrote a payload is told from its first opcodes."""
    for protocol in range(2, 6):
        assert protocol == payload_protocol(pickle.dumps(value, protocol))
        assert protocol == payload_protocol(memoryview(pickle.dumps(value, protocol)))


def test_protocols_that_name_none():
    """Protocols 0 and 1 have no opcode that names them; they are told by their other opcodes."""
    for value in ([1, "a"], "text", {"a": 1}):
        assert 0 == payload_protocol(pickle.dumps(value, 0))
        assert 1 == payload_protocol(pickle.dumps(value, 1))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", 0), (b"\x80", 0), (b"\x80\x06N.", 6), (b"\x80\xff", 255), (b"\xff\xff", 0), (b"N", 0)],
)
def test_protocol_of_damaged_payloads(payload, expected):
    """Newer protocols are told as they are; what names none counts as 0."""
    assert expected == payload_protocol(payload)
