"""A cache in plain Python: what `objcache.cache.Cache` promises, as simply as it can be said."""

from __future__ import annotations

from objcache.keys import encode_key


class ModelCache:
    """A dict of value, moment, deadline and tags, that forgets what is over.

    Args:
        clock: where the time comes from.
        expire: the default, in seconds.
    """

    def __init__(self, clock, expire=None):
        self.clock = clock
        self.expire_s = expire
        self.entries = {}

    def deadline(self, expire):
        seconds = self.expire_s if expire == "default" else expire
        return None if seconds is None else self.clock.now() + seconds

    def live(self):
        """Entries that are not over, in key order."""
        now = self.clock.now()
        found = {
            key: entry for key, entry in self.entries.items() if entry[1] is None or entry[1] > now
        }
        return dict(sorted(found.items(), key=lambda pair: encode_key(pair[0])))

    def forget(self):
        """What is over is not there: to be called before each step."""
        self.entries = self.live()

    def set(self, key, value, expire="default", tag=()):
        self.entries[key] = (value, self.deadline(expire), tuple(tag))

    def add(self, key, value, expire="default", tag=()):
        if key in self.entries:
            return False
        self.set(key, value, expire, tag)
        return True

    def get(self, key):
        return self.entries[key][0] if key in self.entries else None

    def touch(self, key, expire):
        if key not in self.entries:
            return False
        value, _, tags = self.entries[key]
        self.entries[key] = (value, self.deadline(expire), tags)
        return True

    def incr(self, key, delta):
        if key not in self.entries or not isinstance(self.entries[key][0], int):
            self.set(key, delta)
            return delta
        value, deadline, tags = self.entries[key]
        self.entries[key] = (value + delta, deadline, tags)
        return value + delta

    def pop(self, key):
        found = self.entries.pop(key, None)
        return None if found is None else found[0]

    def evict(self, tag):
        gone = self.tagged(tag)
        for key in gone:
            del self.entries[key]
        return len(gone)

    def tagged(self, tag):
        return [key for key, entry in self.entries.items() if tag in entry[2]]
