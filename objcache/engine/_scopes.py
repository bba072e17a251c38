"""The blocks in which a write transaction is open: outermost ones, and those inside of them.

Knows: how each ends. Must not know: who waits for whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from objcache.engine._faults import EngineFault
from objcache.engine._transactions import WriteTransaction

if TYPE_CHECKING:
    from objcache.engine._environment import Environment

__all__ = ["nested", "outermost"]


@contextmanager
def outermost(environment: Environment) -> Iterator[WriteTransaction]:
    """Open a write transaction for the block: committed at its end, or rolled back.

    The caller holds `Environment.writing`.
    """
    try:
        opened = WriteTransaction(environment.begin_write())
    except EngineFault as fault:
        raise environment.translated(fault) from fault
    environment.open_write = opened
    environment.rewire()
    try:
        yield opened
    except BaseException:
        opened.end("it was rolled back")
        raise
    else:
        _commit(environment, opened)
    finally:
        if environment.open_write is opened:
            environment.open_write = None
            environment.rewire()
        environment.side.settle()


def _commit(environment: Environment, opened: WriteTransaction) -> None:
    transaction = opened.current()
    try:
        transaction.commit()
    except EngineFault as fault:
        error = environment.durability.failed(fault)
        opened.end(f"it was rolled back: {error}")
        raise error from fault
    opened.end("it was committed")


@contextmanager
def nested(environment: Environment, joined: WriteTransaction) -> Iterator[None]:
    """Open a transaction inside of *joined* for the block: rolled back alone, committed with it."""
    try:
        joined.nest(environment.begin_write(parent=joined.current()))
    except EngineFault as fault:
        raise environment.translated(fault) from fault
    depth = joined.depth
    try:
        yield
    except BaseException:
        if joined.depth == depth:
            joined.unnest().abort()
        raise
    else:
        transaction = joined.current()
        joined.unnest()
        try:
            transaction.commit()
        except EngineFault as fault:
            error = environment.translated(fault)
            joined.end(f"it was rolled back: {error}")
            raise error from fault
