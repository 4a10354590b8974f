"""Addresses in the form of authsvc.mailboxes: one mailbox, one account.

Where two accounts have one mailbox, by punycode or by characters that nobody sees, the one that has confirmed it keeps it,
or else the older one. The other one keeps its name, password and keys, and loses the address: an operator can give it
another. Each is reported on stderr and recorded.
"""

import sys
import unicodedata

from django.db import migrations
from django.db.models.functions import Lower

from authsvc import mailboxes

INVISIBLE = {"Cf", "Mn"}  # joiners, soft hyphens and variation selectors, as far as no letter takes them in


def normalize_addresses(apps, schema_editor):
    users, events = (apps.get_model(*name.split(".")).objects for name in ("accounts.User", "audit.AuditEvent"))
    for user in users.exclude(email=None).order_by("id").iterator():
        address = normalized(user.email)
        if address is None:
            report(events, user, "its address cannot be mailed to and is removed")
            users.filter(pk=user.pk).update(email=None, email_verified_at=None)
        elif address != user.email:
            other = users.annotate(key=Lower("email")).filter(key=address).exclude(pk=user.pk).first()
            loser = None if other is None else later(user, other)
            if loser is not None:
                winner = other if loser is user else user
                report(events, loser, f"its address is the mailbox of user #{winner.pk} and is removed")
                users.filter(pk=loser.pk).update(email=None, email_verified_at=None)
            if loser is not user:
                users.filter(pk=user.pk).update(email=address)


def normalized(address):
    """Return the form of an address as it is stored from now on, without what nobody sees; None where it has none."""
    seen = unicodedata.normalize("NFC", address)
    seen = "".join(letter for letter in seen if unicodedata.category(letter) not in INVISIBLE)
    try:
        return mailboxes.normalize(seen)
    except ValueError:
        return None


def later(one, other):
    """Return the one of two accounts that loses its address."""
    return max(one, other, key=lambda user: (user.email_verified_at is None, user.pk))


def report(events, user, reason):
    """Tell the operator, and the record."""
    sys.stderr.write(f"accounts.0006_mailboxes: user #{user.pk} ({user.username}): {reason}.\n")
    events.create(
        event="user:changed",
        actor_name="manage.py",
        subject_type="user",
        subject_id=user.pk,
        subject_name=user.username,
        reason=reason,
    )


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_bindings"), ("audit", "0005_ended_and_restored")]

    operations = [migrations.RunPython(normalize_addresses, migrations.RunPython.noop)]
