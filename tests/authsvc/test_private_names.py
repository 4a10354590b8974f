"""Private names of other packages, and values put into their modules, stand in few places only."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.authsvc.conftest import ROOT
from tests.authsvc.test_rooms import MAY_IMPORT, modules

# Where they may stand, and of which packages.
ALLOWED = {
    "authsvc/server/": {"gunicorn", "django"},
    "authsvc/database/": {"django", "psycopg"},
    "authsvc/api/views.py": {"rest_framework"},
    "authsvc/web/middleware.py": {"django"},
    "accounts/jwt/": {"jwt"},
}
# Documented in spite of their underscore: of models and managers, of named tuples, of drf-spectacular's extensions.
DOCUMENTED = {"_meta", "_state", "_db", "_default_manager", "_asdict", "_replace", "_map_serializer"}


def is_private(name: str) -> bool:
    """Say whether a name has a leading underscore, and is neither Python's own nor documented."""
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED and name != "_"


def own_names(tree: ast.AST) -> set[str]:
    """Return what a module defines itself: functions, classes, variables and attributes of ``self``."""
    found = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            found.add(node.attr)
    return found


def foreign_modules(tree: ast.AST) -> set[str]:
    """Return the names that a module has imported from packages that are neither ours nor Python's."""
    near, found = set(MAY_IMPORT) | sys.stdlib_module_names, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.asname or alias.name.partition(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(str(node.module), alias.asname or alias.name) for alias in node.names]
        else:
            continue
        found |= {name for module, name in names if module.partition(".")[0] not in near}
    return found


def targets(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what a statement assigns to."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from target.elts if isinstance(target, ast.Tuple) else [target]
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        yield node.target


def offences(source: str) -> list[str]:
    """Return the private names that a module uses, imports or overrides, and its assignments to foreign modules."""
    tree = ast.parse(source)
    own, foreign, found = own_names(tree), foreign_modules(tree), []
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr not in own or ast.unparse(node.value) == "super()":
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names if is_private(alias.name)]
        elif isinstance(node, ast.ClassDef) and any(base in foreign for base in map(ast.unparse, node.bases)):
            methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
            # What nobody here calls is a hook that the other package calls.
            found += [f"{node.name}.{name}" for name in methods if is_private(name) and name not in used]
        for target in targets(node):
            if isinstance(target, ast.Attribute) and ast.unparse(target.value).partition(".")[0] in foreign:
                found.append(f"{ast.unparse(target)} = …")
    return found


@pytest.mark.parametrize("module", [name for name in modules() if not name.startswith(tuple(ALLOWED))])
def test_no_other_module_knows_private_names_of_other_packages(module: str) -> None:
    assert offences((ROOT / module).read_text(encoding="utf-8")) == []


def test_each_place_that_is_allowed_private_names_has_some() -> None:
    for place in ALLOWED:
        found = [name for name in modules() if name.startswith(place)]
        assert any(offences((ROOT / name).read_text(encoding="utf-8")) for name in found), place


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import gunicorn\ngunicorn.util.write_error = None", ["gunicorn.util.write_error = …"]),
        ("from gunicorn import util\nutil.http_date, x = 1, 2", ["util.http_date = …"]),
        ("from rest_framework.request import Request\ndef f(r: Request): return r._request", ["r._request"]),
        ("from jwt.api_jws import _jws_global_obj", ["jwt.api_jws._jws_global_obj"]),
        ("from a import B\nclass C(B):\n    def _hook(self): pass", ["C._hook"]),
        ("from django.db import models\nmodels.Model._meta, x._state", []),
        ("from a import B\nclass C(B):\n    def _own(self): return self._own()", []),
        ("from a import B\nclass C(B):\n    def _own(self): return super()._own()", ["super()._own"]),
        ("import sys\nsys.stdout = None", []),
        ("from authsvc import ratelimit\nratelimit.limit = 3", []),
    ],
)
def test_offences_are_found(source: str, found: list[str]) -> None:
    assert offences(source) == found


def test_every_package_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {Requirement(text).name.lower().replace("_", "-") for text in project["dependencies"]}
    packages = metadata.packages_distributions()
    imported = set()
    for module in modules():
        for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    foreign = imported - sys.stdlib_module_names - set(MAY_IMPORT)
    assert foreign >= {"django", "jwt", "redis"}
    found = {top: {name.lower().replace("_", "-") for name in packages.get(top, [top])} for top in foreign}
    assert {top for top, distributions in found.items() if not distributions & declared} == set()


def test_the_list_of_places_is_of_files_that_are_there() -> None:
    assert all(Path(ROOT / place).exists() for place in ALLOWED)
