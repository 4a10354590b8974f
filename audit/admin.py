"""The console's page of audit events, read only."""

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from audit.models import AuditEvent
from authsvc.console import ConsoleAdmin, Large, ReadOnly


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnly, Large, ConsoleAdmin):
    """List and search; the database rejects changes."""

    list_display = ("at", "event", "subject_name", "actor_name", "address", "reason")
    list_filter = ("event", "subject_type")
    search_fields = ("subject_name", "actor_name", "address", "request_id", "=subject_id")
    date_hierarchy = "at"
    ordering = ("-id",)
    exclude = ("once",)

    def is_known(self, request: HttpRequest, text: str) -> bool:
        """Return whether a text is a request id, or a name in an event."""
        known = Q(request_id=text) | Q(subject_name=text) | Q(actor_name=text)
        return AuditEvent.objects.filter(known).exists()
