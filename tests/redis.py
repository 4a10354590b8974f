"""The real Redis of the tests: TEST_REDIS_URL, a database of its own for each process of a parallel run."""

import os
from urllib.parse import urlsplit

import pytest

DATABASES = 16  # as many as a Redis has by default


def own_database(url: str, worker: str) -> str:
    """Return the URL of a worker's database: the one named, and those after it."""
    parts = urlsplit(url)
    number = (int(parts.path.strip("/") or 0) + int(worker.removeprefix("gw") or 0)) % DATABASES
    return parts._replace(path=f"/{number}").geturl()


given = os.environ.get("TEST_REDIS_URL", "")
REDIS = own_database(given, os.environ.get("PYTEST_XDIST_WORKER", "")) if given else ""
NEEDS_REDIS = pytest.mark.skipif(not REDIS, reason="TEST_REDIS_URL is not set, as the closing line of the run says")
IN_REDIS = pytest.param(REDIS, id="redis", marks=NEEDS_REDIS)
EITHER = (pytest.param("", id="memory"), IN_REDIS)
