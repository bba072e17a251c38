"""What programs that use objcache need in their tests.

Knows: how to make stores, caches and processes fail, and what backends promise
(`objcache.testing.conformance`, which needs pytest). Must not know: the tests. The fixtures of the
pytest plugin are in `objcache.testing.plugin`: see docs/howto/pytest.md and testing.md.
"""

from objcache.memo import caching_off as caching_off
from objcache.testing._clock import JumpingClock as JumpingClock
from objcache.testing._processes import die as die
from objcache.testing._processes import run_until_killed as run_until_killed
from objcache.testing._records import damage as damage
from objcache.testing._records import damage_result as damage_result
from objcache.testing._records import forge as forge
from objcache.testing._records import forge_result as forge_result
from objcache.testing._writes import FailingWrites as FailingWrites
from objcache.testing._writes import failing_writes as failing_writes

__all__ = [
    "FailingWrites",
    "JumpingClock",
    "caching_off",
    "damage",
    "damage_result",
    "die",
    "failing_writes",
    "forge",
    "forge_result",
    "run_until_killed",
]
