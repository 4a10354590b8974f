"""The manifests, as far as they can be looked at without a cluster: what they name is there, nothing is root."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deploy.gateways import DEPLOY
from tests.flows.conftest import ROOT

FOLDER = DEPLOY / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
FOUND: dict[str, dict[str, Any]] = {
    path.name: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("*.yaml"))
    if path.name != "kustomization.yaml"
}
KINDS = {
    "configmap.yaml": ("v1", "ConfigMap"),
    "deployment.yaml": ("apps/v1", "Deployment"),
    "horizontalpodautoscaler.yaml": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "migrate.yaml": ("batch/v1", "Job"),
    "networkpolicy.yaml": ("networking.k8s.io/v1", "NetworkPolicy"),
    "poddisruptionbudget.yaml": ("policy/v1", "PodDisruptionBudget"),
    "service.yaml": ("v1", "Service"),
}
PODS = {name: FOUND[name]["spec"]["template"]["spec"] for name in ("deployment.yaml", "migrate.yaml")}
DEPLOYMENT = FOUND["deployment.yaml"]["spec"]
CONTAINER = DEPLOYMENT["template"]["spec"]["containers"][0]
VARIABLES: dict[str, Any] = FOUND["configmap.yaml"]["data"]


def test_every_manifest_is_applied_and_is_what_its_name_says() -> None:
    assert {name: (found["apiVersion"], found["kind"]) for name, found in FOUND.items()} == KINDS
    assert set(KUSTOMIZATION["resources"]) == set(FOUND)
    assert all(found["metadata"]["labels"]["app.kubernetes.io/name"] == "authsvc" for found in FOUND.values())


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_nobody_and_may_write_nowhere_but_in_memory(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    who = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    assert pod["securityContext"] == {**who, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert re.fullmatch(r"authsvc:\d+\.\d+\.\d+", container["image"])
    assert {volume["name"]: set(volume) - {"name"} for volume in pod["volumes"]} == {
        "secrets": {"secret"},
        "tmp": {"emptyDir"},
    }


def test_the_user_is_that_of_the_image() -> None:
    assert "USER 10001:10001" in (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8")


def test_the_probes_ask_the_right_route() -> None:
    probes = {name: CONTAINER[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    assert {probe["port"] for probe in probes.values()} == {"http"}


def test_a_pod_that_ends_gets_the_time_for_its_running_requests() -> None:
    graceful = re.search(r"^graceful_timeout = (\d+)", (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8"), re.M)
    waits = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert graceful is not None
    assert waits == ["sleep", "5"]
    assert DEPLOYMENT["template"]["spec"]["terminationGracePeriodSeconds"] > int(waits[1]) + int(graceful[1])


def test_secrets_are_files_and_no_manifest_holds_one() -> None:
    mounted = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    files = {name: value for name, value in VARIABLES.items() if name.endswith("_FILE")}
    assert set(files) == {"SECRET_KEY_FILE", "DATABASE_URL_FILE", "REDIS_URL_FILE"}
    assert {value.rpartition("/")[0] for value in files.values()} == {mounted["secrets"]}
    assert not {"SECRET_KEY", "DATABASE_URL", "REDIS_URL"} & set(VARIABLES)
    made = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    assert all(f"--from-file={value.rpartition('/')[2]}" in made for value in files.values())


def test_every_variable_is_one_that_authsvc_reads() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    known = set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert {name.removesuffix("_FILE") for name in VARIABLES} <= known
    assert all(isinstance(value, str) for value in VARIABLES.values())


def test_what_selects_the_pods_selects_those_that_serve() -> None:
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    assert DEPLOYMENT["selector"]["matchLabels"] == labels
    assert FOUND["service.yaml"]["spec"]["selector"] == labels
    assert FOUND["poddisruptionbudget.yaml"]["spec"]["selector"]["matchLabels"] == labels
    assert FOUND["migrate.yaml"]["spec"]["template"]["metadata"]["labels"] != labels
    assert FOUND["service.yaml"]["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"] == "http"


def test_the_way_in_is_for_gateways_alone() -> None:
    policy = FOUND["networkpolicy.yaml"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])
