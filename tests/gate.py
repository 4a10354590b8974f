"""What ``make check`` asks Django: are the migrations written, are the documented production settings clean."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def production() -> dict[str, str]:
    """Return the variables of the production example in docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = re.search(r"```ini\n(.*?)```", text, re.DOTALL)
    if block is None:
        sys.exit("docs/operations.md has no production example.")
    pairs = (line.split("=", 1) for line in block[1].splitlines() if line and not line.startswith("#"))
    return {name: value for name, value in pairs if not name.endswith("_FILE")}


def manage(*arguments: str, **environment: str) -> None:
    """Run a command, or stop with its exit status."""
    print("manage.py", *arguments, flush=True)
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False, timeout=300)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    secret = {
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ-_",
        "DATABASE_URL": "sqlite:///gate.sqlite3",
    }
    manage("makemigrations", "--check", "--dry-run", **secret)
    manage("check", "--deploy", "--fail-level", "WARNING", **{**production(), **secret})
