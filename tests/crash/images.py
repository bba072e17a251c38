"""What may be on the disk after a power cut: images, drawn by several policies.

Knows: the disk, sectors. Must not know: what the files mean.

The model. A page of a file that was written and not synced since holds, after the cut, any of
its versions since the last sync, or the synced one; each page for itself, whatever was written
first. It may be torn: each of its sectors from another version. A sync covers what was written
before it began, once it has ended. A file is as long as the sync said, or as any change since
made it; what lies below its end and was never written back reads as zeros, what lies beyond
is gone. Names (created, renamed, removed) are changed in the order of the journal, of which any
beginning may be on the disk that holds all changes in a directory that was synced since; in half
of the images not even the order is kept. That a sync of a file also keeps its name, as usual
filesystems do, is not relied on. A file that is mapped for writing holds zeros or what it held
at the end of the recording.
"""

from __future__ import annotations

import os
import pathlib
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.crash.disk import Disk, DiskFile, Names, Versions
from tests.crash.recording import PAGE, RECORD_NAMES

__all__ = ["DATA_POLICIES", "SECTOR", "ImagePlan", "draw_image"]

SECTOR: Final = 512

Choice = Callable[[random.Random, int, Versions, bytes], bytes | memoryview | None]
"""Which version of a page is on the disk; None is the synced one."""


def _newest_with(probability: float, *, metas: bool = False) -> Choice:
    def choose(rng, number, versions, _durable):
        if metas and number < 2:
            return versions[-1][1]
        return versions[-1][1] if rng.random() < probability else None

    return choose


def _any_with(probability: float) -> Choice:
    def choose(rng, _number, versions, _durable):
        return rng.choice(versions)[1] if rng.random() < probability else None

    return choose


def _torn(rng: random.Random, _number: int, versions: Versions, durable: bytes) -> bytes:
    choices = [durable, *(content for _, content in versions)]
    return b"".join(
        bytes(rng.choice(choices)[start : start + SECTOR]) for start in range(0, PAGE, SECTOR)
    )


def _torn_newest(rng: random.Random, _number: int, versions: Versions, durable: bytes):
    if rng.random() < 0.5:
        return versions[-1][1] if rng.random() < 0.5 else None
    cut = rng.randrange(0, PAGE, SECTOR)
    return bytes(versions[-1][1][:cut]) + durable[cut:]


DATA_POLICIES: Final[dict[str, Choice]] = {
    "none": _newest_with(0.0),
    "all": _newest_with(1.0),
    "metas only": _newest_with(0.0, metas=True),
    "metas and 97 %": _newest_with(0.97, metas=True),
    "10 %": _any_with(0.1),
    "50 %": _any_with(0.5),
    "90 %": _any_with(0.9),
    "newest 50 %": _newest_with(0.5),
    "torn": _torn,
    "torn once": _torn_newest,
}
"""How pages of a file are chosen; "in order" is one more, for the file as a whole."""

_IN_ORDER: Final = "in order"
_POLICY_NAMES: Final = (*DATA_POLICIES, _IN_ORDER)
_RECORD_POLICIES: Final = ("none", "all", "50 %", "torn", "torn", "torn once")
_LENGTHS: Final = ("as needed", "synced", "latest", "any")


class ImagePlan(NamedTuple):
    """Which image to draw; the same plan gives the same image.

    Attributes:
        index: which one of its series.
        at: how many events happened before the power cut.
        seed: of everything that is left to chance.
    """

    index: int
    at: int
    seed: str


def draw_image(disk: Disk, plan: ImagePlan, target: str) -> str:
    """Write one possible disk at *disk.now* below *target*; return what was chosen."""
    rng = random.Random(plan.seed)
    names, said = _drawn_names(disk, rng)
    root = disk.recording.root
    for path, node in sorted(names.items()):
        place = target + path[len(root) :]
        if node is None:
            os.makedirs(place, mode=0o700, exist_ok=True)
            continue
        policy = rng.choice(_RECORD_POLICIES if node.name in RECORD_NAMES else _POLICY_NAMES)
        length = rng.choice(_LENGTHS)
        if node.mapped:
            _write_mapped(disk, rng, path, node, place)
        else:
            _write_image(disk, rng, node, policy, length, place)
        if node.pending:
            said.append(f"{node.name}: {policy}, length {length}")
    return "; ".join(said)


def _drawn_names(disk: Disk, rng: random.Random) -> tuple[Names, list[str]]:
    """Return a tree of names that may be on the disk."""
    count = len(disk.changes)
    if not count:
        return disk.names(lambda _: True), []
    if rng.random() < 0.5:
        floor = max(disk.covered, default=-1) + 1
        end = rng.choice((floor, count, rng.randint(floor, count)))
        return disk.names(lambda index: index < end), [f"names: the first {end} of {count}"]
    chosen = {index for index in range(count) if index in disk.covered or rng.random() < 0.5}
    return disk.names(lambda index: index in chosen), [f"names: {len(chosen)} of {count}"]


def _write_mapped(disk: Disk, rng: random.Random, path: str, node: DiskFile, place: str) -> None:
    content = bytes(node.size)
    if rng.random() < 0.5 and os.path.isfile(path):
        content = pathlib.Path(path).read_bytes()
    pathlib.Path(place).write_bytes(content)
    os.chmod(place, 0o600)


def _write_image(
    disk: Disk, rng: random.Random, node: DiskFile, policy: str, length: str, place: str
) -> None:
    chosen: dict[int, bytes | memoryview] = {}
    oldest = min((versions[0][0] for versions in node.pending.values()), default=disk.now)
    until = rng.randint(oldest, disk.now)
    for number in sorted(node.pending):
        versions = node.pending[number]
        content: bytes | memoryview | None
        if policy == _IN_ORDER:
            content = next((page for at, page in reversed(versions) if at < until), None)
        else:
            content = DATA_POLICIES[policy](rng, number, versions, node.durable_page(number))
        if content is not None:
            chosen[number] = content
    sizes = [len(node.durable), *(size for _, size in node.sizes)]
    low, high = min(sizes), max(sizes)
    needed = min(high, max([low, *((number + 1) * PAGE for number in chosen)]))
    some = min(high, low + SECTOR * rng.randint(0, (high - low) // SECTOR))
    size = {"as needed": needed, "synced": low, "latest": node.size, "any": some}[length]
    with open(place, "wb") as file:
        file.write(memoryview(node.durable)[:size])
        for number, content in chosen.items():
            if number * PAGE < size:
                file.seek(number * PAGE)
                file.write(content[: size - number * PAGE])
        file.truncate(size)
    os.chmod(place, 0o600)
