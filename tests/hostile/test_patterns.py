"""Everything that looks at a client's text takes time that is linear in its length."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.contrib.auth.forms import UsernameField
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from rest_framework.exceptions import APIException

from accounts.authentication import bearer
from accounts.jwt import tokens
from accounts.models import User
from accounts.models.roles import role_validator, scope_validator
from accounts.models.users import username_validator
from accounts.services.mail_links import reset_tokens
from apikeys import keys, validators
from audit import journal
from audit.services import printable
from authsvc import problems
from authsvc.api import bounded_json, fields, pagination
from authsvc.config import rates
from authsvc.request import addresses
from authsvc.request.context import CREDENTIAL, RequestContext
from authsvc.web import middleware
from authsvc.web.browser import SESSION_KEY
from gateway.authentication import basic
from gateway.forward_auth import requirements

PARTS = (
    "a", "_", "a_", "sk_", "eyJ", "eyJ.", "eyJ-", ".", "a.", "..", "-", "a:", ":", "1", "1/second;", "1 /", ";", " ",
    "@", "a@", "a@a.", ".a@", '"', "\\", '\\"', "[", "]", "[[", "{}", ",", "%", "%41", "=", "&", "a=b&", "scope=a&",
    "\t", "\0", "é", "ß", "\ufb01", "\u0301", "\u0316\u0301", "\u200b", "\ufdfa", "\u115f", "\U0001f4a9",
)  # fmt: skip
SHORT, LONG = 6_000, 60_000  # characters
GROWTH = 25  # times the work for ten times the text: linear work has 10, quadratic work 100
NEGLIGIBLE = 0.002  # seconds, below which a ratio says nothing


def user_agent(text: str) -> str:
    return RequestContext("-", {"HTTP_USER_AGENT": text}).user_agent


def session_key(text: str) -> Any:
    return SESSION_KEY.fullmatch(text)


def read_token(text: str) -> Any:
    return tokens.FORM.fullmatch(text)


def name_of_a_user(text: str) -> Any:
    return UsernameField(max_length=254).to_python(text)


def password(text: str) -> None:
    validate_password(text[:1024], User(username=text[:150], email=f"{text[:100]}@example.com"))


READERS: tuple[Callable[[str], Any], ...] = (
    lambda text: CREDENTIAL.sub("***", text),
    CREDENTIAL.search,
    middleware.REQUEST_ID.fullmatch,
    problems.HOST.fullmatch,
    user_agent,
    session_key,
    read_token,
    tokens.read_access_token,
    tokens.read_refresh_token,
    keys.is_well_formed,
    bearer,
    basic,
    requirements,
    username_validator,
    role_validator,
    scope_validator,
    validate_email,
    name_of_a_user,
    password,
    reset_tokens.find,
    validators.clean_name,
    validators.clean_reason,
    validators.is_invisible,
    validators.clean_rate_limit,
    rates.canonical,
    lambda text: validators.clean_allowed_ips([text]),
    lambda text: validators.clean_metadata({"a": text}),
    lambda text: addresses.client_address("127.0.0.1", text, 1),
    lambda text: addresses.client_address("127.0.0.1", text, 3),
    addresses.parse,
    addresses.parse_network,
    printable,
    journal.parse_json,
    journal.parse_plain,
    journal.is_expected,
    lambda text: journal.own_line(f'{text}{{"logger": "audit", "message": "{text}"}}'),
    pagination.decode,
    lambda text: fields.QueryIntegerField().run_validation(text),
    lambda text: fields.StrictCharField(max_length=254).run_validation(text),
    lambda text: fields.StrictCharField().run_validation(text),
    lambda text: bounded_json.loads(text.encode()),
    lambda text: bounded_json.loads(f'"{text}"'.encode()),
    lambda text: bounded_json.loads(f'{{"{text}": [{text}]}}'.encode()),
)


def seconds(read: Callable[[str], Any], text: str, least: float) -> float:
    """Return the least CPU time of some readings; one that is below ``least`` is enough."""
    found = []
    for _ in range(4):
        began = time.thread_time()
        with suppress(ValidationError, APIException, ValueError):
            read(text)
        found.append(time.thread_time() - began)
        if found[-1] < least:
            break
    return min(found)


@pytest.mark.django_db
@pytest.mark.parametrize("end", ["", "!"])
@pytest.mark.parametrize("read", READERS, ids=range(len(READERS)))
def test_ten_times_the_text_is_about_ten_times_the_work(read: Callable[[str], Any], end: str) -> None:
    for part in PARTS:
        short, long = (part * (length // len(part)) + end for length in (SHORT, LONG))
        took = seconds(read, long, NEGLIGIBLE)
        if took >= NEGLIGIBLE:
            assert took <= GROWTH * max(seconds(read, short, 0), NEGLIGIBLE / 10), f"{part!r}: {1000 * took:.1f} ms"
