"""docker-compose.yml without an engine: its services, started by hand, are healthy, work together, and are watched."""

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[3] / "deploy"
PANELS = json.loads((DEPLOY / "grafana" / "dashboards" / "overload.json").read_text())["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel.get("targets", [])]
GROUPS = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
MANIFESTS = [each for file in (DEPLOY / "k8s").glob("*.yaml") for each in yaml.safe_load_all(file.read_text())]
METRIC = re.compile(r"\b(?:gateway|mockclaude)_[a-z_]+")
KEY = {"X-API-Key": "loadtest"}


def test_every_service_but_grafana_comes_up_healthy_and_stays_so(stack):
    assert {one.name for one in stack.running} == {*stack.services} - {"grafana"}
    assert [one.said() for one in stack.running if one.process.poll() is not None] == []


def test_a_question_goes_all_the_way_and_its_answer_comes_back(stack):
    whole = stack.ask("POST", "toxiproxy", "/chat", 8667, json={"message": "hello", "max_tokens": 5}, headers=KEY)
    streamed = stack.ask("POST", "nginx", "/chat/stream", json={"message": "hello", "max_tokens": 5}, headers=KEY)

    assert whole.json()["output_tokens"] == 5
    assert streamed.text.rstrip().endswith("data: [DONE]")
    assert stack.get("mock", "/_mock/stats")["completed"] >= 2
    assert stack.get("gateway", "/readyz")["redis"] == "ok"


def test_toxiproxy_can_cut_the_way_to_claude(stack):
    ask = {"json": {"message": "is anybody there?", "max_tokens": 5}, "headers": KEY}

    stack.ask("POST", "toxiproxy", "/proxies/claude", json={"enabled": False})
    cut_off = stack.ask("POST", "nginx", "/chat", **ask)
    stack.ask("POST", "toxiproxy", "/proxies/claude", json={"enabled": True})
    again = stack.ask("POST", "nginx", "/chat", **ask)

    assert (cut_off.status_code, again.status_code) == (503, 200)
    assert json.loads(cut_off.text)["error"]["type"] == "unreachable"


def test_locusts_workers_load_the_gateway_through_all_hops(stack):
    workers = stack.get("locust", "/stats/requests")["workers"]

    stack.ask("POST", "locust", "/swarm", data={"user_count": 4, "spawn_rate": 4})
    stack.until(lambda: stack.get("locust", "/stats/requests")["total_rps"] > 0)

    rows = {row["name"]: row for row in stack.get("locust", "/stats/requests")["stats"]}
    assert [worker["state"] for worker in workers] == ["ready", "ready"]
    assert {"/chat", "/chat/stream"} & {*rows}
    assert rows["Aggregated"]["num_failures"] == 0


def test_what_kubernetes_probes_answers(stack):
    for name, container in _containers().items():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            assert not asked or stack.ask("GET", name, asked["path"]).status_code == 200, (name, probe)


@pytest.fixture(scope="module")
def after_trouble(stack):
    """The stack after some load and most of what can go wrong: retries, a fallback, an open breaker, a hedge."""
    stack.ask("POST", "locust", "/swarm", data={"user_count": 6, "spawn_rate": 6})
    for fault in ({"name": "slow_first_byte", "seconds": 6}, {"name": "status", "code": 529}):
        stack.ask("POST", "mock", "/_mock/faults", json={**fault, "match": {"text": f"please {fault['name']}"}})
    with ThreadPoolExecutor(20) as callers:
        hedge_is_earned = (f"hello {n}" for n in range(20))
        list(callers.map(lambda text: _ask(stack, "/chat/stream", text, "claude-haiku-4-5"), hedge_is_earned))
        slow = callers.submit(_ask, stack, "/chat/stream", "please slow_first_byte", "claude-haiku-4-5")
        for _ in range(2):
            _ask(stack, "/chat", "the same question", "claude-haiku-4-5")
        refused = [callers.submit(_ask, stack, "/chat", f"please status {n}", "claude-sonnet-4-5") for n in range(15)]
        assert {answer.result().status_code for answer in refused} <= {200, 503}
        assert slow.result().status_code == 200
    yield stack
    stack.ask("DELETE", "mock", "/_mock/faults")


def _ask(stack, path, message, model):
    body = {"message": message, "model": model, "max_tokens": 20}
    return stack.ask("POST", "gateway", path, json=body, headers=KEY)


def test_every_metric_that_is_named_is_in_a_real_scrape(after_trouble):
    scraped = METRIC.findall(after_trouble.get("gateway", "/metrics") + after_trouble.get("mock", "/metrics"))
    named = METRIC.findall(" ".join([*(rule["expr"] for rule in RULES), *(target["expr"] for _, target in TARGETS)]))

    assert {*named} - {*scraped} == set()
    assert len({*named}) > 25


def test_every_query_of_the_dashboard_finds_something_with_the_labels_it_shows(after_trouble):
    silent = []

    def all_speak():
        silent.clear()
        found = ((title, target["expr"], _silence(after_trouble, target)) for title, target in TARGETS)
        silent.extend(each for each in found if each[-1])
        return not silent

    try:
        after_trouble.until(all_speak, seconds=25)
    except AssertionError:
        pytest.fail(json.dumps(silent, indent=2), pytrace=False)


def _silence(stack, target):
    """Why Grafana would show nothing, or nothing that says what it is."""
    query = target["expr"].replace("$__rate_interval", "1m")
    result = stack.get("prometheus", "/api/v1/query", query=query)["data"]["result"]
    labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
    if not result:
        return "no data"
    if not any(math.isfinite(float(series["value"][1])) for series in result):
        return "not a number"
    unnamed = [label for label in labels if any(not series["metric"].get(label) for series in result)]
    return f"no label {unnamed}" if unnamed else None


def test_every_rule_can_be_computed_and_every_recorded_figure_is_there(after_trouble):
    groups = after_trouble.get("prometheus", "/api/v1/rules")["data"]["groups"]
    loaded = [rule for group in groups for rule in group["rules"]]

    assert [rule for rule in loaded if rule["health"] != "ok"] == []
    assert len(loaded) == len(RULES)
    for name in (rule["record"] for rule in RULES if "record" in rule):
        assert after_trouble.get("prometheus", "/api/v1/query", query=name)["data"]["result"], name


def test_prometheus_reaches_all_it_should(after_trouble):
    targets = after_trouble.get("prometheus", "/api/v1/targets")["data"]["activeTargets"]

    assert {(one["labels"]["job"], one["health"]) for one in targets} == {("gateway", "up"), ("mock", "up")}


def _containers():
    pods = {one["metadata"]["name"]: one["spec"]["template"] for one in MANIFESTS if one["kind"] == "Deployment"}
    return {name: pod["spec"]["containers"][0] for name, pod in pods.items()}
