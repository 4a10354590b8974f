"""Counts in this process and in others, which coverage does not follow."""

import os

from authsvc.telemetry.shared_counts import SharedCounts

HITS = ("hits", "/a")


def counted(counts: SharedCounts, name: tuple[str, ...] = HITS, amount: float = 1.0, width: int = 1) -> None:
    """Count once."""
    counts.add(counts.cells(name, width), 0, amount)


def in_a_worker(counts: SharedCounts, number: int | None, *, times: int) -> None:
    """Count in a process of its own, which ends as one that is killed does: without a word."""
    child = os.fork()
    if child == 0:
        counts.use(number)
        for _ in range(times):
            counted(counts)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
