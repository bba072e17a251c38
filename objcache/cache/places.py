"""What a cache offers to those who keep records beside it, as `objcache.memo` does.

Knows: places, and how records in them become entries. Must not know: what is kept there.
"""

from __future__ import annotations

from objcache.cache._layout import Owned
from objcache.cache._place import CachePlace
from objcache.cache._tracking import Tracked, Tracker

__all__ = ["CachePlace", "Owned", "Tracked", "Tracker"]
