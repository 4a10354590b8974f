"""A client that openapi-python-client generates from /openapi.json, against the service that the document is of."""

from __future__ import annotations

import compileall
import importlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Person
from tests.flows.conftest import PASSWORD, Server, new_name

GENERATOR = os.environ.get("TEST_OPENAPI_GENERATOR", "")
PACKAGE = "generated_authsvc"
pytestmark = pytest.mark.skipif(
    not GENERATOR, reason="TEST_OPENAPI_GENERATOR is not set, as the closing line of the run says"
)
WITHOUT_PROXY = {"timeout": 60, "httpx_args": {"trust_env": False}}


@pytest.fixture(scope="module")
def folder(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the generated package; a warning of the generator is a failure."""
    made = tmp_path_factory.mktemp("generated")
    (made / "openapi.json").write_bytes(server.http.get("/openapi.json").content)
    (made / "config.yaml").write_text("post_hooks: []\n", encoding="utf-8")
    command = [GENERATOR, "generate", "--path", "openapi.json", "--config", "config.yaml", "--meta", "none"]
    done = subprocess.run(
        [*command, "--output-path", PACKAGE, "--fail-on-warning"],
        cwd=made,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return made


@pytest.fixture
def generated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What imports a module of the package by its name."""
    monkeypatch.syspath_prepend(folder)
    return lambda name: importlib.import_module(f"{PACKAGE}.{name}")


@pytest.fixture
def anyone(generated: Any, server: Server) -> Iterator[Any]:
    """A generated client without a credential."""
    with generated("client").Client(base_url=server.url, **WITHOUT_PROXY) as client:
        yield client


def bearing(generated: Any, server: Server, **credential: Any) -> Any:
    """Return a generated client with a credential, to be entered."""
    return generated("client").AuthenticatedClient(base_url=server.url, **WITHOUT_PROXY, **credential)


def model(generated: Any, kind: str, **fields: Any) -> Any:
    """Return a body of a kind, which is the name of its schema."""
    return getattr(generated("models"), kind)(**fields)


def test_the_generated_client_compiles(folder: Path) -> None:
    assert compileall.compile_dir(folder / PACKAGE, quiet=1)


def test_a_generated_client_signs_up_logs_in_makes_a_key_and_lists_it(
    generated: Any, server: Server, anyone: Any
) -> None:
    auth, keys, name = "api.auth", "api.keys", new_name()
    body = model(generated, "SignupRequest", username=name, email=f"{name}@example.com", password=PASSWORD)
    user = generated(f"{auth}.signup").sync(client=anyone, body=body)
    taken = generated(f"{auth}.signup").sync(client=anyone, body=body)
    assert user.username == name
    assert {(error.field, error.code) for error in taken.errors} == {("username", "unique"), ("email", "unique")}
    body = model(generated, "LoginByUsername", username=name, password=PASSWORD)
    pair = generated(f"{auth}.login").sync(client=anyone, body=body)
    with bearing(generated, server, token=pair.access_token) as me:
        assert generated(f"{auth}.me").sync(client=me).id == user.id
        made = generated(f"{keys}.create_key").sync(client=me, body=model(generated, "CreateKeyRequest", name="deploy"))
        listed = generated(f"{keys}.list_keys").sync(client=me)
        assert [(key.id, key.name, key.rate_limit) for key in listed] == [(made.id, "deploy", None)]
        with bearing(generated, server, token=made.key, prefix="", auth_header_name="x-api-key") as service:
            assert generated("api.protected.protected_service").sync(client=service).service == "deploy"
            generated(f"{keys}.revoke_key").sync_detailed(client=me, key_id=made.id)
            refused = generated("api.protected.protected_service").sync(client=service)
    assert (refused.status, refused.title) == (401, "Unauthorized")


def test_a_generated_client_verifies(generated: Any, server: Server, analyst: Person) -> None:
    _, key = analyst.key(scopes=["reports:read"])
    with bearing(generated, server, token=key, prefix="", auth_header_name="x-api-key") as service:
        verify = generated("api.gateway.verify").sync_detailed
        passed, refused = (verify(client=service, scope=["reports:read", *more]) for more in ([], ["a:b"]))
    assert (passed.status_code, passed.headers["X-Auth-Username"]) == (200, analyst.name)
    assert (refused.status_code, refused.parsed.title) == (403, "Forbidden")


def test_a_generated_client_exchanges_and_introspects(generated: Any, server: Server, analyst: Person) -> None:
    _, key = analyst.key(scopes=["tokens:introspect"])
    with bearing(generated, server, token=key, prefix="", auth_header_name="x-api-key") as service:
        body = model(generated, "ExchangeRequest", scope="tokens:introspect")
        given = generated("api.gateway.exchange").sync(client=service, body=body)
        assert (given.scope, given.expires_in <= 300) == ("tokens:introspect", True)
        introspect = generated("api.gateway.introspect").sync
        one = introspect(client=service, body=model(generated, "IntrospectRequest", token=given.access_token))
        many = introspect(client=service, body=model(generated, "IntrospectRequest", tokens=[key, "junk"]))
    assert (one.active, [told.active for told in many]) == (True, [True, False])
