"""The real Toxiproxy: each toxic does what is said of it, in both directions, and is gone when it should be."""

import contextlib
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from loadtests.experiment import toxics
from loadtests.experiment.toxics import Entry, Toxic
from loadtests.programs import chaos, doctor
from loadtests.programs.chaos import Hop, Toxiproxy, ToxiproxyError

STREAMS = ("downstream", "upstream")
PROMPT = 0.05
"""Seconds within which loopback delivers, on a busy machine."""


@contextlib.contextmanager
def running(log: Path) -> Iterator[Toxiproxy]:
    program = doctor.find(doctor.TOXIPROXY, doctor.Here(os.environ))
    if program is None:
        pytest.fail("toxiproxy-server is not here; type: make setup-toxiproxy", pytrace=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with log.open("wb") as output:
        process = subprocess.Popen(chaos.command(program, port), stdout=output, stderr=subprocess.STDOUT)
    try:
        server = Toxiproxy(f"http://127.0.0.1:{port}", timeout=2.0)
        deadline = time.monotonic() + 10
        while True:
            try:
                server.version()
                break
            except ToxiproxyError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    with running(tmp_path_factory.mktemp("toxiproxy") / "log") as server:
        yield server


class Ear:
    """Hears a socket out in the background: what came, when, and how it ended: `fin`, `reset`, or not yet."""

    def __init__(self, heard: socket.socket) -> None:
        self.reads: list[tuple[float, bytes]] = []
        self.ending = ""
        self.ended_at = 0.0
        self._socket = heard
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.reads)

    def wait_for(self, size: int, seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while len(self.data) < size and not self.ending and time.monotonic() < deadline:
            time.sleep(0.001)

    def wait_for_end(self, seconds: float = 5.0) -> str:
        self._thread.join(seconds)
        return self.ending

    def arrived(self, size: int) -> float:
        """When the first `size` bytes had come."""
        come = 0
        for at, data in self.reads:
            come += len(data)
            if come >= size:
                return at
        raise AssertionError(f"{size} bytes never came, only {come}")

    def _listen(self) -> None:
        try:
            while data := self._socket.recv(65536):
                self.reads.append((time.monotonic(), data))
            self.ending, self.ended_at = "fin", time.monotonic()
        except OSError:
            self.ending, self.ended_at = "reset", time.monotonic()


class Line:
    """A hop on the server, and connections through it."""

    def __init__(self, server: Toxiproxy, held: contextlib.ExitStack) -> None:
        self.server = server
        self._held = held
        self._listener = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        upstream = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.hop: Hop = held.enter_context(chaos.hop(server, "claude", upstream))

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Both ends: the caller's and the server's."""
        host, _, port = self.hop.listen.rpartition(":")
        caller = self._held.enter_context(socket.create_connection((host, int(port)), timeout=10))
        self._listener.settimeout(10)
        callee, _ = self._listener.accept()
        self._held.enter_context(callee)
        for end in (caller, callee):
            end.settimeout(10)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return caller, callee

    def open(self, stream: str) -> tuple[socket.socket, Ear]:
        """A connection: who speaks in the direction `stream`, and who hears it."""
        caller, callee = self.connect()
        return (callee, Ear(caller)) if stream == "downstream" else (caller, Ear(callee))

    def put(self, *wanted: Toxic) -> list[str]:
        return self.server.put(self.hop.name, wanted)


@pytest.fixture
def line(server: Toxiproxy) -> Iterator[Line]:
    with contextlib.ExitStack() as held:
        yield Line(server, held)


def say(speaker: socket.socket, times: int, every: float, size: int = 10) -> list[float]:
    """Speak evenly; when each message was sent."""
    begun, sent = time.monotonic(), []
    for k in range(times):
        time.sleep(max(0.0, begun + k * every - time.monotonic()))
        sent.append(time.monotonic())
        speaker.sendall(bytes([65 + k % 26]) * size)
    return sent


def lags(sent: list[float], ear: Ear, size: int = 10) -> list[float]:
    ear.wait_for(size * len(sent))
    return [ear.arrived(size * (k + 1)) - at for k, at in enumerate(sent)]


@pytest.mark.parametrize("stream", STREAMS)
def test_latency_shifts_all_by_as_much_and_does_not_add_up(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Latency(latency=100, stream=stream))

    late = lags(say(speaker, times=20, every=0.02), ear)

    assert min(late) >= 0.099
    assert statistics.median(late) < 0.1 + PROMPT
    assert late[-1] < 0.1 + 2 * PROMPT


@pytest.mark.parametrize("stream", STREAMS)
def test_jitter_makes_events_clump_and_keeps_their_order(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Latency(latency=60, jitter=60, stream=stream))

    late = lags(say(speaker, times=26, every=0.01), ear)

    assert max(late) - min(late) > 0.03
    assert ear.data == b"".join(bytes([65 + k]) * 10 for k in range(26))


@pytest.mark.parametrize("stream", STREAMS)
def test_a_narrow_pipe_lets_so_many_bytes_a_second_through(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Bandwidth(rate=20, stream=stream))

    (late,) = lags(say(speaker, times=1, every=0, size=10_000), ear, size=10_000)

    assert 0.45 <= late <= 0.5 + 4 * PROMPT
    assert len(ear.reads) >= 4


@pytest.mark.parametrize("stream", STREAMS)
def test_a_slicer_cuts_one_write_into_many_reads(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Slicer(average_size=50, size_variation=10, delay=3000, stream=stream))
    said = bytes(range(250)) * 4

    speaker.sendall(said)
    ear.wait_for(len(said))

    assert ear.data == said
    assert len(ear.reads) >= 8


@pytest.mark.parametrize("stream", STREAMS)
def test_limited_data_ends_each_connection_after_so_many_bytes(line: Line, stream: str):
    line.put(toxics.LimitData(bytes=300, stream=stream))

    for speaker, ear in (line.open(stream), line.open(stream)):
        speaker.sendall(b"a" * 200)
        ear.wait_for(200)
        speaker.sendall(b"b" * 200)
        assert ear.wait_for_end() == "fin"
        assert ear.data == b"a" * 200 + b"b" * 100


@pytest.mark.parametrize("stream", STREAMS)
def test_a_black_hole_swallows_and_closes_when_it_goes(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Timeout(stream=stream))

    speaker.sendall(b"lost")
    time.sleep(0.3)
    assert (ear.data, ear.ending) == (b"", "")

    line.put()
    assert ear.wait_for_end() == "fin"
    assert ear.data == b""


@pytest.mark.parametrize("stream", STREAMS)
def test_a_black_hole_with_a_time_closes_that_long_after_the_last_bytes(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Timeout(timeout=250, stream=stream))

    *_, last = say(speaker, times=6, every=0.1)

    assert ear.wait_for_end() == "fin"
    assert 0.24 <= ear.ended_at - last <= 0.25 + 2 * PROMPT
    assert ear.data == b""


@pytest.mark.parametrize("stream", STREAMS)
def test_a_slow_close_delays_nothing_but_the_end(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.SlowClose(delay=300, stream=stream))

    sent = say(speaker, times=5, every=0.02)
    closed = time.monotonic()
    speaker.shutdown(socket.SHUT_WR)

    assert max(lags(sent, ear)) < PROMPT
    assert ear.wait_for_end() == "fin"
    assert 0.29 <= ear.ended_at - closed <= 0.3 + 2 * PROMPT


@pytest.mark.parametrize("stream", STREAMS)
def test_a_reset_is_one_only_for_a_connection_that_is_new(line: Line, stream: str):
    old_speaker, old = line.open(stream)
    line.put(toxics.ResetPeer(timeout=100, stream=stream))
    new_speaker, new = line.open(stream)

    begun = time.monotonic()
    old_speaker.sendall(b"x")
    new_speaker.sendall(b"x")

    assert (new.wait_for_end(), old.wait_for_end()) == ("reset", "fin")
    assert new.data == old.data == b""
    assert 0.09 <= new.ended_at - begun <= 0.1 + 2 * PROMPT


def test_a_hop_that_is_down_takes_nobody_and_is_back_on_the_same_port(line: Line):
    _, ear = line.open("downstream")

    line.put(toxics.Down())

    assert ear.wait_for_end() in ("fin", "reset")
    with pytest.raises(ConnectionRefusedError):
        line.connect()
    assert not line.server.hops()["claude"].enabled

    line.put()

    speaker, ear = line.open("downstream")
    assert max(lags(say(speaker, times=3, every=0.01), ear)) < PROMPT


def test_toxicity_is_the_luck_of_a_connection_and_not_of_what_it_carries(line: Line):
    line.put(toxics.Latency(latency=150, toxicity=0.5))
    connections = [line.open("downstream") for _ in range(24)]

    rounds = []
    for _ in range(3):
        rounds.append([say(speaker, times=1, every=0)[0] for speaker, _ in connections])
        time.sleep(0.2)
    slow = []
    for (_, ear), sent in zip(connections, zip(*rounds, strict=True), strict=True):
        late = lags(list(sent), ear)
        assert min(late) > 0.14 or max(late) < 0.14
        slow.append(min(late) > 0.14)

    assert 3 <= sum(slow) <= 21


@pytest.mark.parametrize("stream", STREAMS)
def test_an_update_changes_a_toxic_on_connections_that_are_open(line: Line, stream: str):
    speaker, ear = line.open(stream)
    line.put(toxics.Latency(latency=40, stream=stream))
    (before,) = lags(say(speaker, times=1, every=0), ear)

    actions = line.put(toxics.Latency(latency=150, stream=stream))
    _, after = lags([0.0, *say(speaker, times=1, every=0)], ear)

    assert actions == [f"updated latency_{stream} on claude"]
    assert 0.039 <= before < 0.04 + PROMPT
    assert 0.149 <= after < 0.15 + PROMPT


EACH = """
- {type: latency, latency: 200, jitter: 50}
- {type: bandwidth, rate: 30}
- {type: slow_close, delay: 100}
- {type: timeout, timeout: 5000}
- {type: reset_peer, timeout: 10}
- {type: slicer, average_size: 64, size_variation: 16, delay: 1000}
- {type: limit_data, bytes: 5000}
"""


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("entry", yaml.safe_load(EACH), ids=lambda entry: str(entry["type"]))
def test_toxiproxy_has_what_a_scenario_says(line: Line, entry: dict[str, object], stream: str):
    harms = toxics.parse([{"hop": "claude", "stream": stream, "toxicity": 0.5, **entry}], ["claude"])

    line.put(harms[0].toxic)

    (found,) = line.server.toxics("claude")
    attributes = {name: value for name, value in entry.items() if name != "type"}
    assert (found["type"], found["stream"], found["toxicity"]) == (entry["type"], stream, 0.5)
    assert found["attributes"] == attributes


def test_a_timeline_is_carried_out_and_undone(line: Line):
    given = [{"hop": "claude", "type": "latency", "latency": 80}, {"hop": "claude", "type": "bandwidth", "rate": 500}]
    later = [{"hop": "claude", "type": "down"}]
    entries = [Entry(5, 10, toxics.parse(given, ["claude"])), Entry(8, 9, toxics.parse(later, ["claude"]))]
    driver = chaos.Driver(line.server, toxics.steps(entries))

    assert (driver.next, driver.advance(4.9)) == (5, [])
    assert [(change.at, change.action) for change in driver.advance(5.1)] == [
        (5, "added latency_downstream on claude"),
        (5, "added bandwidth_downstream on claude"),
    ]
    assert {toxic["name"] for toxic in line.server.toxics("claude")} == {"latency_downstream", "bandwidth_downstream"}
    assert [change.action for change in driver.advance(8)] == ["added down on claude"]
    assert not line.server.hops()["claude"].enabled

    driver.undo()

    assert line.server.toxics("claude") == []
    assert line.server.hops()["claude"].enabled
    assert (driver.next, driver.advance(99)) == (None, [])


def test_what_was_harmed_is_whole_again_whatever_happens(line: Line):
    line.put(toxics.SlowClose(delay=10))

    with pytest.raises(ZeroDivisionError), chaos.harmed(line.server, "claude", toxics.Latency(latency=90)):
        assert [toxic["type"] for toxic in line.server.toxics("claude")] == ["latency"]
        _ = 1 / 0

    assert [toxic["type"] for toxic in line.server.toxics("claude")] == ["slow_close"]


def test_a_hop_is_gone_with_its_block_whatever_happens(server: Toxiproxy):
    with pytest.raises(ZeroDivisionError), chaos.hop(server, "claude", "127.0.0.1:9"):
        _ = 1 / 0

    assert server.hops() == {}


def test_a_toxic_that_cannot_be_removed_goes_with_its_hop(line: Line):
    """Shopify/toxiproxy#558: who floods a caller that does not read blocks the toxic, and so its removal."""
    caller, callee = line.connect()
    line.put(toxics.Latency(latency=1))
    callee.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while callee.send(b"x" * 65536):
            pass

    begun = time.monotonic()
    (action,) = line.put()

    assert action.startswith("replaced the hop") and "no answer within 2 s" in action
    assert time.monotonic() - begun < 5
    assert caller.fileno() > 0
    speaker, ear = line.open("downstream")
    assert max(lags(say(speaker, times=3, every=0.01), ear)) < PROMPT
    assert line.server.toxics("claude") == []


def test_two_servers_in_one_process_are_not_mixed_up(server: Toxiproxy, tmp_path: Path):
    with contextlib.ExitStack() as held:
        second = held.enter_context(running(tmp_path / "log"))
        held.enter_context(chaos.hop(server, "one", "127.0.0.1:9"))
        held.enter_context(chaos.hop(second, "two", "127.0.0.1:9"))

        assert (list(server.hops()), list(second.hops())) == (["one"], ["two"])


def test_the_version_is_told(server: Toxiproxy):
    assert server.version() == "2.12.0" or server.version() == "git"


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(ToxiproxyError) as refused:
        act()
    return str(refused.value)


def test_errors_say_what_was_asked_of_whom_and_what_came(line: Line, server: Toxiproxy):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refusal(lambda: server.open("two", "127.0.0.1:9", busy))
    assert said.startswith(f'toxiproxy at {server.url} did not open hop "two" on {busy}: status 500')
    assert "address already in use" in said

    assert "ProxyExists" in refusal(lambda: server.open("claude", "127.0.0.1:9"))
    assert 'got upstream "http://x:1", expected host:port' in refusal(lambda: server.open("two", "http://x:1"))
    assert 'no hop "cluade" was opened' in refusal(lambda: server.put("cluade", []))
    assert "NotFound" in refusal(lambda: server.close("cluade"))
    assert refusal(lambda: Toxiproxy("127.0.0.1:8474")).startswith('toxiproxy: got "127.0.0.1:8474", expected a URL')


def test_a_server_that_is_not_there_or_says_nothing_is_an_error_in_time():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        begun = time.monotonic()
        assert "no answer within 0.3 s" in refusal(lambda: Toxiproxy(url, timeout=0.3).version())
        assert time.monotonic() - begun < 1

    assert "takes no connection" in refusal(lambda: Toxiproxy(url, timeout=0.3).version())
