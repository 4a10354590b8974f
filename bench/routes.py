"""What a request costs inside the process, without a server and a network, by route; as CPU time, ratios and calls.

    DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres python bench/routes.py [rounds]

Makes a database of its own beside the one named, fills it with one user, one key and one session, and drops it. The
routes take turns; each figure is the smallest of its rounds, which is the one with the least of other programs in it.
The calls of Python functions are counted once: they are the same on any machine, however busy it is.
"""

import io
import os
import secrets
import sys
import time
from datetime import timedelta
from typing import Any

import service

CALLS = 300  # of each route in each round
NOTED = ", first in a minute"
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "QUERY_STRING": "",
    "SCRIPT_NAME": "",
    "REMOTE_ADDR": "127.0.0.1",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8000",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "127.0.0.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
}


def main(rounds: int) -> None:
    """Set up, measure, print, clean up."""
    with service.own_database() as url:
        os.environ |= service.variables(url, WEB_CONCURRENCY="1")
        measure(rounds)


def measure(rounds: int) -> None:
    """Take turns and print the smallest figures beside the first's."""
    from authsvc.wsgi import application  # noqa: PLC0415  it needs the environment that main() has made

    routes, costs = prepare(), {}
    from apikeys import usage  # noqa: PLC0415  and this one needs the apps that the application has loaded

    for number in range(rounds + 1):  # the first is for warming up
        for name, environ in routes.items():
            note(always=name.endswith(NOTED))
            began = time.process_time()
            for _ in range(CALLS):
                call(application, environ)
            if number:
                costs.setdefault(name, []).append((time.process_time() - began) / CALLS * 1e6)
        print(f"round {number} of {rounds}", end="\r", file=sys.stderr)
    least = min(next(iter(costs.values())))
    for name, found in costs.items():
        note(always=name.endswith(NOTED))
        calls = calls_of(application, routes[name])
        print(f"{name:48s}{min(found):5.0f} us of CPU   {min(found) / least:4.1f} x the first   {calls:4d} calls")
    usage.counts.take()  # there will be no database to write them to


def note(*, always: bool) -> None:
    """Have the use of a credential noted at each request, or at most once a minute, as the service does."""
    from accounts.services import sessions  # noqa: PLC0415  as above
    from apikeys import last_use  # noqa: PLC0415  as above

    last_use.RESOLUTION = sessions.USE_RESOLUTION = timedelta(minutes=0 if always else 1)


def call(application: Any, environ: dict[str, Any]) -> None:
    """Make one request as a server does."""
    answer = application({**ENVIRON, "wsgi.input": io.BytesIO(), **environ}, lambda status, headers: None)
    b"".join(answer)
    answer.close()


def calls_of(application: Any, environ: dict[str, Any]) -> int:
    """Return how many functions of Python a request calls."""
    called: list[str] = []
    sys.setprofile(lambda frame, event, argument: called.append(event) if event == "call" else None)
    call(application, environ)
    sys.setprofile(None)
    return len(called) - 1  # less this module's own


def prepare() -> dict[str, dict[str, Any]]:
    """Fill the database and return the requests, by name."""
    from django.core.management import call_command  # noqa: PLC0415  as above

    from accounts.models import User  # noqa: PLC0415  as above
    from accounts.services import registration, sessions  # noqa: PLC0415  as above
    from apikeys.services import issue_key  # noqa: PLC0415  as above

    call_command("migrate", verbosity=0)
    registration.sign_up(email="b@example.com", username="bench", password=secrets.token_urlsafe())
    user = User.objects.all().first_with_grants()
    pair = sessions.start(user=user)
    key = {"HTTP_X_API_KEY": issue_key(owner=user, name="bench")[1]}
    token = {"HTTP_AUTHORIZATION": f"Bearer {pair.access_token if pair else ''}"}
    return {
        "/livez: middleware alone": {"PATH_INFO": "/livez"},
        "/protected/service: a key whose checksum fails": {"PATH_INFO": "/protected/service", "HTTP_X_API_KEY": "x"},
        "/auth/verify: key": {"PATH_INFO": "/auth/verify", **key},
        "/auth/verify: token": {"PATH_INFO": "/auth/verify", **token},
        f"/auth/verify: key{NOTED}": {"PATH_INFO": "/auth/verify", **key},
        f"/auth/verify: token{NOTED}": {"PATH_INFO": "/auth/verify", **token},
        "/protected/service: key": {"PATH_INFO": "/protected/service", **key},
        "/protected/user: token": {"PATH_INFO": "/protected/user", **token},
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
