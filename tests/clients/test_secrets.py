"""No credential is in what a guarded service writes down: a repr, a log at its most talkative, an exception."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from authsvc_client import AuthsvcError
from authsvc_client.offline import OfflineVerifier

from tests.clients.conftest import Connect, Person
from tests.clients.serving import Odd, http

OWN = "sk_own-0123456789"


def told(error: BaseException | None) -> str:
    """Return all that an exception holds, and those that it hangs on."""
    if error is None:
        return ""
    chain = told(error.__cause__) + told(error.__context__)
    return "".join([str(error), repr(error), str(vars(error)), *traceback.format_exception(error), chain])


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"no HTTP\r\n\r\n", http("200 OK", b"x"), http("302 Found", Location="/x"), http("401 Unauthorized")],
)
def test_a_refused_credential_is_nowhere(
    connect: Connect, odd: Callable[..., Odd], answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ["sk_secret-of-a-caller", "eyJhbGciOi.secret-of-a.caller"]
    client = connect(odd(answer).url, api_key=OWN, timeout=0.2)
    written = repr(client) + str(client)
    with caplog.at_level(logging.DEBUG):
        for call in (client.verify, client.introspect):
            for secret in (*secrets, f"{secrets[0]}\r\né"):
                try:
                    call(**{"credential" if call == client.verify else "token": secret})
                except AuthsvcError as error:
                    written += told(error)
    written += caplog.text
    assert not [secret for secret in (*secrets, OWN) if secret in written]


def test_a_good_credential_is_nowhere(connect: Connect, analyst: Person, caplog: pytest.LogCaptureFixture) -> None:
    _, key = analyst.key()
    with caplog.at_level(logging.DEBUG):
        client = connect(analyst.server.url, token=analyst.token)
        who = client.verify({"x-api-key": key})
        one = client.introspect(key)
    assert "GET" in caplog.text
    assert not [secret for secret in (key, analyst.token) if secret in f"{caplog.text}{who!r}{one!r}{client!r}"]


def test_a_token_refused_offline_is_nowhere(odd: Callable[..., Odd], caplog: pytest.LogCaptureFixture) -> None:
    head = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IngifQ"  # {"alg":"ES256","typ":"at+jwt","kid":"x"}
    secrets: list[Any] = ["junk.of-a.caller", f"{head}.e30.c2VjcmV0"]
    with caplog.at_level(logging.DEBUG), OfflineVerifier(odd(http("200 OK", b"{}")).url) as verifier:
        written = repr(verifier)
        for secret in secrets:
            with pytest.raises(AuthsvcError) as refused:
                verifier.verify(credential=secret)
            written += told(refused.value)
    assert not [secret for secret in secrets if secret in written + caplog.text]
