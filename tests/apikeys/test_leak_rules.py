"""The scanners' rules in docs/security.md find our keys and leave other text alone."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from apikeys import keys

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """Return the document's one fenced block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(found)


def patterns() -> list[Any]:
    gitleaks = tomllib.loads(block("toml"))["rules"][0]["regex"]
    trufflehog = yaml.safe_load(block("yaml"))["detectors"][0]["regex"]["key"]
    return [
        pytest.param(block("regex").strip(), id="plain"),
        pytest.param(gitleaks, id="gitleaks"),
        pytest.param(trufflehog, id="trufflehog"),
    ]


@pytest.mark.parametrize("pattern", patterns())
@pytest.mark.parametrize("text", ["{}", "KEY={}\n", '"{}",', "curl -H 'x-api-key: {}' example.com", "({})"])
def test_a_rule_finds_a_key_wherever_it_stands(pattern: str, text: str) -> None:
    for _ in range(20):
        key = keys.generate("sk").plaintext
        found = re.search(pattern, text.format(key))
        assert found is not None
        assert key in (found[0], *found.groups())


@pytest.mark.parametrize("pattern", patterns())
@pytest.mark.parametrize(
    "text", ["sk_live_4eC39HqLyjWDarjtT1zdp7dc", "risk_management", "sk_" + "a" * 48, "sk-proj-" + "a" * 49]
)
def test_a_rule_leaves_other_text_alone(pattern: str, text: str) -> None:
    assert re.search(pattern, text) is None


def test_the_rules_have_what_the_scanners_documented_formats_ask_for() -> None:
    (rule,) = tomllib.loads(block("toml"))["rules"]
    assert {"id", "description", "regex", "keywords"} <= rule.keys()
    assert re.compile(rule["regex"]).groups >= rule["secretGroup"]
    (detector,) = yaml.safe_load(block("yaml"))["detectors"]
    assert detector["name"]
    assert detector["keywords"]
    assert re.compile(detector["regex"]["key"]).groups == 1
