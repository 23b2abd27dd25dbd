"""docker-compose.yml as it is written: what a schema, the programs' own settings and the other files say of it."""

import json
import re
from pathlib import Path

import pytest
import yaml

from gateway_under_test import settings, switches
from loadtests import guard
from loadtests.experiment import nginx

ROOT = Path(__file__).parents[3]
OURS = {"mock", "gateway", "locust", "worker"}
KNOBS = {
    "proxy_http_version": "1.1",
    "keepalive": 32,
    "proxy_buffering": False,
    "proxy_read_timeout": 600,
    "client_max_body_size": 32 << 20,
    "max_fails": 0,
}
"""As a stream wants it: nothing held back, silence for ten minutes, Claude's 32 MiB, connections kept."""


def test_compose_would_read_it(tool):
    said = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")

    assert said.returncode == 0, said.stdout + said.stderr


def test_all_services_are_there_and_only_who_watches_is_optional(compose):
    optional = {name for name, one in compose["services"].items() if one.get("profiles") == ["observability"]}

    assert optional == {"prometheus", "grafana"}
    assert {*compose["services"]} == OURS | optional | {"nginx", "toxiproxy", "redis"}


def test_every_image_is_pinned_and_our_three_programs_share_one(compose):
    images = {name: one["image"] for name, one in compose["services"].items()}

    assert {images[name] for name in OURS} == {"mockclaude:local"}
    assert {compose["services"][name]["build"] for name in OURS} == {"."}
    for name in {*images} - OURS:
        assert re.fullmatch(r"[a-z./]+:v?\d+\.\d+\.\d+(-alpine)?", images[name]), name


def test_every_port_is_open_to_this_machine_only_and_can_be_moved():
    written = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    published = [port for one in written["services"].values() for port in one.get("ports", [])]

    assert len(published) == 8
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+_PORT:-(\d+)\}:\1", port), port


def test_no_service_has_more_rights_than_it_needs(compose):
    for name, one in compose["services"].items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["read_only"] or name == "grafana", name
        # the images of the two that watch say themselves who runs them
        assert one.get("user", "root") not in ("root", "0", "0:0") or one.get("profiles"), name


def test_whoever_waits_for_a_service_waits_until_it_is_healthy(compose):
    services = compose["services"]

    for name, one in services.items():
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, (name, other)
            assert services[other]["healthcheck"]["test"][0] == "CMD", (name, other)
    assert {name for name, one in services.items() if "healthcheck" not in one} == {"worker"}  # it listens nowhere


def test_every_service_that_is_spoken_to_has_been_waited_for(compose):
    services = compose["services"]

    for name, one in services.items():
        mounted = [ROOT / mount.split(":")[0] for mount in one.get("volumes", []) if mount.startswith("./")]
        files = [path for mount in mounted for path in (mount, *mount.rglob("*")) if path.is_file()]
        text = " ".join(
            [json.dumps([one.get("command"), one.get("environment")]), *(path.read_text() for path in files)]
        )
        addresses = re.findall(rf"\b({'|'.join(services)}):\d|-host=({'|'.join(services)})\b", text)
        spoken_to = {either or other for either, other in addresses}
        # Toxiproxy and Prometheus look for a name each time anew, and so need not wait
        if name not in ("toxiproxy", "prometheus"):
            assert spoken_to <= _all_that_must_be_healthy(services, name), name


def test_the_gateway_has_time_to_drain(compose):
    gateway = compose["services"]["gateway"]
    longest = max(preset["drain"] for preset in switches.PRESETS.values())

    assert float(gateway["stop_grace_period"].removesuffix("s")) >= longest + 5


def test_the_gateway_knows_every_name_in_its_environment(compose):
    environment = compose["services"]["gateway"]["environment"]

    given = settings.from_environment(environment)
    settings.Settings(**given).require_keys()

    assert settings.unknown(environment) == {}
    assert {*given} == {name.lower().removeprefix("gateway_") for name in {*environment} - {"NO_PROXY"}}


@pytest.mark.parametrize("name", ["locust", "worker"])
def test_the_guard_lets_the_load_go_where_it_should(compose, name):
    host = _option(compose["services"]["locust"]["command"], "--host")
    allowed = "--allow-remote" in compose["services"][name]["command"]

    assert guard.check(host, allow_remote=allowed, i_will_pay=False) == host


def test_locusts_key_is_one_that_the_gateway_takes(compose):
    key = _option(compose["services"]["locust"]["command"], "--api-key")

    assert key == compose["services"]["gateway"]["environment"]["VALID_API_KEYS"]


def test_nginx_has_what_the_template_makes_of_these_knobs(tmp_path):
    folder = Path("/tmp")
    rendered = nginx.render(nginx.parse(KNOBS), listen="0.0.0.0:8080", upstreams=["gateway:8200"], folder=folder)
    wanted = rendered.replace(f'"{folder}/access.log"', "/dev/stdout").replace(f'"{folder}/error.log"', "stderr")
    anew = tmp_path / "compose.conf"
    anew.write_text(wanted)

    assert (ROOT / "deploy" / "nginx" / "compose.conf").read_text() == wanted, f"cp {anew} deploy/nginx/"


def test_the_hops_lead_to_ports_that_somebody_listens_on(compose):
    services = compose["services"]
    hops = json.loads((ROOT / "deploy" / "toxiproxy" / "toxiproxy.json").read_text())
    listening = json.dumps([services["toxiproxy"].get("ports"), services["toxiproxy"].get("expose")])

    assert {hop["name"] for hop in hops} == {"caller", "claude"}
    for hop in hops:
        name, _, port = hop["upstream"].partition(":")
        assert any(each.endswith(f":{port}") for each in services[name]["ports"]), hop
        assert hop["listen"].rpartition(":")[2] in listening, hop


def test_what_is_mounted_is_there(compose):
    for name, one in compose["services"].items():
        for source in (mount.split(":")[0] for mount in one.get("volumes", [])):
            known = (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"]
            assert known, (name, source)


def _option(command, name):
    return next(word.partition("=")[2] for word in command if word.startswith(f"{name}="))


def _all_that_must_be_healthy(services, name):
    found = {*services[name].get("depends_on", {})}
    return found.union(*(_all_that_must_be_healthy(services, other) for other in found))
