"""What watches a rehearsal: rules that fire when they should, and a dashboard that Grafana finds, with its data."""

import itertools
import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "overload.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"] for rule in group["rules"]]


def test_prometheus_would_read_its_configuration(tool):
    said = tool("promtool", "check", "config", "deploy/prometheus/prometheus.yml")

    assert said.returncode == 0, said.stdout + said.stderr


def test_each_alert_fires_when_it_should_and_in_good_times_none_does(tool):
    lint = tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", "deploy/prometheus/rules.yml")
    said = tool("promtool", "test", "rules", "tests/system/deploy/rules.yaml")

    assert (lint.returncode, said.returncode) == (0, 0), lint.stdout + said.stdout + said.stderr


def test_each_alert_and_each_recorded_figure_is_held_against_an_example():
    examples = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text())["tests"]
    tried = {one["alertname"] for example in examples for one in example.get("alert_rule_test", [])}
    looked_at = {one["expr"] for example in examples for one in example.get("promql_expr_test", [])}

    assert tried == {rule["alert"] for rule in RULES if "alert" in rule}
    assert {rule["record"] for rule in RULES if "record" in rule} - {"outcome:requests:rate1m"} <= looked_at


def test_grafana_finds_its_data_and_its_dashboard(compose):
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "mockclaude.yml").read_text())["providers"]
    grafana = compose["services"]["grafana"]
    places = dict(reversed(mount.split(":")[:2]) for mount in grafana["volumes"])
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    asked = {json.dumps(each["datasource"]) for panel in PANELS for each in (panel, *panel["targets"])}
    assert asked == {json.dumps({"type": source["type"], "uid": source["uid"]})}
    assert source["url"] == "http://prometheus:9090"
    assert provider["options"]["path"] == str(home.parent)
    assert (ROOT / places[str(home.parent)] / home.name).exists()
    assert places["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"


def test_no_two_panels_have_one_place_or_one_name():
    for one, other in itertools.combinations(DASHBOARD["panels"], 2):
        assert one["id"] != other["id"]
        assert one["title"] != other["title"]
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or above, (one["title"], other["title"])
