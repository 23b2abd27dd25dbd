"""A scenario is checked before anything starts, and says where it is wrong."""

from collections.abc import Callable

import pytest
import yaml

from loadtests.documents import document
from loadtests.errors import CannotRun, ScenarioError
from loadtests.experiment import scenario
from loadtests.judging import metrics


@pytest.mark.parametrize("name", scenario.names())
def test_every_scenario_that_comes_along_is_sound(name: str):
    experiment, _ = scenario.load(name)

    assert experiment.seconds > 0
    assert experiment.about.strip()


def test_phases_lie_on_the_clock_one_after_the_other(small: scenario.Scenario):
    assert [(span.name, span.start, span.end, span.judge) for span in small.spans()] == [
        ("warmup", 0, 2, False),
        ("before", 2, 6, True),
        ("dip", 6, 8, True),
        ("after", 8, 16, True),
    ]


def test_a_timeline_entry_of_a_phase_gets_its_time(small: scenario.Scenario):
    assert small.mock_config()["timeline"] == [{"at": 6.0, "for": 2.0, "capacity": {"slots": 1}}]
    assert small.mock["timeline"] == [{"phase": "dip", "capacity": {"slots": 1}}]


def test_a_variant_is_laid_on_the_gateway_section(write: Callable[[str], str], text: str):
    source = text + "gateway: {attempts: 2, backoff: {base: 1.0, cap: 3.0}}\n"
    experiment, _ = scenario.load(write(source), ["variants.naive.backoff.base=0.5"])

    assert experiment.gateway_settings("naive") == {
        "preset": "naive",
        "attempts": 2,
        "backoff": {"base": 0.5, "cap": 3.0},
    }


def test_a_variant_may_have_a_load_and_a_mock_of_its_own(write: Callable[[str], str], text: str):
    own = "naive: {preset: naive, load: {rate: 9}, mock: {capacity: {queue: unbounded}}}"
    experiment, _ = scenario.load(write(text.replace("naive: {preset: naive}", own)))

    naive, fixed = experiment.of("naive"), experiment.of("fixed")

    assert (naive.load.rate, naive.load.patience, fixed.load.rate) == (9, 5, 4)
    assert naive.mock_config()["capacity"] == {"slots": 3, "queue": "unbounded"}
    assert naive.mock_config()["timeline"] == fixed.mock_config()["timeline"]
    assert fixed.mock_config()["capacity"] == {"slots": 3, "queue": 10}
    assert experiment.gateway_settings("naive") == {"preset": "naive"}
    assert naive.of("naive") == naive
    assert len(experiment.arrivals(1, "naive")) == 9 * 16 - 1
    assert len(experiment.arrivals(1, "fixed")) == 4 * 16 - 1


def test_a_load_has_defaults_for_all_but_user_and_rate(write: Callable[[str], str], text: str):
    experiment, _ = scenario.load(write(text), ["load={user: stream, rate: 4, probe: {path: /health}}"])

    shown = yaml.safe_load(scenario.to_yaml(experiment))["load"]

    assert shown == {
        "user": "stream",
        "arrivals": "poisson",
        "rate": 4.0,
        "patience": 60.0,
        "turns": 1,
        "think": 0.0,
        "model": "claude-haiku-4-5",
        "max_tokens": 120,
        "prompt_tokens": 0,
        "prompts": 1,
        "system_tokens": 0,
        "repeat": 0.0,
        "malformed": 0.0,
        "deadline": False,
        "attempts": 1,
        "backoff": 0.5,
        "probe": {"path": "/health", "every": 0.5, "timeout": 1.0, "unhealthy_after": 3, "healthy_after": 1},
    }


def test_a_variant_may_replace_a_mix_and_do_without_a_probe(write: Callable[[str], str], text: str):
    mixed = "rate: 4, model: {claude-a: 0.5, claude-b: 0.5}, probe: {path: /health, every: 2}"
    own = "naive: {load: {model: claude-c, probe: null}}"
    source = text.replace("rate: 4", mixed).replace("naive: {preset: naive}", own)
    experiment, _ = scenario.load(write(source), ["variants.fixed.load.probe.timeout=3"])

    naive, fixed = experiment.of("naive").load, experiment.of("fixed").load

    assert (naive.models, naive.probe) == (["claude-c"], None)
    assert fixed.models == ["claude-a", "claude-b"]
    assert fixed.probe is not None and (fixed.probe.every, fixed.probe.timeout) == (2, 3)


def test_a_phase_may_have_a_rate_of_its_own(write: Callable[[str], str], text: str):
    experiment, _ = scenario.load(write(text), ["phases.dip.rate=10"])

    at = [arrival.at for arrival in experiment.arrivals(1, "naive")]

    counts = [sum(span.holds(each) for each in at) for span in experiment.spans()]
    assert counts == [7, 16, 20, 32]


@pytest.mark.parametrize(
    ("wrong", "right", "line", "said"),
    [
        pytest.param("rate: 4", "rat: 4", 3, 'load.rat: unknown key; did you mean "rate"?', id="unknown key"),
        pytest.param("rate: 4", "rate: fast", 3, 'load.rate: got "fast", expected a number above 0', id="no number"),
        pytest.param("rate: 4", 'rate: "4"', 3, 'load.rate: got "4", expected a number above 0', id="number in quotes"),
        pytest.param("rate: 4", "rate: -4", 3, "load.rate: got -4, expected a number above 0", id="bad number"),
        pytest.param("rate: 4", "rate: {start: 1}", 3, "load.rate: end: is missing", id="half a ramp"),
        pytest.param("rate: 4", "rate: {start: 0, end: 0}", 3, "expected requests", id="a ramp of nothing"),
        pytest.param(
            "rate: 4",
            "rate: {mean: 1, amplitude: 2, period: 9}",
            3,
            "expected at most the mean, 1",
            id="a wave below 0",
        ),
        pytest.param("rate: 4", "rate: {mean: 1, amplitud: 1, period: 9}", 3, 'mean "amplitude"?', id="a wave's typo"),
        pytest.param("name: dip,", "name: dip, rate: {start: -1, end: 2},", 7, "start: got -1", id="ramp below 0"),
        pytest.param("constant", "random", 3, 'load.arrivals: got "random", expected constant, poisson', id="manner"),
        pytest.param("constant", "{cv: 0}", 3, "load.arrivals: cv: got 0, expected greater", id="cv 0"),
        pytest.param("constant", "{trace: [1]}", 3, "got a rate and a trace, expected one of them", id="two paces"),
        pytest.param("constant, rate: 4", "{trace: [2, 1]}", 3, "got 1 after 2, expected moments in", id="order"),
        pytest.param("constant, rate: 4", "{trace: []}", 3, "expected at least one moment", id="empty trace"),
        pytest.param(
            "name: dip,", "name: dip, rate: 1000000,", 3, "got 2,000,056 requests in 16 s", id="too many in a phase"
        ),
        pytest.param("rate: 4", "rate: .inf", 3, "load.rate: got inf, expected a number above 0", id="infinite"),
        pytest.param("rate: 4, ", "", 3, "load.rate: is missing", id="missing field"),
        pytest.param("about: A", "abuot: A", 1, 'abuot: unknown key; did you mean "about"?', id="typo at the top"),
        pytest.param("{name: dip, seconds: 2}", "{name: dip}", 7, "phases.dip.seconds is missing", id="in a list"),
        pytest.param("name: dip", "name: after", 8, 'two phases are called "after"', id="a name twice"),
        pytest.param("phase: dip", "phase: dop", 11, 'got "dop"; did you mean "dip"?', id="unknown phase in timeline"),
        pytest.param("variant: naive", "variant: nave", 16, 'got "nave"; did you mean "naive"?', id="unknown variant"),
        pytest.param("phase: after", "phase: aftr", 16, 'got "aftr"; did you mean "after"?', id="unknown phase"),
        pytest.param("metric: goodput_ratio", "metric: goodness", 16, 'called "goodness"', id="unknown metric"),
        pytest.param("at_most: 0.5, ", "", 16, 'exactly one of "at_most"', id="no bound"),
        pytest.param("error_ratio < 0.01", "errors < 0.01", 18, 'called "errors"', id="unknown gate"),
        pytest.param(
            "user: chat", "user: chatter", 3, 'got "chatter", expected chat, stream, quick', id="unknown user"
        ),
        pytest.param("judge: false", "judge: 'false'", 5, "expected: a valid boolean", id="boolean in quotes"),
        pytest.param("rate: 4", "rate: 1e8", 3, 'got "1e8", expected a number', id="YAML's idea of 1e8 is text"),
        pytest.param("rate: 4", "rate: 1000000", 3, "expected at most 1,000,000", id="more than can be sent"),
        pytest.param("rate: 4", "rate: 4, model: gpt-4", 3, 'starts with "claude-"', id="no Claude"),
        pytest.param("load: {", "load: 3 #{", 3, "load: got 3, expected a mapping", id="no mapping"),
        pytest.param("{phase: dip,", "{phase: dip, at: 3,", 11, "expected one or the other", id="two times"),
        pytest.param("  naive:", "  dip:", 13, 'a variant and a phase are both called "dip"', id="ambiguous name"),
        pytest.param("  naive:", "  9x:", 13, "expected a name", id="bad name"),
        pytest.param("predicted: 0.0", "predicted: 0.9", 16, "not within its own bound, 0.5", id="contradiction"),
        pytest.param("metric: goodput_ratio", "metric: recovery_s", 16, "of a whole variant", id="phase of a variant"),
        pytest.param("gates:", "slo: {}\ngates:", 17, '"slo" is given twice', id="a key twice"),
        pytest.param(
            "preset: naive", "load: {rat: 3}", 13, 'naive.load.rat: unknown key; did you mean "rate"?', id="own"
        ),
        pytest.param("preset: naive", "load: {rate: 1000000}", 3, "expected at most 1,000,000", id="own rate"),
        pytest.param("preset: naive", "mock: 3", 13, "variants.naive.mock: got 3, expected a mapping", id="own mock"),
        pytest.param("preset: naive", "mock: {timeline: [{phase: dop}]}", 13, 'did you mean "dip"?', id="own timeline"),
        pytest.param(
            "name: dip,", "name: dip, rate: 0,", 7, "phases.dip.rate: got 0, expected a number", id="phase rate"
        ),
        pytest.param("rate: 4", "rate: [4", 3, "this is not YAML", id="no YAML"),
        pytest.param("rate: 4", "rate: 4, model: 3", 3, "load.model: got 3, expected a model that", id="model: 3"),
        pytest.param("rate: 4", "rate: 4, model: {gpt: 1}", 3, 'got "gpt", expected a model', id="no Claude in a mix"),
        pytest.param(
            "rate: 4", "rate: 4, model: {claude-a: 0.5, claude-b: 0.4}", 3, "shares that sum to 0.9", id="no whole"
        ),
        pytest.param("rate: 4", "rate: 4, model: {claude-a: 2}", 3, "got 2 for claude-a, expected a share", id="200 %"),
        pytest.param("rate: 4", "rate: 4, max_tokens: 0", 3, "max_tokens: got 0, expected a whole number", id="none"),
        pytest.param("rate: 4", "rate: 4, max_tokens: 9000", 3, "from 1 to 8096", id="more than can be asked for"),
        pytest.param("rate: 4", "rate: 4, max_tokens: 1.5", 3, "got 1.5, expected a whole", id="half a token"),
        pytest.param("rate: 4", "rate: 4, max_tokens: many", 3, "expected a number, {min, max} or", id="no amount"),
        pytest.param(
            "rate: 4", "rate: 4, max_tokens: {min: 9, max: 2}", 3, "expected at least the min", id="max < min"
        ),
        pytest.param("rate: 4", "rate: 4, max_tokens: {p50: 9, p95: 2}", 3, "at least the p50, 9", id="p95 < p50"),
        pytest.param("rate: 4", "rate: 4, max_tokens: {p50: 9}", 3, "load.max_tokens: p95: is missing", id="no p95"),
        pytest.param("rate: 4", "rate: 4, prompt_tokens: 3000", 3, "from 0 to 2850", id="a long prompt"),
        pytest.param(
            "user: chat",
            "user: health, prompt_tokens: 9",
            3,
            "prompt_tokens: got 9, expected a",
            id="health asks nothing",
        ),
        pytest.param("rate: 4", "rate: 4, turns: 3", 3, "user chat has no history to send; expected", id="turns"),
        pytest.param("rate: 4", "rate: 4, think: 3", 3, "got 3, but nobody asks again", id="think"),
        pytest.param("rate: 4", "rate: 4, users: 3, think: 3", 3, "but nobody asks again", id="shared users think"),
        pytest.param("rate: 4", "rate: 4, reads: 0", 3, "load.reads: got 0", id="reads nothing"),
        pytest.param(
            "user: chat", "user: {chat: 0.5, stream: 0.4}", 3, "load.user: got shares that sum to 0.9", id="half a mix"
        ),
        pytest.param(
            "user: chat", "user: {chat: 0.5, route: 0.5}, prompts: 3", 3, "user chat sends none", id="none of a mix"
        ),
        pytest.param(
            "user: chat", "user: {messages: 0.5, chat: 0.5}, turns: 3", 3, "user chat has no history", id="a mix talks"
        ),
        pytest.param("rate: 4", "users: 0", 3, "load.users: got 0", id="no users"),
        pytest.param("rate: 4", "rate: 4, leaves: {share: 1}", 3, 'exactly one of "waiting", "reading"', id="leaves"),
        pytest.param("rate: 4", "rate: 4, leaves: {reading: 1}", 3, "user chat gets all words at once", id="reading"),
        pytest.param("rate: 4", "rate: 4, leaves: {waiting: -1}", 3, "load.leaves.waiting: got -1", id="leaves before"),
        pytest.param("rate: 4", "rate: 4, priority: urgent", 3, "expected low, normal or high", id="priority"),
        pytest.param("rate: 4", "rate: 4, repeat: 1.5", 3, "load.repeat: got 1.5", id="repeat"),
        pytest.param("rate: 4", "rate: 4, malformed: -1", 3, "load.malformed: got -1", id="malformed"),
        pytest.param("rate: 4", "rate: 4, attempts: 0", 3, "load.attempts: got 0", id="attempts"),
        pytest.param("rate: 4", "rate: 4, backoff: -1", 3, "load.backoff: got -1", id="backoff"),
        pytest.param("rate: 4", "rate: 4, deadline: 3", 3, "load.deadline: got 3, expected: a valid bool", id="switch"),
        pytest.param("rate: 4", "rate: 4, system_tokens: 1.5", 3, "load.system_tokens: got 1.5", id="system tokens"),
        pytest.param("user: chat,", "user: batch, prompts: 101,", 3, "load.prompts: got 101", id="too many prompts"),
        pytest.param("rate: 4", "rate: 4, prompts: 3", 3, "user chat sends none; expected user batch", id="prompts"),
        pytest.param(
            "user: chat,", "user: summarize, malformed: 0.2,", 3, "summarize asks in words of its own", id="not refused"
        ),
        pytest.param("user: chat,", "user: health, system_tokens: 9,", 3, "user health sends none", id="no system"),
        pytest.param("rate: 4", "rate: 4, probe: /health", 3, "load.probe: got", id="probe as a path"),
        pytest.param("rate: 4", "rate: 4, probe: {}", 3, "load.probe.path is missing; every probe", id="no path"),
        pytest.param("rate: 4", "rate: 4, probe: {path: health}", 3, 'starts with "/"', id="path without a slash"),
        pytest.param("rate: 4", "rate: 4, probe: {path: /, evry: 1}", 3, 'did you mean "every"?', id="in a probe"),
        pytest.param("rate: 4", "rate: 4, probe: {path: /, every: 0}", 3, "load.probe.every: got 0", id="every 0 s"),
        pytest.param("rate: 4", "rate: 4, probe: {path: /, timeout: 0}", 3, "load.probe.timeout: got 0", id="timeout"),
        pytest.param(
            "rate: 4", "rate: 4, probe: {path: /, unhealthy_after: 0}", 3, "probe.unhealthy_after: got 0", id="after 0"
        ),
        pytest.param("preset: naive", "load: {prompts: 2}", 13, "variants.naive.load.prompts: got 2", id="own prompts"),
    ],
)
def test_what_is_wrong_is_named_with_file_line_and_what_was_expected(write, text, wrong, right, line, said):
    assert wrong in text
    path = write(text.replace(wrong, right, 1))

    with pytest.raises(ScenarioError) as raised:
        scenario.load(path)

    message = str(raised.value)
    assert message.startswith(f"{path}:{line}: ")
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text"], ids=["empty", "a list", "text"])
def test_what_is_no_mapping_is_refused(write: Callable[[str], str], content: str):
    with pytest.raises(ScenarioError, match="expected a mapping"):
        scenario.load(write(content))


def test_a_control_character_is_no_yaml(write: Callable[[str], str]):
    with pytest.raises(CannotRun, match="not YAML"):
        scenario.load(write("about: a\x07b\n"))


@pytest.mark.parametrize("section", ["timeline", "capacity", "latency"])
def test_a_section_left_empty_is_none(write: Callable[[str], str], text: str, section: str):
    experiment, _ = scenario.load(write(text), [f"mock.{section}="])

    assert section not in experiment.mock_config()
    metrics.series(metrics.Observed([], [], []), experiment)
    assert metrics.recovery(metrics.Observed([1.0], [], []), experiment) is None or section != "timeline"


def test_an_unknown_name_is_met_with_a_guess():
    with pytest.raises(CannotRun, match='did you mean "retry_storm"'):
        scenario.load("retrystorm")


def test_a_file_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(CannotRun, match="no such file"):
        scenario.load("nowhere/x.yaml")


def test_no_judged_phase_is_an_error(write: Callable[[str], str], text: str):
    assignments = [f"phases.{name}.judge=false" for name in ("before", "dip", "after")]

    with pytest.raises(ScenarioError, match="no phase is judged"):
        scenario.load(write(text), assignments)


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("load.rate=9", ("load", "rate"), 9),
        ("phases.dip.seconds=3", ("phases", 2, "seconds"), 3),
        ("phases.0.judge=true", ("phases", 0, "judge"), True),
        ("mock.latency.ttft.p50=2", ("mock", "latency", "ttft", "p50"), 2),
        ("gates=[]", ("gates",), []),
        ("about=a=b", ("about",), "a=b"),
    ],
)
def test_set_reaches_any_key_and_makes_the_sections_on_its_way(write, text, assignment, path, value):
    source = document.read(scenario.find(write(text)))

    source.set(assignment)

    found = source.data
    for step in path:
        found = found[step]
    assert found == value


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("load.rate", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("phases.dop.seconds=3", 'did you mean "dip"?'),
        ("gates.7=x", "0 to 0"),
        ("load.rate=[", "not a YAML value"),
        ("load.rat=3", 'did you mean "rate"?'),
        ("about.x=3", "nothing under"),
        ("variants.nave.attempts=3", 'did you mean "naive"?'),
        ("load={rat: 3}", 'did you mean "rate"?'),
    ],
)
def test_a_bad_set_is_named_as_it_was_typed(write, text, assignment, said):
    with pytest.raises(CannotRun) as raised:
        scenario.load(write(text), [assignment])

    assert f"--set {assignment}" in str(raised.value)
    assert said in str(raised.value)


def test_the_resolved_file_reads_back_as_the_same_scenario(small: scenario.Scenario, write: Callable[[str], str]):
    again, _ = scenario.load(write(scenario.to_yaml(small)))

    assert again == small


def test_gates_of_the_command_line_join_those_of_the_scenario(write, text: str):
    loaded, _ = scenario.load(write(text), more_gates=["after.goodput_ratio > 0.9"])
    bare, _ = scenario.load(write(text.replace("gates:\n  - error_ratio < 0.01\n", "")), more_gates=["ttft.p95 < 1"])

    assert loaded.gates == ["error_ratio < 0.01", "after.goodput_ratio > 0.9"]
    assert bare.gates == ["ttft.p95 < 1"]


def test_a_bad_gate_of_the_command_line_says_where_it_came_from(write, text: str):
    with pytest.raises(ScenarioError, match=r'--gate: gates.1: got "after.goodput > 0,9"'):
        scenario.load(write(text), more_gates=["after.goodput > 0,9"])
