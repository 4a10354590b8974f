"""A worker's main loop that a test turns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.authsvc.server.loop import Loop, looping


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    with looping(monkeypatch) as made:
        yield made
