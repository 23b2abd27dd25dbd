"""deploy/k8s: what a schema says of the manifests, and whether they mean the same as docker-compose.yml."""

from pathlib import Path

import pytest
import yaml

from gateway_under_test import settings, switches
from loadtests import guard

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
OBJECTS = [each for file in FILES for each in yaml.safe_load_all(file.read_text())]
DEPLOYMENTS = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Deployment"}
PODS = {name: spec["template"]["spec"] for name, spec in DEPLOYMENTS.items()}
CONTAINERS = {name: pod["containers"][0] for name, pod in PODS.items()}
SERVICES = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "Service"}
ELSEWHERE = {"--host=http://toxiproxy:8667": "--host=http://gateway:8200"}
"""Where a command differs from Compose's: nothing stands between here."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_kubernetes_would_read_it(tool, file):
    said = tool("kubernetes-validate", "--strict", str(file))

    assert said.returncode == 0, said.stdout + said.stderr


def test_the_three_programs_are_there():
    assert {*DEPLOYMENTS} == {"mock", "gateway", "locust", "worker"}
    assert {*SERVICES} == {"mock", "gateway", "locust"}
    assert DEPLOYMENTS["mock"]["replicas"] == DEPLOYMENTS["locust"]["replicas"] == 1


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_it_runs_what_compose_runs(compose, name):
    wanted = [ELSEWHERE.get(word, word) for word in compose["services"][name]["command"]]

    assert CONTAINERS[name]["args"] == wanted
    assert CONTAINERS[name]["image"] == compose["services"][name]["image"]
    assert "command" not in CONTAINERS[name]  # which would take the place of an entry point


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_leads_to_a_port_that_its_program_opens(name):
    opened = {port["name"]: str(port["containerPort"]) for port in CONTAINERS[name]["ports"]}
    said = " ".join(CONTAINERS[name]["args"]).replace("=", " ").split()

    assert SERVICES[name]["selector"].items() <= DEPLOYMENTS[name]["template"]["metadata"]["labels"].items()
    for port in SERVICES[name]["ports"]:
        assert opened[port["targetPort"]] == str(port["port"])
        assert str(port["port"]) in said


def test_a_liveness_probe_never_asks_for_claude():
    assert CONTAINERS["gateway"]["livenessProbe"]["httpGet"]["path"] == "/livez"
    assert CONTAINERS["gateway"]["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_pod_has_more_rights_than_it_needs(name):
    pod, container = PODS[name], CONTAINERS[name]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in (
        (ROOT / "Dockerfile").read_text().splitlines()
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert {"cpu", "memory"} <= {*container["resources"]["requests"]}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_kubernetes_puts_no_names_of_its_own_among_the_settings(name):
    assert PODS[name]["enableServiceLinks"] is False


def test_the_gateway_knows_every_name_in_its_environment():
    (secret,) = [each for each in OBJECTS if each["kind"] == "Secret"]
    (source,) = CONTAINERS["gateway"]["envFrom"]
    environment = {each["name"]: each["value"] for each in CONTAINERS["gateway"]["env"]} | secret["stringData"]

    given = settings.from_environment(environment)
    settings.Settings(**given).require_keys()

    assert source == {"secretRef": {"name": secret["metadata"]["name"]}}
    assert settings.unknown(environment) == {}
    assert {*given} == {name.lower().removeprefix("gateway_") for name in environment}


def test_the_gateway_has_time_to_leave_the_service_and_to_drain():
    leaving = CONTAINERS["gateway"]["lifecycle"]["preStop"]["sleep"]["seconds"]
    longest = max(preset["drain"] for preset in switches.PRESETS.values())

    assert PODS["gateway"]["terminationGracePeriodSeconds"] >= leaving + longest + 5


@pytest.mark.parametrize("name", ["locust", "worker"])
def test_the_guard_lets_the_load_go_where_it_should(name):
    allowed = "--allow-remote" in CONTAINERS[name]["args"]
    (host,) = [word.partition("=")[2] for word in CONTAINERS["locust"]["args"] if word.startswith("--host=")]

    assert guard.check(host, allow_remote=allowed, i_will_pay=False) == host
