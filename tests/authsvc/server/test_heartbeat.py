"""A worker's sign of life, without a file in any folder."""

from __future__ import annotations

import os
import tempfile
from types import SimpleNamespace

import pytest
from gunicorn.workers import base
from gunicorn.workers.workertmp import WorkerTmp

from authsvc.server import heartbeat


def test_a_heartbeat_needs_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkstemp", None)
    beat = heartbeat.MemoryHeartbeat(SimpleNamespace(uid=os.geteuid(), gid=os.getegid()))
    before = beat.last_update()
    beat.notify()
    assert beat.last_update() != before
    beat.close()


@pytest.mark.parametrize("available", [True, False])
def test_a_system_without_files_in_memory_keeps_gunicorns_own(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "WorkerTmp", WorkerTmp)
    if not available:
        monkeypatch.delattr(os, "memfd_create")
    heartbeat.keep_in_memory()
    assert base.WorkerTmp is (heartbeat.MemoryHeartbeat if available else WorkerTmp)
