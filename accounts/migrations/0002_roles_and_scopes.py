from django.db import migrations

SCOPES = {
    "reports:read": "Read reports, such as /protected/reports.",
    "tokens:introspect": "Ask this service what a token or a key is and may do.",
}


def add(apps, schema_editor):
    """The role and the scopes that every installation starts with; which role grants what is the operator's choice."""
    apps.get_model("auth", "Group").objects.get_or_create(name="admin")
    for name, description in SCOPES.items():
        apps.get_model("accounts", "Scope").objects.get_or_create(name=name, defaults={"description": description})


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
