"""Variables: the example is complete and true, what is wrong is refused by name, secrets come from files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.db import ConnectionHandler

from tests.authsvc.conftest import ROOT

Read = Callable[..., dict[str, Any]]

# A variable that stands there as a comment depends on another one, or may not be empty.
EXAMPLE = re.findall(r"^(#?)([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
NAMES = [name for _, name, _ in EXAMPLE]
BOOLEAN = ("maybe", "2", "truee", "\N{FULLWIDTH DIGIT ONE}", "None")
NUMBER = ("-1", "many", "1.0", "1e3", "0x10", "1_0", "1 0", "\N{ARABIC-INDIC DIGIT THREE}", "9" * 19, "\udcff")
URL = ("nonsense", "://", "http://host", "//host", "POSTGRES", "postgres:/host/db")
RATE = ("0", "20", "off", "0/hour", "20/week", "-1/hour", "5/hour; 6/hour", "20/hour,", "none; 1/hour")
# Special characters of a password that are not written as %XX, and what the scheme does not take.
EMAIL = (
    "smtp://u:p#w@host",
    "smtps://u:p/w@host",
    "smtp://u:p?w@host",
    "smtp://",
    "smtp://u:p@",
    "smtp://h/x",
    "smtp://h?x=1",
)
FILES = ("filemail:", "filemail://", "filemail:///", "filemail:////", "filemail://var/mails", "filemail:///a?b")
WRONG: dict[str, tuple[str, ...]] = {
    "SECRET_KEY": ("", " " * 40, "k" * 31, f"  {'k' * 31}  ", "\udcff" * 40),
    "SECRET_KEY_FALLBACKS": ("k" * 31, f"{'k' * 32},short", "\udcff" * 40),
    "DATABASE_URL": (
        *(*URL, "mysql://host/db", "postgres", "sqlite", "postgres://", "postgres://host", "postgres://host/"),
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:"),
        *("postgres://host:99999/db", "postgres://host:0/db", "postgres://host:port/db", "postgres://[::1/db"),
        *(f"postgres://host/db?prepared_statements={word}" for word in ("maybe", "1", "none")),
        *(f"postgres://host/db?{option}" for option in ("foo=1", "pool=1", "isolation_level=2", "conn_max_age=60")),
        *(f"postgres://host/db?connect_timeout={number}" for number in ("x", "1.5", "9" * 10, "%C2%B2", "1,2")),
        *("postgres://host/db?tcp_user_timeout=1s", "postgres://h,i/db?port=1,x", "postgres://host/db?port=-1"),
        *("postgres://host/db?application_name=a%00b", "postgres://host/db?%20=1"),
        *("sqlite:////tmp/db?foo=1", "sqlite:////tmp/db?timeout=20", "sqlite:////tmp/db?conn_max_age=x"),
    ),
    "PUBLIC_URL": (
        *("auth.example.com", "ftp://a", "https://", "https://a?x=1", "https://a#x", "https://me@a", "https://a b"),
        *("https://a:0", "https://a:99999", "https://[::1", "https://[zz::1]", "https://a//b", "https://a/b c"),
    ),
    "SCRIPT_NAME": ("auth", "/auth/", "/", "//", "/a b", "http://a/b"),
    "CORS_HEADERS": ("a b", "x:", "X-Fancy;", "(", "\N{LATIN SMALL LETTER SHARP S}"),
    "LOG_FORMAT": ("xml", "plain", "json,text"),
    "REDIS_URL": (
        *URL,
        "redis",
        "unix",
        "redis://host:99999",
        "redis://host:0",
        "redis://host:port/0",
        "redis://h/x",
        "redis://h/0#x",
    ),
    "EMAIL_URL": (
        *URL,
        "smtp",
        "consolemail",
        "smtp://host:99999",
        "smtp://host:0",
        "mailto:me@example.com",
        *EMAIL,
        *FILES,
    ),
    "LEAK_REPORT_KEYS_FILE": ("/nowhere/keys.json",),
    "AUDIT_LOG": ("/nowhere/audit.log", "/", "."),
    "ALLOWED_HOSTS": (
        "http://a",
        "a:80",
        "a b",
        "a/b",
        "[zz]",
        "a..b",
        "b\N{LATIN SMALL LETTER U WITH DIAERESIS}",
        "**",
    ),
    "CORS_ORIGINS": ("*", "null", "a.example", "https://a.example/", "ftp://a", "https://a,b", "https://a:99999"),
    "EMAIL_FROM": (
        "nobody",
        "a@",
        "@b",
        "a b@c",
        "a@b@c",
        "Acme <x@y",
        "Acme x@y>",
        "<>",
        "Acme <nobody>",
        'A "x@y"',
        "A\tB <x@y>",
    ),
    "LOG_LEVEL": ("verbose", "NOTSET", "10", "INFO,DEBUG", "\udcff"),
    "API_KEY_PREFIX": ("_", "a_", "_a", "sk-live", "s" * 21, "\N{LATIN SMALL LETTER SHARP S}", "s k"),
    "DEBUG": BOOLEAN,
    "HTTPS": BOOLEAN,
    "STOCK_SERVER": BOOLEAN,
    "SIGNUP_ENABLED": BOOLEAN,
    "REQUIRE_VERIFIED_EMAIL": BOOLEAN,
    "APP_URL": ("nonsense", "http://", "ftp://host", "host", "http://host?x=1", "http://me@host", "http://a b"),
    "JWT_ALGORITHM": ("none", "HS512", "HS", "RS256,ES256", "PS256"),
    "JWT_AUDIENCE": ("a b", "\N{LATIN SMALL LETTER SHARP S}", "x" * 201),
    "JWT_LEEWAY_SECONDS": (*NUMBER, "61"),
    "TRUSTED_PROXIES": (*NUMBER, "17"),
    "ACCESS_TOKEN_EXPIRE_MINUTES": (*NUMBER, "0", "1441"),
    "REFRESH_TOKEN_EXPIRE_DAYS": (*NUMBER, "0", "3651"),
    "API_KEY_EXPIRE_DAYS": (*NUMBER, "0", "36501", "3651"),
    "API_KEY_MAX_EXPIRE_DAYS": (*NUMBER, "0", "36501", "364"),
    "BCRYPT_ROUNDS": (*NUMBER, "3", "21"),
    "PORT": (*NUMBER, "0", "65536"),
    "WEB_CONCURRENCY": (*NUMBER, "0", "257"),
    "THREADS": (*NUMBER, "0", "257"),
    "DATABASE_TIMEOUT": (*NUMBER, "0", "301"),
    "SIGNUP_RATE": RATE,
    "LOGIN_RATE": RATE,
    "MAIL_RATE": RATE,
}


def test_every_variable_of_the_example_is_tried_with_wrong_values() -> None:
    assert set(WRONG) == set(NAMES)
    assert len(WRONG) == len(NAMES)


@pytest.mark.parametrize(
    ("name", "value"), [pytest.param(n, v, id=f"{n}={v!a:.40}") for n, values in WRONG.items() for v in values]
)
def test_a_wrong_value_is_refused_in_one_sentence_that_names_the_variable(
    read_settings: Read, name: str, value: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{name: value})
    assert re.search(rf"\b{name}\b", str(refused.value))
    assert re.fullmatch(r"[^\n]+\.", str(refused.value))


def test_the_example_spells_out_the_defaults(read_settings: Read) -> None:
    def plain(found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name.isupper()}

    key = {"SECRET_KEY": "k" * 32}
    spelt_out = {name: value for comment, name, value in EXAMPLE if not comment}
    explicit = plain(read_settings(**{**dict.fromkeys(NAMES, ""), **spelt_out, **key}))
    implicit = plain(read_settings(**{**dict.fromkeys(NAMES, ""), **key}))
    assert explicit == implicit
    assert explicit["DATABASES"]["default"]["NAME"] == str(ROOT / "db.sqlite3")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("DEBUG", "TRUE", True, id="any case"),
        pytest.param("DEBUG", " yes ", True, id="space around"),
        pytest.param("SIGNUP_ENABLED", "off", False, id="off"),
        pytest.param("HTTPS", "0", False, id="zero"),
        pytest.param("LOG_LEVEL", "warning", "WARNING", id="level in lower case"),
        pytest.param("PORT", "65535", 65535, id="highest port"),
        pytest.param("TRUSTED_PROXIES", "16", 16, id="highest number"),
        pytest.param("API_KEY_PREFIX", "acme_live", "acme_live", id="inner underscore"),
        pytest.param("API_KEY_PREFIX", "p" * 20, "p" * 20, id="longest prefix"),
        pytest.param("API_KEY_EXPIRE_DAYS", "3650", 3650, id="as long as the longest"),
        pytest.param("ALLOWED_HOSTS", "a.example, .b.example,,[::1]", ["a.example", ".b.example", "[::1]"], id="hosts"),
        pytest.param("ALLOWED_HOSTS", "*", ["*"], id="any host"),
        pytest.param(
            "CORS_ORIGINS",
            "https://a.example:8443,http://[::1]",
            ["https://a.example:8443", "http://[::1]"],
            id="origins",
        ),
        pytest.param("AUDIT_LOG", "audit.log", "audit.log", id="a file to be made"),
        pytest.param("AUDIT_LOG", "pytest.ini", "pytest.ini", id="a file that is there"),
        pytest.param("LOG_FORMAT", "TEXT", "text", id="format in upper case"),
        pytest.param("CORS_HEADERS", "X-Fancy, traceparent", ["X-Fancy", "traceparent"], id="request headers"),
        pytest.param("PUBLIC_URL", "https://Auth.Example.com/", "https://Auth.Example.com", id="public URL"),
        pytest.param("PUBLIC_URL", "http://[::1]:8443/a/b/", "http://[::1]:8443/a/b", id="public URL below a path"),
        pytest.param("REDIS_URL", "rediss://:secret@host:6380/1", "rediss://:secret@host:6380/1", id="redis"),
    ],
)
def test_a_good_value_is_taken(read_settings: Read, name: str, value: str, expected: object) -> None:
    assert read_settings(**{name: value})[name] == expected


def test_postgresql_gets_lasting_connections_and_statements_bound_by_the_server(read_settings: Read) -> None:
    found = read_settings(DATABASE_URL="postgres://u:p%40ss@host:6543/name?sslmode=require&connect_timeout=2")
    database = found["DATABASES"]["default"]
    assert {name: database[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME", "CONN_MAX_AGE")} == {
        "HOST": "host",
        "PORT": 6543,
        "USER": "u",
        "PASSWORD": "p@ss",
        "NAME": "name",
        "CONN_MAX_AGE": None,
    }
    assert (database["PREPARED_STATEMENTS"], database["DISABLE_SERVER_SIDE_CURSORS"]) == (None, True)
    assert database["OPTIONS"] == {
        "sslmode": "require",
        "connect_timeout": 2,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 10_000,
        "server_side_binding": True,
        "prepare_threshold": 2,
    }
    assert found["WEB_CONCURRENCY"] == 2


def test_postgresql_may_be_reached_by_its_socket(read_settings: Read) -> None:
    database = read_settings(DATABASE_URL="postgres://u@/name?host=/var/run/postgresql")["DATABASES"]["default"]
    # As Django takes them when it connects.
    parameters = ConnectionHandler({"default": database})["default"].get_connection_params()
    where = {name: parameters.get(name) for name in ("host", "port", "user", "dbname")}
    assert where == {"host": "/var/run/postgresql", "port": None, "user": "u", "dbname": "name"}


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgres://u:{p}@host/db?sslmode=require&foo={p}", "has the option 'foo', which PostgreSQL does not know."),
        ("postgres://u:{p}@host/db?connect_timeout={p}", "must have a whole number in its option connect_timeout."),
        ("postgres://u:{p}@host/db?options={p}%00", "has characters that are not text in its option options."),
        ("postgres://u:1/{p}?{p}=x@host/db", "has a ? before an @: write ? in a password as %3F, and @ as %40."),
        ("sqlite:////tmp/db?foo={p}", "has the option 'foo', which SQLite does not know."),
    ],
)
def test_a_wrong_option_of_the_databases_address_is_named_without_any_value(
    read_settings: Read, url: str, sentence: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(DATABASE_URL=url.format(p="hunter2"))
    assert str(refused.value) == f"DATABASE_URL {sentence}"


def test_the_databases_address_may_have_every_option_of_the_client_library(read_settings: Read) -> None:
    options = {
        "application_name": "a@b",
        "connect_timeout": 0,
        "port": "5432,5433",
        "sslmode": "verify-full",
        "assume_role": "owner",
    }
    query = "&".join(f"{name}={value}" for name, value in options.items())
    found = read_settings(DATABASE_URL=f"postgres://u@/db?{query}")["DATABASES"]["default"]["OPTIONS"]
    assert {name: found[name] for name in options} == options


@pytest.mark.parametrize(("word", "expected"), [("true", (True, 2)), ("True", (True, 2)), ("false", (False, None))])
def test_the_databases_address_may_say_whether_prepared_statements_work(
    read_settings: Read, word: str, expected: tuple[bool, int | None]
) -> None:
    database = read_settings(DATABASE_URL=f"postgres://u@host/name?prepared_statements={word}")["DATABASES"]["default"]
    assert (database["PREPARED_STATEMENTS"], database["OPTIONS"]["prepare_threshold"]) == expected
    assert "prepared_statements" not in database["OPTIONS"]


def test_sqlite_waits_for_the_one_writer_and_does_not_block_readers(read_settings: Read, tmp_path: Path) -> None:
    found = read_settings(DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3")
    database = found["DATABASES"]["default"]
    assert (database["NAME"], found["WEB_CONCURRENCY"]) == (f"{tmp_path}/db.sqlite3", 1)
    assert (database["OPTIONS"]["timeout"], database["OPTIONS"]["transaction_mode"]) == (10, "IMMEDIATE")
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


@pytest.mark.parametrize(
    ("url", "port", "encryption"),
    [
        ("smtp+tls://{user}@host:2587", 2587, "EMAIL_USE_TLS"),
        ("smtp+tls://{user}@host", 587, "EMAIL_USE_TLS"),
        ("smtps://{user}@host", 465, "EMAIL_USE_SSL"),
        ("smtp+ssl://{user}@host/", 465, "EMAIL_USE_SSL"),
        ("smtp://{user}@host", 25, None),
    ],
)
def test_mail_settings_come_from_one_url(read_settings: Read, url: str, port: int, encryption: str | None) -> None:
    found = read_settings(EMAIL_URL=url.format(user="me%40example.com:p%23%2F%3F%40%3A+w%25"))
    assert {
        name: value for name, value in found.items() if name.startswith("EMAIL_") and value and name != "EMAIL_TIMEOUT"
    } == {
        "EMAIL_BACKEND": "authsvc.mail.SMTPBackend",
        "EMAIL_HOST": "host",
        "EMAIL_HOST_PASSWORD": "p#/?@:+w%",
        "EMAIL_HOST_USER": "me@example.com",
        "EMAIL_PORT": port,
        **({encryption: True} if encryption else {}),
    }


@pytest.mark.parametrize("slashes", ["///", "////"])
def test_mail_may_be_written_into_a_folder(read_settings: Read, slashes: str) -> None:
    found = read_settings(EMAIL_URL=f"filemail:{slashes}var/mail/auth%20svc")
    assert found["EMAIL_FILE_PATH"] == "/var/mail/auth svc"
    assert found["EMAIL_BACKEND"] == "django.core.mail.backends.filebased.EmailBackend"


@pytest.mark.parametrize(
    ("written", "header"),
    [
        ("x@y", "x@y"),
        ("<x@y>", "x@y"),
        ("Acme <x@y>", "Acme <x@y>"),
        ("Acme<x@y>", "Acme <x@y>"),
        ('"Acme" <x@y>', "Acme <x@y>"),
        ("Acme, Inc. <x@y.example>", '"Acme, Inc." <x@y.example>'),
        ('"Acme \\"Auth\\"" <x@y>', '"Acme \\"Auth\\"" <x@y>'),
        ("J\N{LATIN SMALL LETTER O WITH DIAERESIS}rg <x@y>", "=?utf-8?b?SsO2cmc=?= <x@y>"),
    ],
)
def test_the_sender_of_mails_may_have_a_name(read_settings: Read, written: str, header: str) -> None:
    sender = read_settings(EMAIL_FROM=written)["DEFAULT_FROM_EMAIL"]
    assert EmailMessage("subject", "body", sender, ["a@b"]).message()["From"] == header


def test_a_public_url_below_a_path_puts_everything_there(read_settings: Read) -> None:
    found = read_settings(PUBLIC_URL="https://Example.com:8443/auth/", SCRIPT_NAME="/auth")
    names = ("FORCE_SCRIPT_NAME", "STATIC_URL", "SESSION_COOKIE_PATH", "CSRF_COOKIE_PATH", "CSRF_TRUSTED_ORIGINS")
    assert [found[name] for name in names] == [
        "/auth",
        "/auth/static/",
        "/auth/",
        "/auth/",
        ["https://example.com:8443"],
    ]
    assert read_settings(PUBLIC_URL="", SCRIPT_NAME="/auth")["STATIC_URL"] == "/auth/static/"
    with pytest.raises(ImproperlyConfigured, match=r"^SCRIPT_NAME must be the path of PUBLIC_URL, or empty\.$"):
        read_settings(PUBLIC_URL="https://example.com/auth", SCRIPT_NAME="/other")


def test_more_request_headers_may_be_allowed_to_pages(read_settings: Read) -> None:
    usual = read_settings()["CORS_ALLOW_HEADERS"]
    assert read_settings(CORS_HEADERS="X-Fancy")["CORS_ALLOW_HEADERS"] == [*usual, "x-fancy"]


def test_a_secret_file_may_begin_with_a_byte_order_mark(read_settings: Read, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("k" * 32, encoding="utf-8-sig")
    assert read_settings(SECRET_KEY=None, SECRET_KEY_FILE=str(tmp_path / "secret"))["SECRET_KEY"] == "k" * 32


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "EMAIL_URL"])
@pytest.mark.parametrize(
    "url", ["x://u:hunter2@host/x", "{scheme}://u:hunter2@host:99999/x", "{scheme}://u:hunter2#@host/x"]
)
def test_a_refused_url_does_not_show_its_password(read_settings: Read, name: str, url: str) -> None:
    scheme = {"DATABASE_URL": "postgres", "REDIS_URL": "redis", "EMAIL_URL": "smtp"}[name]
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{name: url.format(scheme=scheme)})
    assert name in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "setting"),
    [
        ("SECRET_KEY", "f" * 32, "SECRET_KEY"),
        ("REDIS_URL", "redis://:secret@host:6379/0", "REDIS_URL"),
        ("EMAIL_URL", "smtp://u:p@host", "EMAIL_HOST"),
    ],
)
def test_a_secret_may_be_in_a_file(read_settings: Read, tmp_path: Path, name: str, value: str, setting: str) -> None:
    (tmp_path / "secret").write_text(f"{value}\n", encoding="utf-8")
    alone = read_settings(**{name: None, f"{name}_FILE": str(tmp_path / "secret")})
    besides = read_settings(**{name: "the variable counts only without the file"})
    assert alone[setting] == besides[setting]
    assert value.endswith(alone[setting])


def test_the_databases_address_may_be_in_a_file(read_settings: Read, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("postgres://u:p@host/from-file\n", encoding="utf-8")
    found = read_settings(DATABASE_URL=None, DATABASE_URL_FILE=str(tmp_path / "secret"))
    assert found["DATABASES"]["default"]["NAME"] == "from-file"


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"])
@pytest.mark.parametrize("kind", ["absent", "folder", "not text", "too long a path"])
def test_a_file_that_cannot_be_read_is_refused_by_the_variables_name(
    read_settings: Read, tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" * 40)
    path = {"absent": tmp_path / "no", "folder": tmp_path, "not text": tmp_path / "bytes"}.get(kind, "a" * 5000)
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{f"{name}_FILE": str(path)})
    assert str(refused.value).startswith(f"{name}_FILE names a file that cannot be read (")


def test_an_empty_file_is_a_missing_secret(read_settings: Read, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n", encoding="utf-8")
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(SECRET_KEY_FILE=str(tmp_path / "empty"))
    assert str(refused.value) == "SECRET_KEY is missing: set it to at least 32 random characters."


def test_former_secret_keys_are_listed_and_may_be_in_a_file(read_settings: Read, tmp_path: Path) -> None:
    former = ["f" * 32, "g" * 40]
    assert read_settings()["SECRET_KEY_FALLBACKS"] == []
    (tmp_path / "secret").write_text(", ".join(former), encoding="utf-8")
    assert read_settings(SECRET_KEY_FALLBACKS=f" {former[0]} , {former[1]},")["SECRET_KEY_FALLBACKS"] == former
    assert (
        read_settings(SECRET_KEY_FALLBACKS=None, SECRET_KEY_FALLBACKS_FILE=str(tmp_path / "secret"))[
            "SECRET_KEY_FALLBACKS"
        ]
        == former
    )


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"])
@pytest.mark.parametrize("between", ["\n", "\r", "\0", "\t", "\x1b[0m", "\u2028", "\u202e"], ids=ascii)
def test_a_file_of_more_than_one_line_of_text_is_refused_and_not_repeated(
    read_settings: Read, tmp_path: Path, name: str, between: str
) -> None:
    secret = "redis://secret" * 4
    (tmp_path / "secret").write_text(f"{secret}{between}{secret}\n", encoding="utf-8")
    with pytest.raises(ImproperlyConfigured) as refused:
        read_settings(**{name: None, f"{name}_FILE": str(tmp_path / "secret")})
    sentence = f"{name}_FILE names a file with more than one line, or characters that are not text."
    assert str(refused.value) == sentence


@pytest.mark.parametrize("written", ["EdDSA", "eddsa", "EDDSA"])
def test_an_algorithm_is_known_in_any_case(read_settings: Read, written: str) -> None:
    assert read_settings(JWT_ALGORITHM=written)["JWT_ALGORITHM"] == "EdDSA"
    assert read_settings(APP_URL="https://app.example.com/auth/")["APP_URL"] == "https://app.example.com/auth"
