"""Single flight: of all threads, tasks and processes that want one thing, one makes it.

Knows: who is at it, and how to wait. Must not know: what is made.

Within a process a claim is an entry in a table; the others wait for what comes of it. Between
processes it is a lock on one byte of a file, at an offset that the key decides. The lock belongs
to an open file description (Linux, `fcntl(2)`, F_OFD_SETLKW): the kernel releases it the moment
its owner dies, and nobody polls. Elsewhere it is `flock(2)` on a file for each key, removed by
its owner.
"""

from objcache.flights._claims import Claim as Claim
from objcache.flights._claims import Flights as Flights
from objcache.flights._claims import Landed as Landed
from objcache.flights._claims import WaitTimeoutError as WaitTimeoutError
from objcache.flights._claims import flights_of as flights_of

__all__ = ["Claim", "Flights", "Landed", "WaitTimeoutError", "flights_of"]
