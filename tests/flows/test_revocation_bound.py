"""Revocation holds from the next request on, on every worker, at full load."""

from collections import Counter
from collections.abc import Callable

from tests.flows.callers import Caller
from tests.flows.conftest import Server
from tests.flows.revocations import AFTER, KINDS, Outcome, revoke_under_load

EACH = 6  # revocations of each kind


def hold(outcomes: list[Outcome]) -> None:
    """Hold that all kinds were tried, that each credential was good before, and that none was afterwards."""
    assert Counter(outcome.kind for outcome in outcomes) == dict.fromkeys(KINDS, EACH)
    for kind, before, after in outcomes:
        assert (200 in before, set(before) <= {200, 401}) == (True, True), (kind, before)
        assert set(after) == {401}, (kind, after)
        assert after[401] >= AFTER


def test_no_request_that_begins_after_a_revocation_was_acknowledged_is_let_in(launch: Callable[..., Server]) -> None:
    server, served = launch(WEB_CONCURRENCY="2"), set()

    def look(callers: list[Caller]) -> None:
        served.update(server.worker_behind(caller.local_port) for caller in callers)

    hold(revoke_under_load(server.url, server.operator(), EACH * len(KINDS), look=look))
    assert served == server.workers()
