"""What a scenario may say of toxics, when each is in force, and what is asked of a server for it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtests.documents.section import Problem
from loadtests.errors import InvalidRun
from loadtests.experiment import toxics
from loadtests.experiment.toxics import (
    Bandwidth,
    Down,
    Entry,
    Harm,
    Latency,
    LimitData,
    ResetPeer,
    Slicer,
    SlowClose,
    Timeout,
)
from loadtests.programs import chaos
from loadtests.programs.chaos import Toxiproxy, ToxiproxyError

HOPS = ("claude", "caller")


def test_all_eight_toxics_are_read_from_a_timeline_in_toxiproxys_own_words():
    section = [
        {"hop": "claude", "type": "latency", "latency": 200, "jitter": 50},
        {"hop": "claude", "type": "bandwidth", "rate": 30, "stream": "upstream"},
        {"hop": "claude", "type": "slow_close", "delay": 100},
        {"hop": "claude", "type": "timeout"},
        {"hop": "claude", "type": "reset_peer", "timeout": 10, "toxicity": 0.5},
        {"hop": "claude", "type": "slicer", "average_size": 64, "size_variation": 16, "delay": 1000},
        {"hop": "claude", "type": "limit_data", "bytes": 5000},
        {"hop": "caller", "type": "down"},
    ]

    found = toxics.parse(section, HOPS)

    assert [harm.toxic for harm in found] == [
        Latency(200, 50),
        Bandwidth(30, stream="upstream"),
        SlowClose(100),
        Timeout(0),
        ResetPeer(10, toxicity=0.5),
        Slicer(64, 16, 1000),
        LimitData(5000),
        Down(),
    ]
    assert [harm.hop for harm in found] == ["claude"] * 7 + ["caller"]
    assert {harm.toxic.name.removesuffix("_downstream") for harm in found} >= set(toxics.TOXICS) - {"bandwidth"}


def test_what_is_read_is_said_again_in_the_same_words():
    section = [{"hop": "claude", "type": "latency", "latency": 200, "jitter": 0, "stream": "upstream", "toxicity": 0.5}]

    assert [toxics.as_config(harm) for harm in toxics.parse(section, HOPS)] == section
    assert toxics.as_config(Harm("caller", Down())) == {"hop": "caller", "type": "down"}


LATE = {"hop": "claude", "type": "latency", "latency": 1}


@pytest.mark.parametrize(
    ("section", "where", "said"),
    [
        ("latency", (), 'got "latency", expected a list of toxics'),
        (None, (), "got nothing, expected a list of toxics"),
        ([], (), "expected a list of toxics"),
        (["down"], (0,), 'got "down", expected a mapping with hop, type'),
        ([{"type": "down"}], (0, "hop"), "is missing; expected one of: claude, caller"),
        ([{"hop": "claud", "type": "down"}], (0, "hop"), 'no hop is called "claud"; did you mean "claude"?'),
        ([{"hop": ["claude"], "type": "down"}], (0, "hop"), "no hop is called ['claude']"),
        ([{"hop": "claude"}], (0, "type"), "is missing; expected one of: latency, bandwidth"),
        (
            [{"hop": "claude", "type": "latencies"}],
            (0, "type"),
            'no toxic is called "latencies"; did you mean "latency"?',
        ),
        ([{"hop": "claude", "type": "latency"}], (0, "latency"), "is missing"),
        ([{**LATE, "latency": 0.2}], (0, "latency"), "got 0.2, expected a whole number (milliseconds)"),
        ([{**LATE, "latency": "200ms"}], (0, "latency"), 'got "200ms", expected a whole number (milliseconds)'),
        ([{**LATE, "latency": -1}], (0, "latency"), "expected greater than or equal to 0 (milliseconds)"),
        ([{**LATE, "jiter": 1}], (0, "jiter"), 'unknown key; did you mean "jitter"?'),
        (
            [{"hop": "claude", "type": "bandwidth", "rate": 1, "size": 9}],
            (0, "size"),
            "unknown key; expected one of: rate, stream, toxicity",
        ),
        ([{**LATE, "stream": "down"}], (0, "stream"), "got \"down\", expected 'upstream' or 'downstream'"),
        ([{**LATE, "toxicity": 30}], (0, "toxicity"), "expected less than or equal to 1 (a share of connections)"),
        ([{**LATE, "toxicity": 0}], (0, "toxicity"), "expected greater than 0"),
        (
            [{"hop": "claude", "type": "down", "stream": "upstream"}],
            (0, "stream"),
            "unknown key; there is none to set here",
        ),
        ([{"hop": "claude", "type": "bandwidth", "rate": 0}], (0, "rate"), "expected greater than or equal to 1"),
        ([{"hop": "claude", "type": "slicer", "average_size": 0}], (0, "average_size"), "greater than or equal to 1"),
        (
            [{"hop": "claude", "type": "slicer", "average_size": 9, "size_variation": 9}],
            (0,),
            "got size_variation 9, average_size 9, expected size_variation < average_size",
        ),
        ([LATE, {**LATE, "latency": 2}], (1,), 'a second "latency_downstream" on "claude"'),
    ],
)
def test_a_bad_toxic_is_told_with_its_place(section: object, where: tuple[object, ...], said: str):
    with pytest.raises(Problem) as problem:
        toxics.parse(section, HOPS, loc=("timeline", 2, "toxics"))

    assert problem.value.loc == ("timeline", 2, "toxics", *where)
    assert said in problem.value.message
    assert str(problem.value).startswith("timeline.2.toxics")


def test_a_toxic_may_be_on_both_streams_and_on_two_hops():
    section = [LATE, {**LATE, "stream": "upstream"}, {**LATE, "hop": "caller"}]

    assert len(toxics.parse(section, HOPS)) == 3


def test_a_timeline_becomes_what_each_hop_has_from_when_on():
    slow, slower, narrow = Latency(100), Latency(300), Bandwidth(10)
    entries = [
        Entry(5.0, 10.0, (Harm("claude", slow), Harm("caller", narrow))),
        Entry(8.0, 9.0, (Harm("claude", slower),)),
        Entry(9.0, 12.0, (Harm("claude", slow),)),
    ]

    assert toxics.steps(entries) == [
        (5.0, "caller", (narrow,)),
        (5.0, "claude", (slow,)),
        (8.0, "claude", (slower,)),
        (9.0, "claude", (slow,)),
        (10.0, "caller", ()),
        (12.0, "claude", ()),
    ]
    assert toxics.steps([]) == []


class Fake:
    """A server that notes what is asked of it, and fails or keeps silent as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str, object]] = []
        self.answers: dict[tuple[str, str], tuple[int, object]] = {}
        self.silent: set[tuple[str, str]] = set()
        self.release = threading.Event()


@pytest.fixture
def fake() -> Iterator[Fake]:
    state = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(size)) if size else None
            state.asked.append((self.command, self.path, body))
            if (self.command, self.path) in state.silent:
                state.release.wait(5)
            usual = body if isinstance(body, dict) else {}
            status, answer = state.answers.get((self.command, self.path), (200, {**usual, "version": "2.12.0"}))
            said = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_POST = do_DELETE = do_GET

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{listener.server_address[1]}"
    yield state
    state.release.set()
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.fixture
def server(fake: Fake) -> Toxiproxy:
    server = Toxiproxy(fake.url, timeout=0.2)
    server.open("claude", "127.0.0.1:9", "127.0.0.1:8666")
    fake.asked.clear()
    return server


def test_only_what_changes_is_asked_for(fake: Fake, server: Toxiproxy):
    server.put("claude", [Latency(100), Bandwidth(10)])
    fake.asked.clear()

    actions = server.put("claude", [Latency(200), SlowClose(5, stream="upstream"), Down()])

    latency = {"stream": "downstream", "toxicity": 1.0, "attributes": {"latency": 200, "jitter": 0}}
    slow = {"stream": "upstream", "toxicity": 1.0, "attributes": {"delay": 5}}
    assert fake.asked == [
        ("DELETE", "/proxies/claude/toxics/bandwidth_downstream", None),
        ("POST", "/proxies/claude/toxics/latency_downstream", latency),
        ("POST", "/proxies/claude/toxics", {"name": "slow_close_upstream", "type": "slow_close", **slow}),
        ("POST", "/proxies/claude", {"enabled": False}),
    ]
    assert actions == [
        "removed bandwidth_downstream from claude",
        "updated latency_downstream on claude",
        "added slow_close_upstream on claude",
        "added down on claude",
    ]
    fake.asked.clear()
    assert server.put("claude", [Latency(200), SlowClose(5, stream="upstream"), Down()]) == []
    assert fake.asked == []


def there(fake: Fake, *toxics: str) -> Toxiproxy:
    """A server that somebody else started, with one hop."""
    hop = {"listen": "127.0.0.1:8666", "upstream": "127.0.0.1:9", "enabled": True}
    fake.answers["GET", "/proxies"] = (200, {"claude": hop})
    fake.answers["GET", "/proxies/claude/toxics"] = (200, [{"name": name} for name in toxics])
    return Toxiproxy(fake.url, timeout=0.2)


def test_a_hop_that_somebody_else_opened_is_harmed_and_left_as_it_was(fake: Fake):
    theirs = there(fake)

    theirs.adopt(["claude"])
    theirs.put("claude", [Latency(100)])
    theirs.put("claude", [])

    asked = [(method, path) for method, path, _ in fake.asked if method != "GET"]
    assert asked == [
        ("POST", "/proxies/claude/toxics"),
        ("DELETE", "/proxies/claude/toxics/latency_downstream"),
    ]


def test_a_hop_that_is_not_there_or_has_a_toxic_of_somebody_elses_is_left_alone(fake: Fake):
    with pytest.raises(ToxiproxyError, match=r'no hop "caller" at .*; there are: claude'):
        there(fake).adopt(["caller"])
    with pytest.raises(ToxiproxyError, match=r'hop "claude" at .* has latency_upstream already; remove it first'):
        there(fake, "latency_upstream").adopt(["claude"])


@pytest.mark.parametrize("trouble", ["silent", "503"])
def test_a_toxic_that_does_not_go_takes_its_hop_with_it(fake: Fake, server: Toxiproxy, trouble: str):
    server.put("claude", [Latency(100), Bandwidth(10)])
    stuck = ("DELETE", "/proxies/claude/toxics/latency_downstream")
    fake.silent |= {stuck} if trouble == "silent" else set()
    fake.answers |= {stuck: (503, "")} if trouble == "503" else {}
    fake.asked.clear()

    first, second = server.put("claude", [Bandwidth(10)])

    assert first.startswith("replaced the hop, which dropped its connections")
    assert second == "added bandwidth_downstream on claude"
    new = {"name": "claude", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:8666", "enabled": True}
    assert [asked for asked in fake.asked if asked[1] in ("/proxies", "/proxies/claude")] == [
        ("DELETE", "/proxies/claude", None),
        ("POST", "/proxies", new),
    ]
    assert server.in_force("claude") == (Bandwidth(10),)


def test_a_hop_that_cannot_be_replaced_either_makes_the_run_invalid(fake: Fake, server: Toxiproxy):
    server.put("claude", [Latency(100)])
    fake.silent |= {("DELETE", "/proxies/claude/toxics/latency_downstream"), ("DELETE", "/proxies/claude")}

    with pytest.raises(ToxiproxyError, match=r"nor could the hop be replaced: .* start a new process") as told:
        server.put("claude", [])

    assert isinstance(told.value, InvalidRun)


def test_what_a_block_did_is_undone_though_it_never_came_to_its_end(fake: Fake, server: Toxiproxy):
    """Toxiproxy said nothing to the order to add it, and may have done it or not."""
    fake.silent.add(("POST", "/proxies/claude/toxics"))

    with (
        pytest.raises(ToxiproxyError, match=r"did not add latency_downstream on claude: no answer within 0.2 s"),
        chaos.harmed(server, "claude", Latency(100)),
    ):
        pytest.fail("the block must not begin")

    assert fake.asked[-1] == ("DELETE", "/proxies/claude/toxics/latency_downstream", None)


def test_the_first_failure_is_told_and_not_that_undoing_failed_too(fake: Fake, server: Toxiproxy):
    fake.silent |= {("DELETE", "/proxies/claude/toxics/latency_downstream"), ("DELETE", "/proxies/claude")}

    with pytest.raises(KeyError), chaos.harmed(server, "claude", Latency(100)):
        raise KeyError


def test_a_failure_to_undo_is_told_when_nothing_else_failed(fake: Fake, server: Toxiproxy):
    fake.silent |= {("DELETE", "/proxies/claude/toxics/latency_downstream"), ("DELETE", "/proxies/claude")}

    with (
        pytest.raises(ToxiproxyError, match="did not remove latency_downstream"),
        chaos.harmed(server, "claude", Latency(100)),
    ):
        pass


def test_a_driver_does_the_last_of_what_is_due_and_undoes_every_hop(fake: Fake, server: Toxiproxy):
    server.open("caller", "127.0.0.1:9")
    entries = [
        Entry(1, 2, (Harm("claude", Latency(100)),)),
        Entry(2, 9, (Harm("claude", Latency(200)), Harm("caller", Down()))),
    ]
    driver = chaos.Driver(server, toxics.steps(entries))

    changes = driver.advance(2.5)

    assert sorted(changes) == [
        (2, "caller", "added down on caller"),
        (2, "claude", "added latency_downstream on claude"),
    ]
    assert server.in_force("claude") == (Latency(200),)
    fake.silent |= {("POST", "/proxies/caller"), ("DELETE", "/proxies/caller")}
    with pytest.raises(ToxiproxyError, match="caller"):
        driver.undo()
    assert fake.asked[-1] == ("DELETE", "/proxies/claude/toxics/latency_downstream", None)


def test_a_driver_that_is_restarted_has_all_of_its_timeline_ahead(fake: Fake, server: Toxiproxy):
    driver = chaos.Driver(server, toxics.steps([Entry(0, 2, (Harm("claude", Latency(100)),))]))
    first = driver.advance(1)

    driver.restart()

    assert server.in_force("claude") == ()
    assert driver.next == 0
    assert driver.advance(1) == first == [(0, "claude", "added latency_downstream on claude")]


def test_a_proxy_in_the_callers_environment_is_not_used(server: Toxiproxy, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    assert server.version() == "2.12.0"


def test_the_command_line_listens_on_this_machine_alone():
    assert chaos.command("/bin/toxiproxy-server", 8474)[1:] == ["-host", "127.0.0.1", "-port", "8474"]
