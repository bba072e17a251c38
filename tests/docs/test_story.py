"""The tutorial of memoize, lived through: each run prints what the page says."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

from tests.docs.printed import steady

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tutorial" / "memoize.md"
CALL = "print(count_primes(20_000))"
KEEP = "print(count_primes.keep_entries())"


def test_the_story_of_the_primes(tmp_path):
    """An edit of a helper computes anew, undoing it is a hit, and `keep_entries` keeps results."""
    story = PAGE.read_text().partition("\n## Why\n")[0]
    program, mended, faster = re.findall(r"^```python\n(.*?)^```", story, re.DOTALL | re.MULTILINE)
    told = re.findall(r"^```text\n\$ python primes.py\n(.*?)^```", story, re.DOTALL | re.MULTILINE)
    helper = re.search(r"^def is_prime.*?\n\n", program, re.DOTALL | re.MULTILINE)[0].strip() + "\n"
    asked_to_keep = program.replace(helper, faster).replace(CALL, f"{KEEP}\n{CALL}")
    assert KEEP in story.replace("`", "\n").splitlines()

    def run(code):
        (tmp_path / "primes.py").write_text(code)
        done = subprocess.run(
            [sys.executable, "primes.py"],
            cwd=tmp_path,
            env={**os.environ, "OBJCACHE_DIR": str(tmp_path / "results")},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return steady(done.stdout)

    corrected = program.replace(helper, mended)
    printed = [run(program), run(program), run(corrected), run(program)]
    assert run(corrected).startswith("hit;")
    printed.append(run(asked_to_keep))

    assert [steady(each) for each in told] == printed
