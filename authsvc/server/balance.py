"""How the processes of one gunicorn share the cores, and the connections of their clients."""

from __future__ import annotations

import mmap
import os
import resource
from collections import Counter
from contextlib import suppress
from typing import Any

SEATS = 256  # processes that share connections evenly: with those of a reload beside them, two for each of 128 cores
SIZE = 4  # bytes of a seat
EVEN = 0.8  # of what a process has, what another has is as good as the same

CONNECTIONS = 1000  # of a process
OTHER_FILES = 128  # descriptors of a process that are not connections of clients

# How many connections the process of each seat has, plus one; 0 where nobody sits, or who sits there takes no more.
# Mapped before the processes part, so that all of them see it; each writes its own seat only.
seats = memoryview(mmap.mmap(-1, SEATS * SIZE)).cast("I")


def connections() -> int:
    """Return how many connections a process may have, and ask the system for as many descriptors as that takes.

    Where the hard limit is lower, there are fewer connections: a process without descriptors cannot reach its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return max(16, possible - OTHER_FILES)


def take_place(server: Any, worker: Any) -> None:
    """Choose a core and a seat for a new process, in the first one.

    The core is one that fewest of its siblings have. The threads of a process of Python take turns; where they take
    them on several cores, each turn finds another core's cache cold. Only where there are as many processes as cores:
    fewer would leave cores idle.
    """
    siblings = server.WORKERS.values()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    taken = Counter(sibling.core for sibling in siblings)
    worker.core = min(cores, key=lambda core: taken[core]) if 0 < len(cores) <= server.num_workers else None
    worker.seat = min(set(range(SEATS)) - {sibling.seat for sibling in siblings}, default=None)
    leave_seat(worker)


def keep_core(worker: Any) -> None:
    """Stay on the core that was chosen, in the new process, before it has threads; on any, where that is forbidden."""
    if worker.core is not None:
        with suppress(OSError):
            os.sched_setaffinity(0, {worker.core})


def leave_seat(worker: Any) -> None:
    """Say that a process takes no more connections: one that has died, or has not begun."""
    if worker.seat is not None:
        seats[worker.seat] = 0


def tell(worker: Any) -> None:
    """Tell the others how many connections a process has, as long as it takes more."""
    if worker.seat is not None:
        seats[worker.seat] = worker.nr_conns + 1 if worker.alive else 0


def another_has_fewer(worker: Any) -> bool:
    """Say whether a process that takes connections has so few of them that this one should wait for it."""
    mine: int = worker.nr_conns
    fewest = min(filter(None, seats.tolist()), default=1) - 1
    return fewest < EVEN * mine
