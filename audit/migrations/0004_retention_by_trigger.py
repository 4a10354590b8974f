"""Pruning is one INSERT, and the database itself does the rest.

A row put into audit_retention deletes the events before its moment, records that with their number as ``audit:pruned``,
and is gone again: all within the statement, by triggers, whoever asks. So a permit never outlives its statement, let
alone its transaction, on either database, and no deletion is without a trace. Events younger than a day are kept
whatever is asked for, so that the trace of a deletion cannot be deleted after it. TRUNCATE is always refused.

SQLite has neither TRUNCATE nor a trigger's depth, and needs none: no statement of its can both put in a permit and
delete by it. What no trigger can hold on either database is somebody who may drop the triggers.
"""

from django.db import migrations

POSTGRESQL = """
DELETE FROM audit_retention;
CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Deeper than 1: the trigger below deletes, and not a statement that put in a permit beside its own deletion.
    IF TG_OP = 'DELETE' AND pg_trigger_depth() > 1 THEN
        IF EXISTS (SELECT 1 FROM audit_retention WHERE OLD.at < before) THEN RETURN OLD; END IF;
    END IF;
    RAISE EXCEPTION 'audit events are append-only';
END $$;
CREATE FUNCTION audit_retention_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'a retention permit is not changed';
    ELSIF NEW.before > clock_timestamp() - interval '1 day' THEN
        RAISE EXCEPTION 'audit events younger than a day are kept';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION audit_prune() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    deleted bigint;
BEGIN
    DELETE FROM audit_auditevent WHERE at < NEW.before;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    INSERT INTO audit_auditevent
        (at, event, actor_name, subject_type, subject_name, user_agent, request_id, reason)
        VALUES (clock_timestamp(), 'audit:pruned', 'database', '', '', '', '-', deleted || ' events from before '
            || CASE WHEN isfinite(NEW.before)
                THEN to_char(NEW.before AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') ELSE NEW.before::text END);
    DELETE FROM audit_retention WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_retention_guard BEFORE INSERT ON audit_retention
    FOR EACH ROW EXECUTE FUNCTION audit_retention_guard();
CREATE TRIGGER audit_retention_no_update BEFORE UPDATE ON audit_retention
    FOR EACH STATEMENT EXECUTE FUNCTION audit_retention_guard();
CREATE TRIGGER audit_prune AFTER INSERT ON audit_retention
    FOR EACH ROW EXECUTE FUNCTION audit_prune();
"""
SQLITE = (
    "DELETE FROM audit_retention",
    # Moments are texts here, of microseconds, and the clock has milliseconds. Whatever is no moment is refused.
    """
    CREATE TRIGGER audit_retention_guard BEFORE INSERT ON audit_retention
    WHEN datetime(NEW.before) IS NULL
        OR substr(NEW.before, 1, 23) > strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 day')
    BEGIN SELECT RAISE(ABORT, 'audit events younger than a day are kept'); END
    """,
    """
    CREATE TRIGGER audit_retention_no_update BEFORE UPDATE ON audit_retention
    BEGIN SELECT RAISE(ABORT, 'a retention permit is not changed'); END
    """,
    """
    CREATE TRIGGER audit_prune AFTER INSERT ON audit_retention
    BEGIN
        INSERT INTO audit_auditevent
            (at, event, actor_name, subject_type, subject_name, user_agent, request_id, reason)
            VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'), 'audit:pruned', 'database', '', '', '', '-',
                (SELECT count(*) FROM audit_auditevent WHERE at < NEW.before)
                || ' events from before ' || replace(substr(NEW.before, 1, 19), ' ', 'T') || 'Z');
        DELETE FROM audit_auditevent WHERE at < NEW.before;
        DELETE FROM audit_retention;
    END
    """,
)
DROP_POSTGRESQL = """
DROP TRIGGER audit_retention_guard ON audit_retention;
DROP TRIGGER audit_retention_no_update ON audit_retention;
DROP TRIGGER audit_prune ON audit_retention;
DROP FUNCTION audit_retention_guard();
DROP FUNCTION audit_prune();
CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT 1 FROM audit_retention WHERE OLD.at < before) THEN RETURN OLD; END IF;
    ELSIF TG_OP = 'TRUNCATE' THEN
        IF EXISTS (SELECT 1 FROM audit_retention WHERE before = 'infinity') THEN RETURN NULL; END IF;
    END IF;
    RAISE EXCEPTION 'audit events are append-only';
END $$;
"""
DROP_SQLITE = tuple(f"DROP TRIGGER audit_{name}" for name in ("retention_guard", "retention_no_update", "prune"))


def hold(apps, schema_editor):
    for statement in (POSTGRESQL,) if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement, params=None)


def release(apps, schema_editor):
    for statement in (DROP_POSTGRESQL,) if schema_editor.connection.vendor == "postgresql" else DROP_SQLITE:
        schema_editor.execute(statement, params=None)


class Migration(migrations.Migration):
    dependencies = [("audit", "0003_events_of_sessions")]

    operations = [migrations.RunPython(hold, release)]
