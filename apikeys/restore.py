"""After a restore: ends every session, and repeats what a log says was ended since the backup."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import restore as accounts
from accounts.services.restore import REASON, Repeat
from apikeys import services, validators
from apikeys.models import APIKey, Secret
from apikeys.owners import end_everything
from audit import services as audit
from audit.events import Event
from audit.journal import Counts, Entry, read
from audit.lost import latest_revocations


@dataclass
class Report:
    """The result of ``after_restore``."""

    sessions: int = 0
    console_sessions: int = 0
    unknown: int = 0  # lines of the log that were not understood
    repeated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


@transaction.atomic
def after_restore(*, revocations: str | None = None, dry_run: bool = False) -> Report:
    """End every session, void every mailed link, and repeat the revocations that a file names; a second time too.

    ``revocations`` is the path of a log, as ``audit.journal.read`` takes it. With ``dry_run`` nothing is changed.
    Raises OSError for a file that cannot be read, and ValidationError for one without a single event.
    """
    report, counts = Report(), Counts()
    lost = [] if revocations is None else latest_revocations(read(revocations, counts))
    if revocations is not None and not counts.events:
        message = (
            f"The file {revocations!r} has no event of the service's log, and no line 'api_key ID' or 'user NAME'."
        )
        raise ValidationError(message)
    report.unknown = counts.unknown
    report.sessions, report.console_sessions = accounts.end_all_sessions()
    for aspect, entry in lost:
        repeat(aspect, entry, report)
    reason = f"{report.sessions} sessions ended, {len(report.repeated)} revocations repeated"
    audit.record(Event.DATABASE_RESTORED, reason=reason)
    if dry_run:
        transaction.set_rollback(True)
    return report


def repeat(aspect: str, entry: Entry, report: Report) -> None:
    """Repeat one event, and add a line on it to the report."""
    kind = aspect.partition(" ")[0]
    if kind == "signing":
        called, done = "signing keys", accounts.void_signing_keys(entry)
    elif (known := REPEATS.get((entry.subject_type, kind))) is None:
        return
    else:
        model, act = known
        called = f"{entry.subject_type} #{entry.subject_id} ({entry.subject_name})"
        row = find(model, entry)
        if row is None:
            report.unmatched.append(f"{called}: {entry.event} {entry.reason}".rstrip())
            return
        called = f"{entry.subject_type} #{row.pk} ({row})"
        done = act(row, entry)
    (report.repeated if done else report.unchanged).append(f"{called}: {done or entry.event}")


def find(model: type[models.Model], entry: Entry) -> Any:
    """Return the subject of an event, or None where another row has its id."""
    if entry.subject_id is None:
        return User.objects.known_as(entry.subject_name or "").first()
    row = model._default_manager.filter(pk=entry.subject_id).first()
    return row if row is not None and entry.is_about(row) else None


def revoke(key: APIKey, entry: Entry) -> str:
    """Revoke a key again, for the reason that it had."""
    reason = "".join(letter for letter in entry.reason if validators.is_printable(letter)) or REASON
    event = Event(entry.event)
    return "revoked" if services.revoke_key(key=key, reason=reason[: validators.REASON_LENGTH], event=event) else ""


def revoke_rotated(key: APIKey, entry: Entry) -> str:
    """Revoke a key that was rotated: the backup has the secret that was replaced, and not the one in force."""
    if Secret.objects.filter(api_key=key, prefix=entry.reason.rpartition(" ")[2]).exists():
        return ""
    reason = "rotated after the backup that was restored"
    return "rotated: revoked, issue another" if services.revoke_key(key=key, reason=reason) else ""


def retire_outgoing(key: APIKey, entry: Entry) -> str:
    """End the outgoing secret of a key again."""
    now = timezone.now()
    if entry.is_recorded() or not Secret.objects.filter(api_key=key, retires_at__gt=now).update(retires_at=now):
        return ""
    APIKey.objects.filter(pk=key.pk).update(retire_on_first_use=False)
    entry.restore()
    audit.record(Event.KEY_OUTGOING_RETIRED, subject=key, reason=REASON)
    return "outgoing secret ended"


def disable(key: APIKey, entry: Entry) -> str:
    """Disable a key again."""
    if not key.is_enabled or not services.change_key(key=key, owner=key.owner, is_enabled=False):
        return ""
    return "disabled"


def disable_changed(key: APIKey, entry: Entry) -> str:
    """Disable a key whose scopes or addresses were changed: the backup may have wider ones."""
    if entry.is_recorded() or not disable(key, entry):
        return ""
    entry.restore()
    return f"{entry.reason} changed: disabled, set and enable it again"


def delete_user(user: User, entry: Entry) -> str:
    """Delete a user again; one with keys, which keep their record, is disabled with all that is left."""
    if not APIKey.objects.filter(owner=user).exists():
        audit.record(Event.USER_DELETED, subject=user, reason=REASON)
        user.delete()
        return "deleted"
    if not user.is_active:
        return ""
    end_everything(owner=user, reason="owner deleted", disable=True)
    return "deleted: disabled, and its API keys revoked"


REPEATS: dict[tuple[str, str], tuple[type[models.Model], Repeat]] = {
    **accounts.REPEATS,
    ("apikey", "revoked"): (APIKey, revoke),
    ("apikey", "rotated"): (APIKey, revoke_rotated),
    ("apikey", "outgoing"): (APIKey, retire_outgoing),
    ("apikey", "enabled"): (APIKey, disable),
    ("apikey", "limits"): (APIKey, disable_changed),
    ("user", "deleted"): (User, delete_user),
}
