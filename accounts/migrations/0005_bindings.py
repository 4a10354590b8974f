"""Random values that tokens, links and console sessions are bound to.

Each column is nullable and is added without a default in the database, so that no table is rewritten: rows from before
have NULL, and so do those that the code from before adds while it still runs beside this one.
"""

from django.db import migrations, models

import accounts.models.users


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_sessions"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="binding",
            field=models.CharField(editable=False, max_length=22, null=True),
        ),
        migrations.AddField(
            model_name="user",
            name="confirmation_sent_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.AddField(
                    model_name="user",
                    name="security_stamp",
                    field=models.CharField(editable=False, max_length=32, null=True),
                ),
            ],
            # With the default in the database's operation, every row from before would get one and the same value.
            state_operations=[
                migrations.AddField(
                    model_name="user",
                    name="security_stamp",
                    field=models.CharField(
                        default=accounts.models.users.new_stamp, editable=False, max_length=32, null=True
                    ),
                ),
            ],
        ),
    ]
