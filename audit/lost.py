"""Finds in a log what was revoked, ended or disabled, and what a restored database may have lost."""

from __future__ import annotations

import re
from collections.abc import Iterable

from audit.events import Event
from audit.journal import Entry

# The aspect of the subject that an event changes. Of two events on one aspect the later one counts.
ASPECTS = {
    Event.KEY_REVOKED: "revoked",
    Event.KEY_REVOKED_LEAK: "revoked",
    Event.KEY_ENABLED: "enabled",
    Event.KEY_DISABLED: "enabled",
    Event.KEY_ROTATED: "rotated",
    Event.KEY_OUTGOING_RETIRED: "outgoing",
    Event.USER_ENABLED: "enabled",
    Event.USER_DISABLED: "enabled",
    Event.USER_DELETED: "deleted",
    Event.USER_PASSWORD_CHANGED: "password",
    Event.USER_PASSWORD_RESET: "password",
    Event.ROLE_DELETED: "deleted",
    Event.SCOPE_DELETED: "deleted",
}
# The aspects of changed columns. Their new values are not logged.
CHANGED = {
    Event.KEY_CHANGED: {"scope": "limits", "allowed_ips": "limits"},
    Event.USER_CHANGED: {
        "password": "password",
        "email": "email",
        "is_staff": "rights",
        "is_superuser": "rights",
        "user_permissions": "rights",
    },
    Event.ROLE_CHANGED: {"permissions": "permissions"},
}
GRANT = re.compile(r"(?:\S+ )?(no longer grants|grants) (\S+)")
GRANTING = {Event.KEY_ENABLED, Event.USER_ENABLED, Event.ROLE_GRANTED}
Lost = dict[tuple[str, object, object, str], Entry]


def latest_revocations(entries: Iterable[Entry]) -> list[tuple[str, Entry]]:
    """Return (aspect, entry) for each aspect whose last entry ended, disabled, changed or revoked it."""
    found: Lost = {}
    for entry in entries:
        identity = entry.subject_created_at or entry.subject_name
        for aspect in aspects(entry):
            key = (entry.subject_type, entry.subject_id, identity, aspect)
            known = found.get(key)
            if known is None or known.at is None or (entry.at is not None and entry.at >= known.at):
                found[key] = entry
    return [(key[-1], entry) for key, entry in found.items() if not is_grant(entry)]


def aspects(entry: Entry) -> set[str]:
    """Return the aspects that an event changes; none for an event that revokes nothing."""
    try:
        event = Event(entry.event)
    except ValueError:  # from another version
        return set()
    if event in (Event.ROLE_GRANTED, Event.ROLE_REVOKED):
        return {f"role {entry.reason}"}
    if event == Event.SIGNING_KEY_ROTATED:
        return {"signing"} if entry.reason == "at once" else set()
    if event == Event.ROLE_CHANGED and (grant := GRANT.fullmatch(entry.reason)):
        return {f"grant {grant[2]}"}
    if event in CHANGED:
        columns = CHANGED[event]
        return {columns[word] for word in re.findall(r"\w+", entry.reason) if word in columns}
    return {ASPECTS[event]} if event in ASPECTS else set()


def is_grant(entry: Entry) -> bool:
    """Return whether an event grants or enables something."""
    grant = GRANT.fullmatch(entry.reason) if entry.event == Event.ROLE_CHANGED else None
    return entry.event in GRANTING or (grant is not None and grant[1] == "grants")
