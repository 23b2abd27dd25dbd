"""Any gateway as the target: ours behind nginx, a proxy that no file of this project knows, a team's own app."""

import os
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from loadtests.experiment import nginx, target
from loadtests.programs import chaos, doctor, stack
from loadtests.programs.chaos import Toxiproxy
from loadtests.programs.doctor import Here
from loadtests.programs.stack import Program
from loadtests.record import rundir

SHORT = ["--set", "phases.steady.seconds=4", "--set", "phases.warmup.seconds=1"]

PROXY = """
    import os, urllib.request, urllib.error
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import sys

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.headers["authorization"] == "Bearer theirs"
            kept = {"x-api-key": "proxy", "anthropic-version": self.headers["anthropic-version"]}
            for tried in range(3):
                try:
                    url = os.environ["ANTHROPIC_BASE_URL"] + self.path
                    answer = urllib.request.urlopen(urllib.request.Request(url, body, kept))
                    break
                except urllib.error.HTTPError as error:
                    answer = error
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            while data := answer.read1():
                self.wfile.write(b"%x\\r\\n%b\\r\\n" % (len(data), data))
            self.wfile.write(b"0\\r\\n\\r\\n")

    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Proxy).serve_forever()
"""

APP = """
    import json, os
    import anthropic
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, StreamingResponse
    from starlette.routing import Route

    claude = anthropic.AsyncAnthropic(max_retries=0)

    def event(name, **data):
        return f"event: {name}\\ndata: {json.dumps(data)}\\n\\n"

    async def ask(request):
        asked = await request.json()
        question = {"messages": [{"role": "user", "content": asked["question"]}], "max_tokens": asked["limit"]}

        async def answer():
            try:
                async with claude.messages.stream(model="claude-haiku-4-5", **question) as stream:
                    async for text in stream.text_stream:
                        yield event("token", delta={"text": text})
                    used = (await stream.get_final_message()).usage
                yield event("end", usage={"prompt": used.input_tokens, "completion": used.output_tokens})
            except anthropic.APIStatusError as error:
                yield event("failed", reason="busy" if error.status_code == 529 else "broken")

        return StreamingResponse(answer(), media_type="text/event-stream")

    async def healthy(request):
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/api/ask", ask, methods=["POST"]), Route("/healthz", healthy)])
"""


def written(folder: Path, example: str, **changes: object) -> Path:
    """An example that comes along, with what is other on this machine."""
    data = yaml.safe_load(target.find(example).read_text())
    path = folder / f"{example}.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in {**data, **changes}.items() if value is not None}))
    return path


def program(folder: Path, name: str, source: str) -> None:
    (folder / name).write_text(textwrap.dedent(source))


@pytest.fixture
def proxy(tmp_path: Path) -> Path:
    """The target file of a proxy with retries of its own, which hands no header on but hands the body on as it is."""
    program(tmp_path, "proxy.py", PROXY)
    start = f"{sys.executable} proxy.py {{port}}"
    return written(tmp_path, "pass_through", url="http://127.0.0.1:{port}", mock=None, start=start)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    program(tmp_path, "app.py", APP)
    return written(tmp_path, "own_endpoint", start=f"{sys.executable} -m uvicorn app:app --port {{port}}")


@pytest.fixture
def behind_nginx(tmp_path: Path) -> Iterator[Path]:
    """Our gateway behind an nginx that compresses streams, all of it run by somebody else."""
    mock, gateway, proxy = (Program(name, tmp_path / f"{name}.log") for name in ("mock", "gateway", "nginx"))
    mock.start(["mockclaude", "serve"], {})
    keys = {"ANTHROPIC_BASE_URL": mock.url, "ANTHROPIC_API_KEY": "k", "VALID_API_KEYS": "loadtest"}
    gateway.start(["gateway_under_test"], {**keys, "GATEWAY_SSE_HEADERS": "false"})
    knobs = nginx.parse({"gzip": True, "proxy_http_version": "1.1"})
    path = doctor.find(doctor.NGINX, Here(os.environ))
    assert path is not None, "nginx is not here; type: make setup-network"

    def command(port: int) -> list[str]:
        configuration = tmp_path / "nginx" / "nginx.conf"
        configuration.parent.mkdir()
        at = {"listen": f"127.0.0.1:{port}", "upstreams": [gateway.address], "folder": configuration.parent}
        configuration.write_text(nginx.render(knobs, **at))
        return nginx.command(str(path), configuration)

    try:
        mock.wait_until_healthy("/_mock/health")
        gateway.wait_until_healthy("/readyz")
        proxy.start_other(command)
        yield written(tmp_path, "behind_nginx", url=proxy.url, mock=mock.url)
    finally:
        stack.stop(proxy, gateway, mock)


def test_our_gateway_behind_an_nginx_that_compresses_is_found_to_hold_its_streams(loadtests, behind_nginx: Path):
    command = loadtests("run", "smoke", "--target", str(behind_nginx), "--out", "run", *SHORT)

    assert command.end(60) == 0, command.output()
    summary = command.summary()
    steady = summary["variants"]["target"]["phases"]["steady"]
    assert (steady["amplification"], steady["outcomes"]) == (1, {"complete": steady["started"]})
    assert steady["held_ratio"] > 0.9
    assert steady["added_lag"]["p50"] > 0.1
    assert [finding for finding in summary["findings"] if finding.endswith("held where the stream is compressed")]


def test_a_proxy_that_no_file_knows_is_driven_with_true_outcomes_and_its_retries_counted(loadtests, proxy: Path):
    failing = ["--set", "mock={faults: [{name: status, code: 529, share: 0.4}]}"]
    gates = ["--gate", "error_ratio < 0.5", "--gate", "gateway_lag.max < 1", "--set", "gates=[]"]
    key = {"GATEWAY_KEY": "theirs"}

    command = loadtests("run", "smoke", "--target", str(proxy), "--out", "run", *SHORT, *failing, *gates, env=key)

    assert command.end(60) == 0, command.output()
    summary = command.summary()
    steady = summary["variants"]["target"]["phases"]["steady"]
    journal = [row for row in rundir.rows(command.run / "journal.jsonl") if row["status"] == 529]
    assert 1.2 < steady["amplification"] < 2.2
    assert set(steady["outcomes"]) <= {"complete", "overloaded"} and steady["outcomes"]["complete"] > 10
    assert journal and all(row["request_id"].startswith("target-") for row in journal)
    assert steady["added_lag"]["p50"] < 0.05
    assert not [finding for finding in summary["findings"] if "attempt" in finding], summary["findings"]
    lag = next(row for row in summary["gates"] if row["metric"] == "gateway_lag.max")
    assert (lag["status"], lag["reason"]) == ("skipped", "told by our own gateway alone")
    assert "theirs" not in "".join(path.read_text() for path in command.run.rglob("*.*") if path.suffix != ".log")


def test_a_teams_own_endpoint_that_hands_no_id_on_is_counted_by_time(loadtests, app: Path):
    failing = ["--set", "mock={faults: [{name: cut, after: 3, share: 0.2}, {name: status, code: 529, share: 0.2}]}"]

    command = loadtests(
        "run", "smoke", "--target", str(app), "--out", "run", *SHORT, *failing, "--set", "gates=[ttft.p95 < 1.5]"
    )

    assert command.end(60) == 0, command.output()
    summary = command.summary()
    steady = summary["variants"]["target"]["phases"]["steady"]
    assert set(steady["outcomes"]) == {"complete", "overloaded", "truncated"}, steady["outcomes"]
    assert steady["amplification"] == pytest.approx(1, abs=0.1)
    assert steady["added_lag"]["n"] > 20 and steady["added_lag"]["p50"] < 0.05
    assert [finding for finding in summary["findings"] if "hands no request's id on" in finding]
    assert sum(sample.output_tokens for sample in run_of(command).samples_of("target")) > 0


def test_a_storm_is_rehearsed_at_a_target_and_what_was_predicted_of_our_switches_is_skipped(loadtests, proxy: Path):
    brief = {"warmup": 1, "baseline": 3, "dip": 6, "recovery": 1, "after": 4, "tail": 1}
    settings = [f"--set=phases.{name}.seconds={seconds}" for name, seconds in brief.items()]
    key = {"GATEWAY_KEY": "theirs"}

    command = loadtests("run", "retry_storm", "--target", str(proxy), "--out", "run", *settings, env=key)

    assert command.end(90) == 0, command.output()
    summary = command.summary()
    assert list(summary["variants"]) == ["target"]
    assert summary["variants"]["target"]["phases"]["baseline"]["goodput_ratio"] > 0.9
    assert summary["variants"]["target"]["phases"]["dip"]["goodput_ratio"] < 0.9
    assert {row["status"] for row in summary["expectations"]} == {"skipped"}
    assert "variant naive, which a target does not have" in summary["expectations"][0]["reason"]


def test_a_target_that_goes_on_by_itself_is_stopped_by_its_own_command(loadtests, app: Path, tmp_path: Path):
    command = f"{sys.executable} -m uvicorn app:app --port {{port}} & echo $! > pid"
    commands = {"start": f"sh -c '{command}'", "stop": "sh -c 'kill $(cat pid)'"}
    app.write_text(yaml.safe_dump({**yaml.safe_load(app.read_text()), **commands}))

    run = loadtests("run", "smoke", "--target", str(app), "--out", "run", *SHORT, "--set", "phases.steady.seconds=1")

    assert run.end(60) in (0, 1), run.output()  # the first second may be slow
    assert run.summary()["variants"]["target"]["phases"]["steady"]["completed"] > 0
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"start": "/no/such/program"}, '"start: /no/such/program" cannot be run', id="no program"),
        pytest.param({"start": "false"}, "the gateway ended at start, exit code 1", id="ends at once"),
        pytest.param({"endpoint": {"path": "/nowhere", "text": "x"}}, "answered 404", id="another path"),
        pytest.param(
            {"endpoint": {"path": "/api/ask", "body": {"question": "{text}", "limit": 50}, "text": "delta.text"}},
            "which reads as truncated",
            id="no mark of the end",
        ),
    ],
)
def test_a_target_that_cannot_be_read_or_started_gets_no_load(loadtests, app: Path, changes: dict[str, object], said):
    app.write_text(yaml.safe_dump({**yaml.safe_load(app.read_text()), **changes}))

    command = loadtests("run", "smoke", "--target", str(app), "--out", "run", *SHORT)

    assert command.end(60) == 2, command.output()
    assert said in command.output()
    assert command.leftovers() == []


def test_a_target_whose_claude_is_not_the_mock_gets_no_load(loadtests, app: Path, tmp_path: Path):
    mock = Program("mock", tmp_path / "other.log")
    mock.start(["mockclaude", "serve"], {})
    try:
        mock.wait_until_healthy("/_mock/health")
        start = f"env ANTHROPIC_BASE_URL={mock.url} {sys.executable} -m uvicorn app:app --port {{port}}"
        app.write_text(yaml.safe_dump({**yaml.safe_load(app.read_text()), "start": start}))

        command = loadtests("run", "smoke", "--target", str(app), "--out", "run", *SHORT)

        assert command.end(60) == 2, command.output()
        assert "what it speaks to is not the mock, so no load is sent" in command.output()
        assert stack.Mock(mock.url).stats()["arrived"] == 1
    finally:
        stack.stop(mock)


STORMY = """\
about: Claude is far away for a while.
load: {user: chat, arrivals: constant, rate: 5, max_tokens: 5}
phases: [{name: before, seconds: 2}, {name: far, seconds: 2}]
mock: {latency: {ttft: {distribution: constant, value: 0.05}, tokens_per_second: 500, prefill: false}}
network: {timeline: [{phase: far, toxics: [{hop: claude, type: latency, latency: 300}]}]}
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[Toxiproxy, list[str]]]:
    """A gateway whose way to the mock goes through a Toxiproxy, all of it run by somebody else; how to aim at it."""
    mock, gateway, hops = (Program(name, tmp_path / f"{name}.log") for name in ("mock", "gateway", "toxiproxy"))
    path = doctor.find(doctor.TOXIPROXY, Here(os.environ))
    assert path is not None, "toxiproxy-server is not here; type: make setup-toxiproxy"
    mock.start(["mockclaude", "serve"], {})
    hops.start_other(lambda port: chaos.command(str(Path(path).absolute()), port))
    server = Toxiproxy(hops.url)
    claude = server.open("claude", mock.address).url
    gateway.start(
        ["gateway_under_test"],
        {"ANTHROPIC_BASE_URL": claude, "ANTHROPIC_API_KEY": "k", "VALID_API_KEYS": "loadtest"},
    )
    try:
        mock.wait_until_healthy("/_mock/health")
        gateway.wait_until_healthy("/readyz")
        yield server, ["--target", gateway.url, "--mock", mock.url]
    finally:
        stack.stop(gateway, hops, mock)


def test_toxics_are_put_on_a_toxiproxy_that_runs_already_and_taken_away_again(loadtests, elsewhere, tmp_path: Path):
    server, aimed = elsewhere
    (tmp_path / "far.yaml").write_text(STORMY)
    far = str(tmp_path / "far.yaml")

    refused = loadtests("run", far, "--out", "refused", *aimed)
    assert refused.end(40) == 2
    assert "claude lies behind what runs already; give its file a start command" in refused.output()

    command = loadtests("run", far, "--out", "run", *aimed, "--toxiproxy", server.url)
    assert command.end(60) == 0, command.output()
    phases = command.summary()["variants"]["target"]["phases"]
    assert phases["far"]["e2e"]["p50"] - phases["before"]["e2e"]["p50"] == pytest.approx(0.3, abs=0.1)
    assert server.toxics("claude") == []


def run_of(command) -> rundir.RunDir:
    return rundir.RunDir(command.run)
