"""Each worker's sign of life, kept in memory: gunicorn's own needs a temporary folder that can be written to."""

from __future__ import annotations

import os
from typing import Any

from gunicorn.workers import base
from gunicorn.workers.workertmp import WorkerTmp


class MemoryHeartbeat(WorkerTmp):  # type: ignore[misc]  # gunicorn has no annotations
    """gunicorn's own, on a file that is in no folder."""

    def __init__(self, cfg: Any) -> None:
        descriptor = os.memfd_create("authsvc-heartbeat")
        os.fchown(descriptor, cfg.uid, cfg.gid)
        self._tmp = os.fdopen(descriptor, "w+b", 0)


def keep_in_memory() -> None:
    """Replace gunicorn's heartbeat where the system has files in memory (Linux); there is no setting for it."""
    if hasattr(os, "memfd_create"):
        base.WorkerTmp = MemoryHeartbeat
