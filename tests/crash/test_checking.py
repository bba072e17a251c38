"""The check of an image: each way to be wrong is seen, and what is whole passes."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace

import pytest

from tests.crash.checking import CORRUPT, OLD, WHOLE, check_image
from tests.crash.recording import PAGE
from tests.crash.subjects import open_subject

DATA = {"store.lmdb", "data.mdb"}
STATE = {"key": (1, 100), "in a namespace key": (2, 5000)}


def made(name, tmp_path):
    """Return a directory in which the subject *name* holds `STATE`, and its last transaction."""
    directory = str(tmp_path / "store")
    subject = open_subject(name, directory)
    subject.apply([(key, tag, length) for key, (tag, length) in STATE.items()])
    last = subject.last_transaction()
    subject.close()
    return directory, last


def told(last, state=STATE, floor=0, acknowledged=0, committed=None):
    """Return a recording that says what must be there."""
    return SimpleNamespace(
        state=lambda number: dict(state) if number == last else {},
        floor=lambda _: floor,
        last_acknowledged=lambda _: acknowledged,
        last_commit=lambda _: last if committed is None else committed,
    )


@pytest.fixture(params=["lmdb full", "store commit"])
def name(request):
    """Plain LMDB, and a store."""
    return request.param


def test_what_is_as_it_should_be_is_whole(name, tmp_path):
    """The state of one transaction, no older than what was durable, is whole."""
    directory, last = made(name, tmp_path)

    assert (WHOLE, 0, "") == check_image(name, directory, told(last, floor=last), 1)


def test_lost_transactions_are_counted(name, tmp_path):
    """What was acknowledged and is not there is lost; that alone is nothing wrong."""
    directory, last = made(name, tmp_path)

    assert (WHOLE, 3, "") == check_image(name, directory, told(last, acknowledged=last + 3), 1)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (STATE | {"more": (3, 5)}, "'more' is missing"),
        ({"key": (1, 100)}, "'in a namespace key' is there, and should not be"),
        (STATE | {"key": (1, 101)}, "'key' has another value"),
        (STATE | {"key": (2, 100)}, "'key' has another value"),
    ],
)
def test_any_other_content_is_corrupt(name, tmp_path, state, says):
    """A key too many, one too few, a value of another transaction: all are seen."""
    directory, last = made(name, tmp_path)
    outcome = check_image(name, directory, told(last, state), 1)

    assert CORRUPT == outcome.verdict
    assert says in outcome.detail


def test_what_is_older_than_a_durable_checkpoint_is_old(name, tmp_path):
    """A whole state from before what was durable is a broken promise."""
    directory, last = made(name, tmp_path)
    outcome = check_image(name, directory, told(last, floor=last + 1), 1)

    assert OLD == outcome.verdict
    assert f"transaction {last}, though {last + 1} was durable" == outcome.detail


def test_what_was_never_committed_is_corrupt(name, tmp_path):
    """A transaction that had written no meta page before the power cut cannot be there."""
    directory, last = made(name, tmp_path)
    subject = open_subject(name, directory)
    subject.apply([("third", 3, 5), ("third", 0, -1)])
    subject.close()
    outcome = check_image(name, directory, told(last + 1, committed=last), 1)

    assert CORRUPT == outcome.verdict
    assert f"transaction {last + 1} was never committed" == outcome.detail


def test_damaged_pages_are_corrupt(name, tmp_path):
    """Damage that the content does not show is found by the walk over all pages."""
    directory, last = made(name, tmp_path)
    (data,) = [file for file in pathlib.Path(directory).iterdir() if file.name in DATA]
    content = bytearray(data.read_bytes())
    newer = max((0, PAGE), key=lambda at: content[at + 144 : at + 152][::-1])
    content[newer + 104] ^= 1  # how many leaves the tree has: nothing reads that
    data.write_bytes(content)
    outcome = check_image(name, directory, told(last), 1)

    assert CORRUPT == outcome.verdict
