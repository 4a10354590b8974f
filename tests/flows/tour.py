"""Runs the shell blocks of a document in one shell, and compares what they print with the blocks that follow them."""

from __future__ import annotations

import re
import secrets
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<content>.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """A block to run, and what it prints, where the document says so; "…" stands for anything on its line."""

    code: str
    expected: str | None


def section(document: str, heading: str) -> str:
    """Return what a document says below a heading of the second level, up to the next one of it."""
    _, found, rest = f"\n{document}".partition(f"\n## {heading}\n")
    assert found, f"there is no heading {heading!r}"
    # A heading ends the section, a comment in a block does not.
    hidden = FENCE.sub(lambda block: "\0" * len(block[0]), rest)
    end = re.search(r"^## ", hidden, re.MULTILINE)
    return rest[: end.start()] if end else rest


def steps(text: str) -> list[Step]:
    """Return the ``sh`` blocks of a text in order, each with the ``text`` block that is the next block after it."""
    blocks = [(found["language"], found["content"]) for found in FENCE.finditer(text)]
    following = [*blocks[1:], ("", "")]
    return [
        Step(content, after if language == "text" else None)
        for (kind, content), (language, after) in zip(blocks, following, strict=True)
        if kind == "sh"
    ]


def run(codes: Iterable[str], folder: Path, environment: dict[str, str]) -> list[str]:
    """Run blocks one after another in one bash, and return what each printed; the first that fails is told of."""
    mark = secrets.token_hex(16)
    script = "".join(f"{code}\nprintf %s {mark}\n" for code in codes)
    ran = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    *printed, rest = ran.stdout.split(mark)
    assert ran.returncode == 0, f"block {len(printed) + 1} failed with {ran.returncode}: {rest}{ran.stderr}"
    return printed


def matches(expected: str, printed: str) -> bool:
    """Say whether a print is as expected, blanks at the ends of lines and of the whole aside."""
    pattern = ".*".join(re.escape(part) for part in tidy(expected).split("…"))
    return re.fullmatch(pattern, tidy(printed)) is not None


def tidy(text: str) -> str:
    """Return a text without blanks at the ends of its lines and of itself."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
