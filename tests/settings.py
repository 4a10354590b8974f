"""The project's settings under the variables of .env.example, so that nobody's own .env decides a test."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from environ import Env

given = {name: os.environ[name] for name in ("DATABASE_URL", "REDIS_URL") if name in os.environ}
Env.read_env(Path(__file__).parent.parent / ".env.example", overwrite=True)
os.environ |= {"SECRET_KEY": "a key for tests, and for nothing else", "BCRYPT_ROUNDS": "4", **given}

from authsvc.settings import *  # noqa: E402, F403
from authsvc.settings import DATABASES, LOGGING, ON_SQLITE  # noqa: E402

if ON_SQLITE:
    # In a file, because threads that race share a file and not a memory.
    folder = tempfile.mkdtemp(prefix="authsvc-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    DATABASES["default"]["TEST"] = {"NAME": f"{folder}/test.sqlite3"}

# A command that a test runs configures logging again, on a stream that pytest closes after the test.
LOGGING["handlers"]["stderr"] = {"class": "logging.NullHandler"}
