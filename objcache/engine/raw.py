"""A data file read page by page, without LMDB: for checks and for repair.

Knows: what belongs to reading one. Must not know: what keys and records mean.
"""

from objcache.engine._pages import Meta, Node, PageError, PageFile, in_turn
from objcache.engine._probe import Content, probe
from objcache.engine._strays import Strays, states_of
from objcache.engine._users import USERS_LOCK_NAME
from objcache.engine._walk import Damage, Ranges, Walk, pinned_meta

__all__ = [
    "USERS_LOCK_NAME",
    "Content",
    "Damage",
    "Meta",
    "Node",
    "PageError",
    "PageFile",
    "Ranges",
    "Strays",
    "Walk",
    "in_turn",
    "pinned_meta",
    "probe",
    "states_of",
]
