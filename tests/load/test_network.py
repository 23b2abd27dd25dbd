"""What a scenario may say of the network between its programs, and what is wrong with it otherwise."""

import math

import pytest

from loadtests.documents.section import Problem
from loadtests.errors import CannotRun, ScenarioError
from loadtests.experiment import network, scenario, toxics
from loadtests.experiment.network import Network
from loadtests.experiment.nginx import Nginx
from loadtests.experiment.toxics import Down, Entry, Harm, Latency, Slicer

SLOW = {"hop": "claude", "type": "latency", "latency": 50}
DOWN = {"hop": "caller", "type": "down"}


def test_nothing_lies_between_unless_something_is_said():
    assert network.parse({}) == Network()
    assert Network().programs == []


def test_a_network_is_its_proxies_its_toxics_and_redis():
    section = {
        "nginx": [{"gzip": True}, {}],
        "redis": True,
        "send_buffer": 65536,
        "toxics": [{"hop": "gateway", "type": "slicer", "average_size": 9}],
        "timeline": [{"at": 2.0, "for": 3, "toxics": [SLOW, DOWN]}],
    }

    found = network.parse(section)

    assert found.nginx == (Nginx(gzip=True), Nginx())
    assert found.entries == (
        Entry(0.0, math.inf, (Harm("gateway", Slicer(9)),)),
        Entry(2.0, 5.0, (Harm("claude", Latency(50)), Harm("caller", Down()))),
    )
    assert found.send_buffer == 65536
    assert found.hops == {"gateway", "claude", "caller"}
    assert found.programs == ["nginx", "toxiproxy", "redis"]


def test_one_nginx_needs_no_list():
    assert network.parse({"nginx": {"gzip": True}}).nginx == (Nginx(gzip=True),)
    assert network.parse({"nginx": {}}).nginx == (Nginx(),)
    assert network.parse({"nginx": None}).nginx == ()


def test_the_way_to_claude_may_have_an_nginx_of_its_own():
    found = network.parse({"egress": {"gzip": True}})

    assert (found.nginx, found.egress, found.programs) == ((), (Nginx(gzip=True),), ["nginx"])
    with pytest.raises(Problem, match="gzp: unknown key"):
        network.parse({"egress": {"gzp": True}})


def test_toxiproxy_can_be_wherever_there_are_two_ends():
    section = {"nginx": {}, "redis": True, "toxics": [SLOW]}

    assert network.parse({}).with_all_hops().hops == {"caller", "claude"}
    assert network.parse(section).with_all_hops().hops == {"caller", "gateway", "claude", "redis"}


def test_only_what_ends_is_a_trigger():
    found = network.parse({"toxics": [SLOW], "timeline": [{"at": 2, "for": 3, "toxics": [DOWN]}]})

    assert list(found.windows()) == [{"at": 2.0, "for": 3.0, "network": ["down at caller"]}]


@pytest.mark.parametrize(
    ("section", "where", "said"),
    [
        pytest.param({"ngnix": {}}, ("ngnix",), 'unknown key; did you mean "nginx"?', id="unknown key"),
        pytest.param({"redis": "yes"}, ("redis",), 'got "yes"', id="redis"),
        pytest.param(
            {"send_buffer": 9}, ("send_buffer",), "got 9, expected greater than or equal to 4096", id="buffer"
        ),
        pytest.param({"nginx": True}, ("nginx",), "got True, expected a mapping", id="nginx as a switch"),
        pytest.param({"nginx": [{}, {"gzp": True}]}, ("nginx", 1, "gzp"), 'did you mean "gzip"?', id="second nginx"),
        pytest.param({"toxics": SLOW}, ("toxics",), "expected a list of toxics", id="toxics as a mapping"),
        pytest.param(
            {"toxics": [{**SLOW, "hop": "gateway"}]}, ("toxics", 0, "hop"), "expected one of: caller, claude", id="hop"
        ),
        pytest.param({"toxics": [{**SLOW, "hop": "redis"}]}, ("toxics", 0, "hop"), 'no hop is called "redis"', id="no"),
        pytest.param({"timeline": {}}, ("timeline",), "expected a list of", id="timeline as a mapping"),
        pytest.param({"timeline": [3]}, ("timeline", 0), "got 3, expected a mapping", id="an entry"),
        pytest.param({"timeline": [{"toxics": [SLOW]}]}, ("timeline", 0), '"at" is missing', id="no time"),
        pytest.param({"timeline": [{"at": 1, "toxics": [SLOW]}]}, ("timeline", 0), '"for" is missing', id="no length"),
        pytest.param(
            {"timeline": [{"at": 1, "for": 0, "toxics": [SLOW]}]}, ("timeline", 0, "for"), "more than 0", id="for 0 s"
        ),
        pytest.param(
            {"timeline": [{"at": -1, "for": 1, "toxics": [SLOW]}]}, ("timeline", 0, "at"), "at least 0", id="before T0"
        ),
        pytest.param({"timeline": [{"at": 1, "for": 1}]}, ("timeline", 0, "toxics"), "got nothing", id="no toxics"),
        pytest.param({"timeline": [{"att": 1}]}, ("timeline", 0, "att"), 'did you mean "at"?', id="key of an entry"),
    ],
)
def test_a_bad_network_is_told_with_its_place(section: object, where: tuple[object, ...], said: str):
    with pytest.raises(Problem) as found:
        network.parse(section, ())

    assert found.value.loc == where
    assert said in found.value.message


@pytest.mark.parametrize(
    ("type", "fields", "told"),
    [
        ("latency", {"latency": 50, "jitter": 5}, "latency 50, jitter 5 at claude"),
        ("timeout", {}, "timeout at claude"),
        ("bandwidth", {"rate": 9, "stream": "upstream"}, "bandwidth, rate 9, stream upstream at claude"),
        ("slicer", {"average_size": 9, "toxicity": 0.5}, "slicer, average_size 9, toxicity 0.5 at claude"),
    ],
)
def test_a_toxic_is_told_in_a_few_words(type: str, fields: dict[str, object], told: str):
    (harm,) = toxics.parse([{"hop": "claude", "type": type, **fields}], ("claude",))

    assert toxics.told(harm) == told


NETWORK = "network: {nginx: {gzip: true}, timeline: [{phase: dip, toxics: [{hop: claude, type: down}]}]}\n"


def test_a_variant_may_have_a_network_of_its_own(write, text: str):
    own = "naive: {preset: naive, network: {nginx: {gzip: false}}}\n  bare: {network: {nginx: null, timeline: []}}"
    experiment, _ = scenario.load(write(text.replace("naive: {preset: naive}", own) + NETWORK))

    naive, bare, fixed = (experiment.of(name) for name in ("naive", "bare", "fixed"))

    assert naive.parsed_network().nginx == (Nginx(),)
    assert fixed.parsed_network().nginx == (Nginx(gzip=True),)
    assert fixed.parsed_network().entries == (Entry(6.0, 8.0, (Harm("claude", Down()),)),)
    assert bare.parsed_network() == Network()
    assert experiment.gateway_settings("naive") == {"preset": "naive"}
    assert (experiment.programs(), experiment.programs(["bare"])) == (["nginx", "toxiproxy"], [])


def test_what_the_network_does_for_a_while_is_a_trigger_as_what_the_mock_does(write, text: str):
    experiment, _ = scenario.load(write(text + NETWORK))

    assert experiment.triggers() == [
        {"at": 6.0, "for": 2.0, "capacity": {"slots": 1}},
        {"at": 6.0, "for": 2.0, "network": ["down at claude"]},
    ]


def test_a_network_cannot_be_had_on_virtual_time(write, text: str):
    experiment, _ = scenario.load(write(text + NETWORK))

    assert experiment.choose_clock(None) == "real"
    with pytest.raises(CannotRun, match="cannot run on virtual time: it needs nginx and toxiproxy"):
        experiment.choose_clock("virtual")


@pytest.mark.parametrize(
    ("wrong", "right", "line", "said"),
    [
        pytest.param("gzip: true", "gzp: true", 19, 'network.nginx.gzp: unknown key; did you mean "gzip"?', id="knob"),
        pytest.param("phase: dip, toxics", "phase: dop, toxics", 19, 'did you mean "dip"?', id="phase"),
        pytest.param("phase: dip, toxics", "phase: dip, at: 1, toxics", 19, "expected one or the other", id="times"),
        pytest.param("type: down", "type: dawn", 19, "network.timeline.0.toxics.0.type: no toxic", id="toxic"),
        pytest.param(
            "preset: naive", "network: {redis: 3}", 13, "variants.naive.network.redis: got 3", id="of a variant"
        ),
        pytest.param("preset: naive", "network: 3", 13, "variants.naive.network: got 3", id="no mapping"),
        pytest.param("preset: naive", "network: {timeline: [{phase: x}]}", 13, 'got "x"', id="phase of a variant"),
    ],
)
def test_what_is_wrong_with_a_network_is_named_with_its_line(write, text: str, wrong, right, line, said):
    source = text + NETWORK
    assert wrong in source
    path = write(source.replace(wrong, right, 1))

    with pytest.raises(ScenarioError) as raised:
        scenario.load(path)

    assert str(raised.value).startswith(f"{path}:{line}: ")
    assert said in str(raised.value)
