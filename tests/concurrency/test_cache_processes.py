"""Several processes and threads on one cache: bounds, indexes and counts hold under churn."""

from __future__ import annotations

import os
import random
import threading

import pytest

from objcache.cache import Cache
from tests.scripts import finish, run, start

CHURN = """
import random
from objcache.cache import Cache
from objcache.errors import StoreFullError
number, policy, seconds_of_work = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
rng = random.Random(number)
LIMIT = 4 << 20
with Cache(path, size_limit=LIMIT, policy=policy, durability=sys.argv[5]) as cache:
    own = cache.namespace("counts")
    sys.stdin.read(1)
    for step in range(seconds_of_work):
        key = rng.randrange(400)
        size = rng.choice((10, 100, 1000, 10_000, LIMIT // 10 - 500))
        cache.set(key, (key, b"x" * size), expire=rng.choice((None, 0.0, 1000)), tag=f"t{key % 7}")
        found = cache.get(rng.randrange(400))
        assert found is None or found[0] in range(400)
        own.incr("total")
        if step % 50 == 0:
            cache.evict(f"t{rng.randrange(7)}")
            cache.touch(rng.randrange(400), 500)
        if step % 97 == 96:
            cache.clear()
        size = os.path.getsize(os.path.join(path, "store.lmdb"))
        assert size <= LIMIT, size
        assert cache.volume() <= LIMIT
    print("good")
"""


def churn(path, policy, steps, durability):
    """Let four processes write at once; return what is left to be looked at."""
    workers = [start(CHURN, path, number, policy, steps, durability) for number in range(4)]
    for worker in workers:
        worker.stdin.write("g")
        worker.stdin.flush()
    outputs = [finish(worker, timeout_s=120) for worker in workers]

    assert ["good\n"] * 4 == outputs
    with Cache(path, size_limit="4 MiB", policy=policy, durability=durability) as cache:
        # What must not be lost is not: unless it was evicted, which its own bound would tell.
        counts = cache.namespace("counts")
        assert () == cache.check().problems
        assert () == counts.check().problems
        assert all(found[0] == key for key, found in cache.items())
        assert 4 * steps == counts["total"]


@pytest.mark.parametrize(
    ("policy", "durability"), [("gate", "process"), ("lru", "checkpoint"), ("fifo", "commit")]
)
def test_four_processes_within_a_limit(path, policy, durability):
    """The file never exceeds the limit, the indexes agree, and no counted step is lost."""
    churn(path, policy, 100, durability)


@pytest.mark.campaign
@pytest.mark.parametrize("policy", ["gate", "lru", "lfu", "fifo"])
@pytest.mark.parametrize("durability", ["process", "checkpoint"])
def test_four_processes_for_long(path, policy, durability):
    """The same, over a thousand steps each."""
    churn(path, policy, 1000, durability)


def test_both_go_on_after_fork(path):
    """Parent and child go on with a cache, its namespace and its sweeper; counts add up."""
    output = run(
        """
        import threading
        from objcache.cache import Cache
        cache = Cache(path, secret=SECRET, durability="process", sweep_interval=0.001)
        below = cache.namespace("n", max_entries=50)
        cache["a"] = 1
        for _ in range(10):
            cache.get("a")
        pid = os.fork()
        for number in range(100):
            cache.incr("n")
            cache.get("a")
            below[os.getpid(), number] = number
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("objcache sweeper") == 1, names
        if pid == 0:
            cache.set("over", 1, expire=0)
            cache._sweeper.swept.clear()
            assert cache._sweeper.swept.wait(30)
            cache.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        stats = cache.stats()
        assert cache["n"] == 200 and len(below) == 50 and cache.check().ok and below.check().ok
        print(stats.hits)
        cache.close()
        """,
        path,
    )

    assert "210\n" == output


def test_threads_share_a_cache_that_is_cleared(path):
    """Threads that write while others clear lose nothing but what was cleared, and see no error."""
    failures = []
    with Cache(path, durability="process", size_limit="8 MiB") as cache:

        def work(number):
            rng = random.Random(number)
            try:
                for step in range(150):
                    if number == 0 and step % 10 == 0:
                        cache.clear()
                    key = (number, rng.randrange(20))
                    cache.set(key, (key, step), tag="t")
                    assert cache.get(key) in {None, (key, step)}
                    cache.incr("n")
                    list(cache.keys(tag="t"))
                    for found, value in cache.items():
                        assert found == "n" or value[0] == found
            except BaseException as error:
                failures.append(error)
                raise

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [] == failures
        assert () == cache.check().problems


def test_clear_in_another_process(path):
    """What another process clears is gone at once, for every way of reading."""
    with Cache(path, durability="process", size_limit="8 MiB") as cache:
        view = cache.range()
        for number in range(50):
            cache.set(number, number, tag="t")
        child = os.fork()
        if child == 0:
            cache.clear()
            cache.set("new", 1)
            os._exit(0)

        assert 0 == os.waitpid(child, 0)[1]
        assert [("new", 1)] == list(view) == list(cache.items())
        assert (None, 1, []) == (cache.get(5), len(cache), list(cache.keys(tag="t")))
