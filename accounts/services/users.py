"""Enabling and disabling a user, and what a new password ends."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts import authority
from accounts.authority import Right
from accounts.models import User, new_stamp
from accounts.services import sessions
from audit import services as audit
from audit.events import Event
from authsvc.request.context import current


@transaction.atomic
def set_active(*, user: User, active: bool, actor: User | None = None) -> None:
    """Enable or disable a user. Disabling ends sessions and mailed links for good; enabling does not revive them.

    Raises PermissionDenied for an actor who may not change the user.
    """
    authority.require(actor, Right.CHANGE_USER, user)
    # Console sessions and mailed links are bound to the stamp.
    end: dict[str, Any] = {} if active else {"security_stamp": new_stamp()}
    if User.objects.filter(pk=user.pk).exclude(is_active=active).update(is_active=active, **end):
        audit.record(Event.USER_ENABLED if active else Event.USER_DISABLED, actor=actor, subject=user)
        if not active:
            sessions.end_all(user=user, reason="user disabled", actor=actor)


@transaction.atomic
def on_password_changed(*, user: User, **signal: Any) -> None:
    """Receiver of password_changed, for changes by an operator or Django's own command: end every session."""
    actor = current.get().user
    authority.require(actor, Right.TAKE_OVER, user)
    audit.record(Event.USER_CHANGED, actor=actor, subject=user, reason="password")
    sessions.end_all(user=user, reason="password changed", actor=actor)
