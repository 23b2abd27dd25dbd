"""Whole rehearsals on virtual time, in this process: what a load asks for is what the gateway and Claude get."""

import gc
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

import mockclaude.journal
from loadtests import cli, runner, virtual
from loadtests.errors import CannotRun
from loadtests.experiment import scenario
from loadtests.programs import hops
from loadtests.protocol import client
from loadtests.record import rundir
from loadtests.record.rundir import RunDir
from loadtests.sample import Row

FAST = "latency: {ttft: {distribution: constant, value: 0.2}, tokens_per_second: 100}"


class Rehearsed(NamedTuple):
    run: RunDir
    summary: Row

    @property
    def figures(self) -> Row:
        """Of the only variant's only phase."""
        found: Row = self.summary["variants"]["default"]["phases"]["all"]
        return found


Rehearse = Callable[..., Rehearsed]


@pytest.fixture
def rehearse(tmp_path: Path) -> Rehearse:
    """Run a load for some seconds, on a mock and a gateway that are given as YAML, and judge it."""

    def run(load: str, *, gateway: str = "preset: production", mock: str = FAST, seconds: float = 10) -> Rehearsed:
        path = tmp_path / "s.yaml"
        pace = "" if "rate" in load else "rate: 5, "
        path.write_text(
            f"about: x\nload: {{arrivals: constant, {pace}{load}}}\nphases: [{{name: all, seconds: {seconds}}}]\n"
            f"mock: {{{mock}}}\ngateway: {{{gateway}}}\n"
        )
        experiment, _ = scenario.load(str(path))
        folder = runner.prepare("s", experiment, ["default"], 1, runner.unused(tmp_path / "run"), [])
        virtual.rehearse(folder, experiment, "default", 1)
        return Rehearsed(folder, runner.judge(folder))

    return run


@pytest.mark.parametrize("user", client.KINDS)
def test_what_every_user_asks_is_answered(rehearse: Rehearse, user: str):
    many = ", prompts: 3" if user in ("batch", "fanout") else ""

    found = rehearse(f"user: {user}{many}")

    assert found.figures["outcomes"] == {"complete": 49}
    assert (found.summary["verdict"], found.summary["findings"]) == ("pass", [])
    if user != "health":
        attempts = {"batch": 3, "fanout": 3, "route": 2}.get(user, 1)
        assert found.figures["amplification"] == attempts
        assert all(sample.output_tokens > 0 for sample in found.run.samples_of("default"))
    assert (found.figures["ttft"]["n"] > 0) == (user in ("stream", "quick", "messages_stream"))


@pytest.mark.parametrize("user", ["chat", "stream", "quick", "batch", "fanout", "route", "messages", "messages_stream"])
def test_claude_refuses_what_is_malformed_and_the_gateway_lets_it_pass(rehearse: Rehearse, user: str):
    found = rehearse(f"user: {user}, malformed: 0.3")

    statuses = {row["request_id"]: row["status"] for row in found.run.journal_of("default")}
    rejected = {sample.request_id for sample in found.run.samples_of("default") if sample.outcome == "rejected"}
    assert found.figures["outcomes"] == {"complete": 49 - len(rejected), "rejected": len(rejected)}
    assert 8 < len(rejected) < 22
    assert {request_id for request_id, status in statuses.items() if status == 400} == rejected
    assert found.figures["refused_ratio"] == pytest.approx(len(rejected) / found.figures["attempts"], abs=1e-6)


def test_retries_of_the_sdk_the_gateway_and_the_caller_multiply(rehearse: Rehearse):
    layers = "preset: naive, attempts: 3, sdk_retries: 1, backoff: {base: 0.05}"
    broken = f"{FAST}, faults: [{{name: status, code: 529}}]"

    found = rehearse("user: chat, attempts: 2, backoff: 0.1", gateway=layers, mock=broken, seconds=4)

    assert found.figures["amplification"] == 2 * 3 * 2
    assert found.figures["outcomes"] == {"overloaded": 19}
    assert {sample.tries for sample in found.run.samples_of("default")} == {2}
    assert found.summary["findings"] == []  # the gateway's log counts what the SDK sent


def test_the_sdks_own_jitter_is_the_same_in_every_rehearsal(rehearse: Rehearse):
    """It takes it from the chance of the whole process, which is left as it was."""
    broken = f"{FAST}, faults: [{{name: status, code: 529, share: 0.5}}]"
    found = []

    for seed in (1, 2):
        random.seed(seed)
        before = random.getstate()
        found.append(rehearse("user: chat", gateway="preset: naive, sdk_retries: 2", mock=broken))
        assert random.getstate() == before

    assert found[0].run.samples.read_bytes() == found[1].run.samples.read_bytes()
    assert found[0].figures["attempts"] > 49


def test_a_conversation_sends_all_that_was_said_before(rehearse: Rehearse):
    found = rehearse("user: messages, turns: 4, think: 1, max_tokens: 100", gateway="preset: naive", seconds=20)

    by_turn: dict[str, set[int]] = {}
    for sample in found.run.samples_of("default"):
        turn = sample.request_id.split("-")[3:] or ["1"]
        by_turn.setdefault(turn[0], set()).add(sample.input_tokens // 100)
    assert by_turn == {"1": {0}, "2": {1}, "3": {2}, "4": {3}}  # an answer of 100 tokens and a question of 20 more each
    assert found.figures["started"] == found.figures["offered"] > 300
    assert (found.summary["verdict"], found.summary["findings"]) == ("pass", [])


def test_a_closed_loop_offers_what_its_users_have_time_for(rehearse: Rehearse):
    """The interactive response time law: X = N/(R + Z) = 6/(0.2 + 40/100 + 0.4)."""
    found = rehearse("user: chat, users: 6, think: 0.4, max_tokens: 40, rate: null", seconds=60)

    assert found.figures["throughput"] == pytest.approx(6, rel=0.02)
    assert found.figures["started"] == found.figures["offered"] == pytest.approx(360, abs=6)
    assert (found.summary["verdict"], found.summary["findings"]) == ("pass", [])


def test_users_who_share_a_schedule_fall_behind_it_and_the_run_is_valid(rehearse: Rehearse):
    found = rehearse("user: chat, users: 2, max_tokens: 80, patience: 9", seconds=10)

    assert found.figures["service_time"]["max"] == pytest.approx(1.0, abs=0.01)
    assert found.figures["dispatch_lag"]["max"] > 5
    assert found.figures["e2e"]["p99"] > 6
    assert found.summary["verdict"] == "pass"


def test_who_leaves_is_no_error_and_claude_stops(rehearse: Rehearse):
    found = rehearse("user: stream, leaves: {share: 0.5, reading: 0.5}, max_tokens: 200", seconds=20)

    outcomes = found.figures["outcomes"]
    assert set(outcomes) == {"complete", "left"}
    assert outcomes["left"] == pytest.approx(50, abs=15)
    assert found.figures["error_ratio"] == 0
    left = [row for row in found.run.journal_of("default") if row["outcome"] == "left"]
    assert len(left) == outcomes["left"]
    assert all(45 <= row["output_tokens"] <= 60 for row in left)


def test_a_question_asked_again_is_answered_from_the_gateways_cache(rehearse: Rehearse):
    found = rehearse("user: chat, repeat: 0.8", seconds=20)

    assert found.figures["outcomes"] == {"complete": 99}
    assert found.figures["attempts"] < 50
    assert (found.summary["verdict"], found.summary["findings"]) == ("pass", [])


@pytest.mark.parametrize(("switch", "share"), [("true", 0.8), ("false", 0.0)])
def test_a_system_prompt_can_be_kept_by_claude(rehearse: Rehearse, switch: str, share: float):
    gateway = f"preset: naive, prompt_cache: {switch}"

    found = rehearse("user: chat, system_tokens: 6000", gateway=gateway)

    figures = found.figures
    assert figures["input_tokens"] == pytest.approx(49 * 6030, rel=0.01)
    assert figures["cached_input_tokens"] / figures["input_tokens"] >= share
    assert (figures["cached_input_tokens"] > 0) == (share > 0)


def test_the_patience_that_is_left_reaches_the_gateway_and_claude(rehearse: Rehearse):
    slow = "latency: {ttft: {distribution: constant, value: 9}}"

    found = rehearse("user: chat, patience: 3, deadline: true", mock=slow)

    assert found.figures["outcomes"].get("failed", 0) == found.figures["started"]  # its own 504, in time
    assert all(sample.status == 504 for sample in found.run.samples_of("default"))


def test_a_deep_check_takes_a_gateway_without_faults_out_of_rotation(rehearse: Rehearse):
    """Claude is slow, and every answer comes; but not within the second that a probe waits."""
    slow = "latency: {ttft: {distribution: constant, value: 1.5}, tokens_per_second: 100}"
    probe = "probe: {path: /health, every: 0.5, timeout: 1, unhealthy_after: 2}"
    calm = rehearse("user: chat", gateway="preset: naive", mock=slow)

    found = rehearse(f"user: chat, {probe}", gateway="preset: naive", mock=slow)

    assert calm.figures["outcomes"] == {"complete": 49}
    assert found.figures["outcomes"]["refused"] > 20
    events = [event for event in found.run.events_of("default") if event["event"] == "probe"]
    assert [event["state"] for event in events] == ["unhealthy"]
    assert found.figures["amplification"] == pytest.approx(found.figures["completed"] / 49, abs=1e-6)
    assert found.summary["findings"] == []


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ("calls: sync", "calls: sync blocks a real thread; use --clock real"),
        ("calls: threadpool", "calls: threadpool blocks a real thread; use --clock real"),
        ("client: per_request", "client: per_request opens real sockets; use --clock real"),
        ("http_parser: h11", "http_parser: h11 reads from real sockets; use --clock real"),
        ("rate_limit: 60/minute", "rate_limit: slowapi counts by the wall clock; use --clock real"),
    ],
)
def test_what_only_the_real_clock_can_show_is_refused_before_anything_starts(write, text, tmp_path, gateway, said):
    path = write(text.replace("fixed: {preset: production}", f"fixed: {{preset: production, {gateway}}}"))
    folder = tmp_path / "run"

    with pytest.raises(CannotRun, match=f"fixed: {said}"):
        virtual.check(scenario.load(path)[0], "fixed")
    ended = CliRunner().invoke(cli.app, ["run", path, "--clock", "virtual", "--out", str(folder)])

    assert isinstance(ended.exception, CannotRun) and said in str(ended.exception)
    assert not folder.exists()
    virtual.check(scenario.load(path)[0], "naive")


@pytest.mark.parametrize(
    ("gateway", "drain"),
    [("preset: production", 1.0), ("preset: naive", 1.0), ("preset: naive, drain: 3", 3.0)],
)
def test_a_gateway_to_be_stopped_drains_for_a_second_and_has_no_limit_of_the_wall_clock(write, text, gateway, drain):
    experiment = scenario.load(write(text.replace("{preset: naive}", f"{{{gateway}}}")))[0]

    chosen = virtual.switches(experiment, "naive")
    off = virtual.switches(scenario.load(write(text.replace("preset: naive", "rate_limit: none")))[0], "naive")

    assert (chosen.drain, chosen.rate_limit, off.rate_limit) == (drain, None, None)


def test_on_real_sockets_it_drains_for_a_second_too():
    unsaid, said = hops.environment({}, "http://x"), hops.environment({"drain": 2}, "http://x")

    assert (unsaid["GATEWAY_DRAIN"], said["GATEWAY_DRAIN"]) == ("1.0", "2")


def test_a_journal_on_virtual_time_knows_no_connections(rehearse: Rehearse):
    found = rehearse("user: chat", seconds=2)

    assert {row["peer"] for row in rundir.rows(found.run.journal)} == {0}
    assert found.figures["connections"] is None
    assert json.dumps(found.summary)


def test_a_mix_of_users_is_asked_each_in_its_way(rehearse: Rehearse):
    found = rehearse("user: {chat: 0.3, stream: 0.3, batch: 0.2, messages_stream: 0.2}, prompts: 2", seconds=10)

    asked = {sample.request_id: sample for sample in found.run.samples_of("default")}
    attempts = Counter(row["request_id"] for row in found.run.journal_of("default"))
    kinds = Counter((attempts[name], sample.first_delta is not None) for name, sample in asked.items())
    assert found.figures["outcomes"] == {"complete": 49}
    assert set(kinds) == {(1, False), (1, True), (2, False)}
    assert (found.summary["verdict"], found.summary["findings"]) == ("pass", [])


def test_a_rehearsal_that_is_over_is_forgotten(rehearse: Rehearse):
    """A map is thousands of them in one process."""

    def journals() -> set[int]:
        gc.collect()
        return {id(found) for found in gc.get_objects() if isinstance(found, mockclaude.journal.Journal)}

    before = journals()
    rehearse("user: chat", seconds=2)

    assert journals() <= before
