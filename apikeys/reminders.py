"""Mails that ask owners to rotate a key, which operators cannot do for them."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from apikeys.models import APIKey
from audit import services as audit
from audit.events import Event
from authsvc import mail, ratelimit

MAILS = "3/day"  # for one key

MAIL = """An operator asks you to rotate an API key of yours.

Key:    {prefix}… ({name}, id {id})

Rotate it with POST /keys/{id}/rotate, give the new secret to the programs that use the key, and let the old one end.
"""


def ask_to_rotate(*, key: APIKey, actor: User) -> bool:
    """Ask the owner of a key by mail to rotate it; return whether a mail is sent.

    An owner without an address gets none, and a key causes at most MAILS. ``key`` has its prefix loaded.
    """
    if key.owner.email is None or key.is_revoked or not ratelimit.hit(MAILS, "ask-to-rotate", str(key.pk)).passes:
        return False
    text = MAIL.format(prefix=key.prefix, name=key.name, id=key.pk)
    with transaction.atomic():
        audit.record(Event.KEY_ROTATION_ASKED, actor=actor, subject=key)
    mail.send("Please rotate an API key", text, key.owner.email)
    return True
