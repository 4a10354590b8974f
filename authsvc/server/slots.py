"""What a worker gets before it is forked: a core, a slot for its counts, and a number of connections."""

from __future__ import annotations

import os
import resource
from collections import Counter
from contextlib import suppress
from typing import Any

SLOTS = 256  # processes that count in shared memory: with those of a reload beside them, two for each of 128 cores

CONNECTIONS = 1000  # of a process
OTHER_FILES = 128  # descriptors of a process that are not connections of clients


def max_connections() -> int:
    """Return how many connections a process may have, and ask the system for as many descriptors as that takes.

    Where the hard limit is lower, there are fewer connections: a process without descriptors cannot reach its database.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    possible = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    return max(16, possible - OTHER_FILES)


def assign(server: Any, worker: Any) -> None:
    """Choose a core and a slot for a new process, in the first one: ``worker.core`` and ``worker.seat``.

    At a reload the siblings are workers of another version, so these names stay.

    The core is the one with the fewest siblings. The threads of a process take turns; on several cores, each turn
    would find a cold cache. With fewer processes than cores nothing is pinned, since cores would be idle.
    """
    siblings = server.WORKERS.values()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    pinned = Counter(sibling.core for sibling in siblings)
    worker.core = min(cores, key=lambda core: pinned[core]) if 0 < len(cores) <= server.num_workers else None
    worker.seat = min(set(range(SLOTS)) - {sibling.seat for sibling in siblings}, default=None)


def pin_to_core(worker: Any) -> None:
    """Stay on the chosen core, in the new process, before it has threads; on any core where that is forbidden."""
    if worker.core is not None:
        with suppress(OSError):
            os.sched_setaffinity(0, {worker.core})
