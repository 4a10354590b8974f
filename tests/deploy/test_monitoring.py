"""The dashboard and the alerts: they read what authsvc counts, and ring when they should."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from authsvc.telemetry import metrics
from tests.deploy.gateways import DEPLOY, program

MONITORING = DEPLOY / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "authsvc.rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
# The last is not counted but asked, by /metrics.
METRICS = {metric.name for metric in metrics.AllProcesses().collect()} | {"authsvc_rate_limit_backend_up"}
promtool = pytest.mark.skipif(program("promtool") is None, reason="no promtool")


def names(expression: str) -> set[str]:
    """Return the metrics that an expression reads."""
    return {re.sub("_(total|bucket|sum|count)$", "", name) for name in re.findall(r"\bauthsvc_\w+", expression)}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run promtool to its end."""
    command = [str(program("promtool")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_panel_reads_what_authsvc_counts(expression: str) -> None:
    assert names(expression)
    assert names(expression) <= METRICS


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_reads_what_authsvc_counts_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert names(rule["expr"]) <= METRICS
    assert names(rule["expr"]) or 'up{job="authsvc"}' in rule["expr"]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description"}


def test_everything_that_is_counted_is_shown() -> None:
    assert {name for expression in EXPRESSIONS for name in names(expression)} == METRICS


def test_the_panels_have_a_place_an_id_and_a_reason_each() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["description"] and panel["title"] for panel in PANELS)
    taken = [
        (x, y)
        for at in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(taken)) == len(taken)
    assert {x for x, _ in taken} == set(range(24))


def test_the_panels_ask_the_source_that_the_reader_chooses() -> None:
    sources = [asked["datasource"]["uid"] for panel in PANELS for asked in (panel, *panel["targets"])]
    assert set(sources) == {"${datasource}"}
    assert [(item["name"], item["type"]) for item in DASHBOARD["templating"]["list"]] == [("datasource", "datasource")]


@promtool
def test_prometheus_can_read_the_alerts() -> None:
    checked = run("check", "rules", MONITORING / "authsvc.rules.yml")
    assert (checked.returncode, f"SUCCESS: {len(RULES)} rules found" in checked.stdout) == (0, True), checked.stderr


@promtool
def test_the_alerts_ring_when_they_should_and_not_before() -> None:
    tested = run("test", "rules", Path(__file__).with_name("authsvc.rules.test.yml"))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@promtool
def test_prometheus_can_read_the_expressions_of_the_panels(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = run("check", "rules", file)
    assert checked.returncode == 0, checked.stderr


def test_every_alert_is_tested() -> None:
    tested = Path(__file__).with_name("authsvc.rules.test.yml").read_text(encoding="utf-8")
    assert {rule["alert"] for rule in RULES} <= set(re.findall(r'alertname="(\w+)"', tested))
