"""The operator's view of the record: read only."""

from django.contrib import admin
from unfold.admin import ModelAdmin

from audit.models import AuditEvent
from authsvc.console import Large, ReadOnly, Searchable


@admin.register(AuditEvent)
class AuditEventAdmin(Searchable, ReadOnly, Large, ModelAdmin):
    """Look and search; the database would refuse anything else."""

    list_display = ("at", "event", "subject_name", "actor_name", "address", "reason")
    list_filter = ("event", "subject_type")
    search_fields = ("subject_name", "actor_name", "address", "request_id", "=subject_id")
    date_hierarchy = "at"
    ordering = ("-id",)
    exclude = ("once",)
