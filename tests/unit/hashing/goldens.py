"""Golden digests: `python -m tests.unit.hashing.goldens` writes them to `goldens.json`.

Knows: which values have a golden digest. Must not know: how digests are made.

Other digests mean another format: no stored result is found again. Write them only together
with a new version of the format, and say so in the changelog.
"""

from __future__ import annotations

import json
import pathlib
from typing import Final

from objcache.hashing import digest
from tests.unit.hashing.corpus import evaluate, namespace_of

__all__ = ["FILE", "VALUES", "digests", "write"]

FILE: Final = pathlib.Path(__file__).with_name("goldens.json")
# Of each kind whose digest must not depend on the version of Python or the platform.
VALUES: Final = """
None
True
False
...
0
-1
2**31
2**64
-(2**200)
0.0
-0.0
1.5
math.inf
math.nan
complex(1, -0.0)
""
"a"
"\\xe9\\u20ac\\U0001f600"
"\\ud800"
"x" * 70000
b""
b"abc"
bytes(70000)
bytearray(b"abc")
memoryview(b"abcd").cast("H")
()
(1, "a", None)
(1, ("b", [2.5]))
[]
[1, 2, 3]
[math.nan, b"x", ()]
{}
{"b": 1, "a": 2}
{"a": {"b": [1, {2}]}}
{1: "a", "b": 2, None: (3,)}
set()
{3, 1, 2}
{"x", b"y", (1, 2)}
frozenset({"a", "b"})
date(2026, 1, 2)
time(1, 2, 3, 4)
datetime(2026, 1, 2, 3, 4, 5, 6, fold=1)
datetime(2026, 1, 2, tzinfo=UTC)
datetime(2026, 7, 2, tzinfo=ZoneInfo("Europe/Berlin"))
timedelta(1, 2, 3)
timezone(timedelta(hours=1), "CET")
ZoneInfo("Europe/Berlin")
Decimal("1.50")
Decimal("-Infinity")
Fraction(-1, 3)
UUID(int=7)
PurePosixPath("a/b")
PureWindowsPath("c:/a/b")
IPv4Address("1.2.3.4")
ipaddress.ip_network("10.0.0.0/8")
ipaddress.IPv6Address("fe80::1%1")
re.compile("a+", re.IGNORECASE)
range(1, 9, 2)
slice(1, None)
array("d", [1.5, -2.0])
array("H", [1, 2])
deque([1, [2]], maxlen=3)
OrderedDict([("b", 1), ("a", 2)])
defaultdict(list, a=[1])
Counter("aab")
ChainMap({"a": 1}, {"b": 2})
MappingProxyType({"a": 1})
SimpleNamespace(a=1)
ValueError("a", 1)
random.Random(1)
partial(int, base=2)
operator.itemgetter(1, 2)
int
len
math
str.upper
[].append
list[int]
int | None
looped(lambda it: [1, {"a": it}])
Color.RED
Mode.READ | Mode.WRITE
Point(1, 2)
Settings("b", 2, ["x"])
Frozen(1, {"a": 2})
Slots(a=1)
Plain([1], name="a")
Plain(1).first
ring("a", "b")
Text("a")
Table(a=1)
written("def f(x, k=1):\\n    return [x + k for k in (1, 2)]")
adder(1, 2)
""".strip().splitlines()


def digests() -> dict[str, str]:
    """Return the digest of each value, in hexadecimal."""
    names = namespace_of("standard library")
    return {value: digest(evaluate(value, names)).hex() for value in VALUES}


def write() -> None:
    """Write what is found now over what is expected."""
    FILE.write_text(json.dumps(digests(), indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    write()
