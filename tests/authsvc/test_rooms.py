"""Which room may call which: imports run one way, between the apps and inside each."""

import ast
import re
import sys
from pathlib import Path

import pytest

from tests.authsvc.conftest import ROOT

# What each app may import, besides packages that are not ours.
MAY_IMPORT = {
    "authsvc": {"authsvc"},
    "audit": {"audit", "authsvc"},
    "accounts": {"accounts", "audit", "authsvc"},
    "apikeys": {"apikeys", "accounts", "audit", "authsvc"},
    "gateway": {"gateway", "apikeys", "accounts", "audit", "authsvc"},
    "protected": {"protected", "apikeys", "accounts", "audit", "authsvc"},
    "console": {"console", "gateway", "apikeys", "accounts", "audit", "authsvc"},
}
# Inside an app: a module imports what stands above it, and nothing beside it or below.
RANKS = (
    ("hashing",),
    ("names", "keys", "hashers", "events", "bindings", "decoder", "signals"),
    ("models",),
    ("keyring",),
    ("queries", "tokens", "validators", "usage", "filters", "journal", "authority"),
    ("lockout", "link_tokens", "sessions", "signing_keys", "cleanup", "last_use", "lost"),
    ("passwords",),
    ("mail_links",),
    ("services", "registration", "login", "roles", "users"),
    ("owners", "recording"),
    ("verification", "leaks", "reminders", "exchange", "administration", "restore"),
    ("introspection",),
    ("authentication", "backends", "serializers", "checks"),
    ("permissions", "forward_auth", "oauth"),
    ("schema",),
    ("views", "admin", "commands"),
    ("site",),
    ("urls", "apps"),
)
RANK = {name: number for number, names in enumerate(RANKS) for name in names}
# Inside authsvc: a room imports its own modules and what stands above it.
FLOORS = (
    ("__init__",),
    ("database", "request", "mailboxes", "error_lists", "ids"),
    ("config",),
    ("telemetry",),
    ("ratelimit", "mail"),
    ("problems",),
    ("web",),
    ("api",),
    ("server", "console", "commands"),
    ("settings", "apps", "urls", "wsgi"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
# Folders whose modules have roles of their own.
PACKAGES = {"services", "jwt"}
PURE = ("accounts/names.py", "apikeys/keys.py", "audit/events.py")


def modules() -> list[str]:
    """Return the path of every module of the product, without migrations and empty files."""
    found = [path for app in MAY_IMPORT for path in (ROOT / app).rglob("*.py") if path.stat().st_size]
    return sorted(str(path.relative_to(ROOT)) for path in found if "migrations" not in path.parts)


def imports(module: str) -> set[str]:
    """Return what a module imports, wherever in it, as dotted names: ``a.b`` for ``from a import b`` too."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide where they lead"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def role(module: str) -> str:
    """Return the name that tells a module's role; where a role has a folder, it is the folder's, but for PACKAGES."""
    return next((name for name in ("commands", "models", "admin") if name in Path(module).parts), Path(module).stem)


def part_of(name: str) -> tuple[str, str]:
    """Return the app and the role of what a dotted name is of."""
    app, *parts = [*name.split("."), "", ""]
    return app, parts[1] if parts[0] in PACKAGES and parts[1] in RANK else parts[0]


APPS = [module for module in modules() if not module.startswith("authsvc/")]


def test_all_modules_are_looked_at_and_every_one_has_a_rank() -> None:
    assert {"authsvc/urls.py", "accounts/services/login.py", "protected/views.py", *PURE} < set(modules())
    assert {role(module) for module in APPS} <= set(RANK)


@pytest.mark.parametrize("module", [module for module in modules() if module != "authsvc/urls.py"])
def test_an_app_imports_only_the_apps_that_it_stands_on(module: str) -> None:
    ours = {name.split(".")[0] for name in imports(module)} & {*MAY_IMPORT, "tests", "bench"}
    assert ours <= MAY_IMPORT[Path(module).parts[0]]


def test_the_routes_of_the_project_import_no_app_either_but_name_them() -> None:
    source = (ROOT / "authsvc" / "urls.py").read_text(encoding="utf-8")
    assert {name.split(".")[0] for name in imports("authsvc/urls.py")} == {"authsvc", "django"}
    assert all(f'include("{app}.urls")' in source for app in ("accounts", "apikeys", "gateway", "protected"))


@pytest.mark.parametrize("module", APPS)
def test_inside_an_app_imports_run_from_the_routes_down_to_the_models(module: str) -> None:
    app, rank = Path(module).parts[0], RANK[role(module)]
    # Across apps, whatever writes may call another app's services, as those of its own app do: managers write too.
    writes = rank >= RANK["lockout"] or role(module) == "models"
    reach = max(rank, RANK["services"]) if writes else rank
    for name in imports(module):
        room, part = part_of(name)
        if room == app and not part == role(module) in {"models", "admin", "commands"}:
            assert RANK[part] < rank, f"{module} imports {name}"
        elif room in MAY_IMPORT and room != "authsvc":
            assert RANK[part] <= reach, f"{module} imports {name}"


@pytest.mark.parametrize("module", [module for module in modules() if module.startswith("authsvc/")])
def test_inside_the_project_imports_run_from_what_django_asks_for_down_to_the_tools(module: str) -> None:
    room = Path(module).with_suffix("").parts[1]
    for name in imports(module):
        app, part = (*name.split("."), "")[:2]
        if app == "authsvc" and part != room:
            assert FLOOR["__init__" if part == "__version__" else part] < FLOOR[room], f"{module} imports {name}"


@pytest.mark.parametrize("module", [module for module in modules() if role(module) != "urls"])
def test_views_are_imported_by_routes_alone(module: str) -> None:
    ours = re.compile(rf"({'|'.join(MAY_IMPORT)})\.(views|urls)(\.|$)")
    assert [name for name in imports(module) if ours.match(name)] == []


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_imports_the_standard_library_alone(module: str) -> None:
    packages = {name.split(".")[0] for name in imports(module)}
    assert packages
    assert packages <= sys.stdlib_module_names
