"""What anybody can send as often as they like is refused, and is no line in the operator's log."""

import pytest
from django.test import Client

from tests.conftest import Api

LIMIT = 1024 * 1024
FORM = "application/x-www-form-urlencoded"


def loud(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return logger and level of each record that is a warning or worse."""
    return [(record.name, record.levelname) for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        pytest.param("POST", "/keys/report", b" " * LIMIT + b" ", {}, 413, id="body too large"),
        pytest.param("POST", "/auth/login", b" " * LIMIT + b" ", {}, 413, id="JSON too large"),
        pytest.param("POST", "/admin/login/", b"a" * LIMIT + b"=", {}, 413, id="form too large"),
        pytest.param("POST", "/admin/login/", b"a=1&" * 20_001, {}, 400, id="form of too many fields"),
        pytest.param("GET", "/auth/me", b"", {"Host": "evil.example/"}, 400, id="a host that is none"),
        pytest.param("GET", "/admin/?q=%00", b"", {}, 400, id="null character"),
    ],
)
def test_what_a_client_gets_a_4xx_for_is_no_error_however_suspicious(
    api: Api,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    content_type = FORM if path.startswith("/admin/") else "application/json"
    response = api.call(method, path, body, headers=headers, content_type=content_type)
    assert (response.status_code, loud(caplog)) == (status, [])


@pytest.mark.django_db
def test_a_form_without_its_token_is_still_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})
    assert (answer.status_code, loud(caplog)) == (403, [("django.security.csrf", "WARNING")])
    assert not any(record.exc_info for record in caplog.records)
