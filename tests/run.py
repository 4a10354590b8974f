"""``make test``: the whole suite on SQLite, and on PostgreSQL where TEST_DATABASE_URL names one, under branch coverage.

Rate limits are counted in Redis too where TEST_REDIS_URL names one. Words after the command go to pytest. The last line
says what this machine could not run; only where that is nothing does the coverage decide, since what was not run covers
nothing.

DB=sqlite or DB=postgresql runs it on one of the two.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# As the tests look for them: Debian keeps some where only root looks; some come as wheels.
PLACES = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"])
# What a part of the tests needs besides Python, and whether it is here.
NEEDS = {
    "rate limits in Redis (TEST_REDIS_URL is not set)": os.environ.get("TEST_REDIS_URL"),
    "the browser tests (no Chromium)": shutil.which("chromium") or shutil.which("chromium-browser"),
    "a PostgreSQL that freezes (no initdb)": any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    or shutil.which("initdb"),
    "a Redis that refuses (no redis-server)": shutil.which("redis-server", path=PLACES),
    "PgBouncer (no pgbouncer)": shutil.which("pgbouncer", path=PLACES),
    "the gateway nginx (no nginx)": shutil.which("nginx", path=PLACES),
    "the guide's steps (no PostgreSQL, nginx, openssl or curl)": all(
        shutil.which(name, path=PLACES) for name in ("psql", "nginx", "openssl", "curl")
    )
    and any(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
    "the gateway Caddy (no caddy)": shutil.which("caddy", path=PLACES),
    "the gateway Traefik (no traefik)": shutil.which("traefik", path=PLACES),
    "the gateway Envoy (no envoy)": shutil.which("envoy", path=PLACES),
    "the alert rules (no promtool)": shutil.which("promtool", path=PLACES),
    "the systemd unit (no systemd-analyze)": shutil.which("systemd-analyze", path=PLACES),
    "the Dockerfile's lint (no hadolint)": shutil.which("hadolint", path=PLACES),
    "tokens in Node (TEST_JOSE is not set)": os.environ.get("TEST_JOSE") and shutil.which("node"),
    "TypeScript (TEST_TYPESCRIPT is not set)": os.environ.get("TEST_TYPESCRIPT") and shutil.which("node"),
    "the guard in Go (no go)": shutil.which("go"),
    "the guard in Express (no node)": shutil.which("node"),
    "OAuth by curl (no curl)": shutil.which("curl"),
    "a generated client (TEST_OPENAPI_GENERATOR is not set)": os.environ.get("TEST_OPENAPI_GENERATOR"),
}


def run(*command: str, **environment: str) -> int:
    """Run a command of this Python in the project's folder and return its exit status."""
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **environment}, check=False
    ).returncode


def suite(name: str, database_url: str, words: list[str]) -> int:
    """Run the suite on one database: all but the browser in parallel, then the browser.

    Playwright works in greenlets. Where coverage follows those and threads alike, a thread that ends can leave it
    cleaning up for ever, so each run follows one of the two.
    """
    print(f"\n=== The suite on {name} ===", flush=True)
    # One hash seed for all processes, for they must collect the same tests in the same order.
    environment = {"DATABASE_URL": database_url, "COVERAGE_FILE": f".coverage.{name}", "PYTHONHASHSEED": "0"}
    pytest = ("-m", "pytest", "--cov", "--cov-report=", "--cov-fail-under=0")  # the sum of all runs is what counts
    if words:
        return run(*pytest, *words, **environment)
    browser = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "flows").glob("test_browser_*.py"))
    failed = run(*pytest, "--numprocesses=auto", *(f"--ignore={path}" for path in browser), **environment)
    environment |= {"COVERAGE_FILE": f".coverage.{name}.browser", "COVERAGE_CONCURRENCY": "greenlet"}
    return failed | run(*pytest, *browser, **environment)


def main(words: list[str]) -> int:
    """Run everything that can be run here and return the exit status."""
    postgresql, missing, failed = os.environ.get("TEST_DATABASE_URL"), [], 0
    chosen = os.environ.get("DB") or "both"
    if chosen not in ("sqlite", "postgresql", "both"):
        sys.exit("DB must be sqlite or postgresql.")
    if chosen == "postgresql" and not postgresql:
        sys.exit("TEST_DATABASE_URL must name a PostgreSQL.")
    if chosen == "postgresql":
        missing.append("the suite on SQLite (DB=postgresql)")
    else:
        with tempfile.TemporaryDirectory() as folder:
            failed |= suite("SQLite", f"sqlite:///{folder}/db.sqlite3", words)
    if chosen == "sqlite":
        missing.append("the suite on PostgreSQL (DB=sqlite)")
    elif postgresql:
        failed |= suite("PostgreSQL", postgresql, words)
    else:
        missing.append("the suite on PostgreSQL (TEST_DATABASE_URL is not set)")
    missing += [what for what, found in NEEDS.items() if not found]
    run("-m", "coverage", "combine", "-q")
    uncovered = run("-m", "coverage", "report", *(["--fail-under=0"] if missing or words else []))
    print(f"Not run here: {', '.join(missing)}." if missing else "Everything was run here.")
    return failed or uncovered


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
