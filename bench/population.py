"""A database with as many keys as are asked for, filled by COPY; what was interrupted goes on where it stopped.

Key number N has the id N and can be computed from N, so that a client knows them all without a list. Owners have 100
keys each, but for the first two: OWNER_OF_TEN and OWNER_OF_MANY. No key is due for a note of its last use, so that
measuring reads.
"""

import hashlib
import sys
from datetime import UTC, datetime, timedelta

import psycopg
import service

CHUNK = 100_000
OWNER_OF_TEN, OWNER_OF_MANY = 1, 2
TEN, MANY = 10, 100_000  # the keys of these two; of a small population, the second has a half
NOW = datetime.now(UTC)
KEYS = (
    "COPY apikeys_apikey (id, owner_id, name, scope, created_at, expires_at, revoked_at, revoked_reason, allowed_ips,"
    " is_enabled, metadata, rate_limit, retire_on_first_use, last_used_at) FROM STDIN"
)
SECRETS = "COPY apikeys_secret (id, api_key_id, digest, prefix, created_at, last_used_at) FROM STDIN"
USERS = (
    "COPY accounts_user (id, password, username, is_superuser, is_active, is_staff, is_service, created_at) FROM STDIN"
)
# Building these once is far faster than keeping them up row by row.
DROPPED = (
    "ALTER TABLE apikeys_secret DROP CONSTRAINT IF EXISTS apikeys_secret_digest_key",
    "DROP INDEX IF EXISTS apikeys_prefix",
)
MADE = (
    "ALTER TABLE apikeys_secret ADD CONSTRAINT apikeys_secret_digest_key UNIQUE (digest)",
    "CREATE INDEX apikeys_prefix ON apikeys_secret (prefix varchar_pattern_ops)",
    "SELECT setval(pg_get_serial_sequence('apikeys_apikey', 'id'), (SELECT max(id) FROM apikeys_apikey))",
    "SELECT setval(pg_get_serial_sequence('apikeys_secret', 'id'), (SELECT max(id) FROM apikeys_secret))",
    "SELECT setval(pg_get_serial_sequence('accounts_user', 'id'), (SELECT max(id) FROM accounts_user))",
)


def plaintext(number: int) -> str:
    """Return a key: its random part is hexadecimal, which base62 includes."""
    from apikeys import keys  # noqa: PLC0415  service.py has put the project on the path

    body = "sk_" + hashlib.sha256(b"%d" % number).hexdigest()[: keys.RANDOM_LENGTH]
    return body + keys.checksum(body)


def owner_of(number: int, total: int) -> int:
    """Return whose key a number is."""
    many = min(MANY, total // 2)
    if number <= TEN:
        return OWNER_OF_TEN
    return OWNER_OF_MANY if number <= TEN + many else 3 + number // 100


def fill(url: str, total: int) -> None:
    """Make keys until there are so many. Each chunk is a transaction; indexes are made at the end."""
    with psycopg.connect(url, autocommit=True) as connection:
        there = connection.execute("SELECT coalesce(max(id), 0) FROM apikeys_apikey").fetchone()
        start = there[0] if there else 0
        if start >= total and has_indexes(connection):
            return
        connection.execute("SET session_replication_role = replica")  # foreign keys hold by construction
        connection.execute("SET maintenance_work_mem = '1GB'")
        for statement in DROPPED:
            connection.execute(statement)
        for first in range(start + 1, total + 1, CHUNK):
            numbers = range(first, min(first + CHUNK, total + 1))
            with connection.transaction():
                copy(connection, numbers, total)
            print(f"filled {numbers[-1]:>10,} of {total:,} keys", end="\r", file=sys.stderr)
        print("\nmaking indexes…", file=sys.stderr)
        for statement in (*MADE, "VACUUM ANALYZE"):
            connection.execute(statement)


def has_indexes(connection: psycopg.Connection) -> bool:
    """Say whether the last fill came to its end."""
    return connection.execute("SELECT to_regclass('apikeys_prefix')").fetchone() != (None,)


def copy(connection: psycopg.Connection, numbers: range, total: int) -> None:
    """Write a chunk of keys, with their secrets and the owners that are not there yet."""
    made, ends, used = NOW, NOW + timedelta(days=365), NOW + timedelta(days=30)
    known = connection.execute("SELECT coalesce(max(id), 0) FROM accounts_user").fetchone()
    last, owners = known[0] if known else 0, {owner_of(number, total) for number in (numbers[0], numbers[-1])}
    with connection.cursor().copy(USERS) as rows:
        for user in range(last + 1, max(*owners, OWNER_OF_MANY) + 1):
            rows.write_row((user, "!", f"owner{user}", False, True, False, True, made))
    with connection.cursor().copy(KEYS) as rows:
        for number in numbers:
            revoked = made if number % 10 == 0 else None
            owner = owner_of(number, total)
            rows.write_row(
                (number, owner, f"key {number}", "", made, ends, revoked, "", "", True, "{}", "", False, used)
            )
    with connection.cursor().copy(SECRETS) as rows:
        for number in numbers:
            text = plaintext(number)
            rows.write_row((number, number, hashlib.sha256(text.encode()).digest(), text[:11], made, used))


def active(number: int) -> bool:
    """Say whether a key is not revoked: nine in ten are not."""
    return number % 10 != 0


def database(size: int) -> str:
    """Return the URL of a population's database, beside DATABASE_URL's, made where it is not there."""
    name = f"authsvc_scale_{size}"
    base, url = service.beside(name)
    with psycopg.connect(base, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f"CREATE DATABASE {name}")
    return url


def drop(size: int) -> None:
    """Remove it."""
    with psycopg.connect(service.beside("")[0], autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS authsvc_scale_{size} WITH (FORCE)")
