"""The real nginx: what each knob does to a stream of events, and what the detector makes of it."""

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import threading
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import h11
import psutil
import pytest
import uvicorn

from loadtests.experiment import nginx
from loadtests.judging import detector
from loadtests.judging.detector import Arrived, Finding, Sent, Trace
from loadtests.programs import doctor

SIZE = 150
PAUSE = 0.2
"""Seconds from the headers to the first event: the TTFT of this upstream."""
PROMPT = 0.08
"""Seconds within which loopback delivers, on a busy machine."""
EVENT = (b"event: content_block_delta\ndata: ".ljust(SIZE - 2, b".")) + b"\n\n"
assert len(EVENT) == SIZE


@pytest.fixture(scope="session")
def program() -> str:
    found = doctor.find(doctor.NGINX, doctor.Here(os.environ))
    if found is None:
        pytest.fail("nginx is not here; type: make setup-network", pytrace=False)
    return found


Start = Callable[..., str]


@pytest.fixture
def start(program: str, tmp_path: Path) -> Iterator[Start]:
    """Start an nginx before `upstreams`, with these knobs; the address it listens on."""
    processes: list[tuple[subprocess.Popen[bytes], Path]] = []
    with contextlib.ExitStack() as held:

        def started(*upstreams: str, **knobs: object) -> str:
            folder = tmp_path / f"nginx {len(processes)}"
            folder.mkdir()
            address = reserved(held)
            configuration = folder / "nginx.conf"
            rendered = nginx.render(nginx.parse(knobs), listen=address, upstreams=upstreams, folder=folder)
            configuration.write_text(rendered)
            output = held.enter_context((folder / "stderr").open("wb"))
            process = subprocess.Popen(nginx.command(program, configuration), stderr=output)
            processes.append((process, folder))
            wait_for(address)
            return address

        yield started
        died = [folder for process, folder in processes if process.poll() is not None]
        for process, _ in processes:
            process.terminate()
        endings = [process.wait(5) for process, _ in processes]
        said = [(folder / log).read_text() for _, folder in processes for log in ("stderr", "error.log")]
        assert (died, {*endings} - {0}) == ([], set()), said


def reserved(held: contextlib.ExitStack) -> str:
    """An address that nobody else gets while `held` is."""
    holder = held.enter_context(socket.socket())
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{holder.getsockname()[1]}"


def wait_for(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 5
    while True:
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@dataclasses.dataclass
class Upstream:
    """A server of event streams on raw sockets: chunked to who speaks HTTP/1.1 if `chunked` is None."""

    events: int = 100
    rate: float = 100.0
    chunked: bool | None = None
    headers: str = ""
    status: int = 200
    body: bytes = b""
    hangs_up: bool = False
    address: str = ""
    requests: int = 0
    connections: int = 0
    begun: float = 0.0
    first_body: float = 0.0
    finished: float = 0.0
    left: float = 0.0
    dies_after: int | None = None
    stalls_after: int | None = None
    sent: list[Sent] = dataclasses.field(default_factory=list)
    _open: dict[asyncio.Task[None], asyncio.StreamWriter] = dataclasses.field(default_factory=dict)

    async def stop(self) -> None:
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self._read_body(reader, head)
                if self.hangs_up or not await self._answer(reader, writer, head):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            await closed(writer)

    async def _read_body(self, reader: asyncio.StreamReader, head: bytes) -> None:
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while length > 0:
            length -= len(await reader.read(min(length, 65536)))
            self.first_body = self.first_body or now()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> bool:
        """Whether the connection is kept."""
        if self.body or self.status != 200:
            length = f"content-length: {len(self.body)}\r\n"
            writer.write(f"HTTP/1.1 {self.status} X\r\n{length}\r\n".encode() + self.body)
            await writer.drain()
            self.finished = now()
            return b"HTTP/1.1\r\n" in head and b"connection: close" not in head.lower()
        chunked = b" HTTP/1.1\r\n" in head if self.chunked is None else self.chunked
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        said = f"HTTP/1.{int(chunked)} 200 OK\r\ncontent-type: text/event-stream\r\n{framing}{self.headers}\r\n"
        writer.write(said.encode())
        self.begun = now()
        gone = asyncio.ensure_future(reader.read())
        await self._speak(writer, chunked, gone)
        gone.cancel()
        return False

    async def _speak(self, writer: asyncio.StreamWriter, chunked: bool, gone: asyncio.Future[bytes]) -> None:
        for k in range(self.events):
            if k == self.dies_after:
                return
            if k == self.stalls_after:
                await asyncio.wait([gone], timeout=5)
            await asyncio.wait([gone], timeout=max(0.0, self.begun + PAUSE + k / self.rate - now()))
            if gone.done():
                self.left = now()
                return
            self.sent.append(Sent(now(), SIZE))
            writer.write(b"%x\r\n%s\r\n" % (SIZE, EVENT) if chunked else EVENT)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")
        self.finished = now()


@contextlib.asynccontextmanager
async def up(upstream: Upstream) -> AsyncIterator[Upstream]:
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@dataclasses.dataclass
class Heard:
    """A reply as its caller got it. `whole`: it ended as HTTP says; `reads`: body bytes of each read."""

    status: int = 0
    headers: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    head_at: float = 0.0
    reads: list[Arrived] = dataclasses.field(default_factory=list)
    ended: float = 0.0
    whole: bool = False
    inflate: Callable[[bytes], bytes] = dataclasses.field(default=bytes, repr=False)

    @property
    def size(self) -> int:
        return sum(read.size for read in self.reads)


async def ask(address: str, method: str = "POST", body: bytes = b"{}", patience: float = 20.0, **headers: str) -> Heard:
    """One request, and what came of it until it ended or patience did."""
    http = h11.Connection(h11.CLIENT)
    named = [("host", "x"), ("content-length", str(len(body))), *((k.replace("_", "-"), v) for k, v in headers.items())]
    heard = Heard()
    async with connected(address) as (reader, writer):
        writer.write(http.send(h11.Request(method=method, target="/v1/messages", headers=named)) or b"")
        writer.write(http.send(h11.Data(data=body)) or b"")
        http.send(h11.EndOfMessage())
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(patience):
                while not heard.ended:
                    http.receive_data(await reader.read(1 << 20))
                    _take(http, heard)
        heard.ended = heard.ended or now()
    return heard


def _take(http: h11.Connection, heard: Heard) -> None:
    """What one read brought."""
    at, wire, text = now(), 0, 0
    try:
        while (event := http.next_event()) is not h11.NEED_DATA and not heard.ended:
            match event:
                case h11.Response():
                    heard.status, heard.headers, heard.head_at = event.status_code, dict(event.headers), at
                    if heard.headers.get(b"content-encoding") == b"gzip":
                        heard.inflate = zlib.decompressobj(31).decompress
                case h11.Data():
                    wire, text = wire + len(event.data), text + len(heard.inflate(bytes(event.data)))
                case h11.EndOfMessage():
                    heard.ended, heard.whole = at, True
                case _:
                    heard.ended = at
    except h11.RemoteProtocolError:
        heard.ended = at
    if text:
        heard.reads.append(Arrived(at, text, wire))


def now() -> float:
    return asyncio.get_running_loop().time()


def finding(upstream: Upstream, heard: Heard) -> Finding:
    encoding = heard.headers.get(b"content-encoding", b"").decode()
    found = detector.judge([Trace(upstream.sent, heard.reads, encoding)], offset=0.0)
    assert found is not None
    return found


@pytest.mark.parametrize(("buffer", "events", "rate"), [(1024, 150, 75.0), (4096, 320, 150.0), (16384, 700, 200.0)])
async def test_a_body_without_length_is_held_until_a_buffer_is_full(
    start: Start, buffer: int, events: int, rate: float
):
    async with up(Upstream(events, rate)) as upstream:
        heard = await ask(start(upstream.address, buffer_size=buffer))

    found = finding(upstream, heard)
    predicted = buffer / (rate * SIZE)
    print(f"{buffer}: {found}")
    assert heard.whole and heard.size == events * SIZE
    assert (found.cause, found.buffer) == ("full buffer", buffer)
    assert found.predicted_interval == pytest.approx(predicted, rel=0.02)
    assert found.batch_interval == pytest.approx(predicted, rel=0.1)
    sizes = Counter(read.size for read in heard.reads[1:-1])
    assert sizes[buffer] >= 0.8 * sizes.total()
    assert heard.head_at - upstream.sent[0].at > 0.7 * predicted


@dataclasses.dataclass
class Row:
    """A row of the table: framing, the app's headers, the knobs, and what the caller finds."""

    upstream: Upstream
    knobs: dict[str, object]
    accepts: str = ""
    head: str = "at once"
    cause: str = "none"
    outer: dict[str, object] | None = None


NO = "x-accel-buffering: no\r\n"
ROWS = {
    "without length, buffering off": Row(Upstream(), {"proxy_buffering": False}),
    "without length, the app says no": Row(Upstream(headers=NO), {}),
    "chunked": Row(Upstream(chunked=True), {}, head="with the first event"),
    "HTTP/1.1": Row(Upstream(), {"proxy_http_version": 1.1}, head="with the first event"),
    "chunked, compressed": Row(Upstream(chunked=True), {"gzip": True}, accepts="gzip", head="at the end", cause="gzip"),
    "chunked, compressed, buffering off": Row(
        Upstream(chunked=True), {"gzip": True, "proxy_buffering": False}, accepts="gzip"
    ),
    "chunked, who does not accept it gets nothing compressed": Row(
        Upstream(chunked=True), {"gzip": True}, head="with the first event"
    ),
    "two in a row": Row(
        Upstream(chunked=True, headers=NO), {}, outer={}, head="with the first buffer", cause="full buffer"
    ),
    "two in a row, the header is passed on": Row(
        Upstream(chunked=True, headers=NO), {"proxy_pass_header": ["X-Accel-Buffering"]}, outer={}
    ),
}


@pytest.mark.parametrize("name", ROWS)
async def test_the_truth_table_of_buffering(start: Start, name: str):
    row = dataclasses.replace(ROWS[name], upstream=dataclasses.replace(ROWS[name].upstream, sent=[]))
    headers = {"accept_encoding": row.accepts} if row.accepts else {}
    async with up(row.upstream) as upstream:
        address = start(upstream.address, **row.knobs)
        if row.outer is not None:
            address = start(address, **row.outer)
        heard = await ask(address, **headers)

    found = finding(upstream, heard)
    print(f"{name}: head after {heard.head_at - upstream.begun:.3f} s, {len(heard.reads)} reads; {found}")
    first, last = upstream.sent[0].at, upstream.sent[-1].at
    due = {
        "at once": upstream.begun,
        "with the first event": first,
        "with the first buffer": first + (4096 - 200) / (upstream.rate * SIZE),
        "at the end": last,
    }
    assert heard.head_at == pytest.approx(due[row.head], abs=PROMPT)
    assert (heard.status, heard.whole, found.cause) == (200, True, row.cause)
    if row.cause == "none":
        assert found.lag_p50 < 0.005
        assert found.lag_p99 < 4096 / (upstream.rate * SIZE) / 4
        assert len(heard.reads) > 0.5 * upstream.events


@contextlib.contextmanager
def uvicorn_with(parser: str) -> Iterator[Upstream]:
    """A real one in a thread, which streams the same events."""
    upstream = Upstream(events=160, rate=150.0)

    async def app(scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        upstream.begun = now()
        for k in range(upstream.events):
            await asyncio.sleep(upstream.begun + PAUSE + k / upstream.rate - now())
            upstream.sent.append(Sent(now(), SIZE))
            await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        upstream.address = f"127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(app, http=parser, loop="asyncio", lifespan="off", log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield upstream
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(("parser", "cause"), [("h11", "full buffer"), ("httptools", "none")])
async def test_uvicorn_shows_it_with_h11_and_hides_it_with_httptools(start: Start, parser: str, cause: str):
    with uvicorn_with(parser) as upstream:
        heard = await ask(start(upstream.address))

    found = finding(upstream, heard)
    print(f"{parser}: {found}")
    assert found.cause == cause


@pytest.mark.parametrize(("version", "whole"), [("1.0", True), ("1.1", False)])
async def test_a_dead_upstream_looks_like_the_end_to_who_asked_in_http_1_0(start: Start, version: str, whole: bool):
    async with up(Upstream(dies_after=20)) as upstream:
        heard = await ask(start(upstream.address, proxy_http_version=version))

    assert (heard.status, heard.size, heard.whole) == (200, 20 * SIZE, whole)


@pytest.mark.parametrize("buffering", [True, False])
async def test_a_silence_longer_than_read_timeout_is_a_200_that_breaks_off(start: Start, buffering: bool):
    async with up(Upstream(stalls_after=30)) as upstream:
        knobs = {"proxy_buffering": buffering, "proxy_read_timeout": 0.8}
        heard = await ask(start(upstream.address, **knobs))

    assert (heard.status, heard.whole) == (200, False)
    silence = heard.ended - upstream.sent[29].at
    assert 0.8 - nginx.LAZY <= silence <= 0.8 + PROMPT


async def test_a_body_too_large_is_refused_in_nginxs_own_words(start: Start):
    async with up(Upstream(body=b"ok")) as upstream:
        usual, roomy = start(upstream.address), start(upstream.address, client_max_body_size=32 << 20)
        refused, taken = await ask(usual, body=b"x" * (2 << 20)), await ask(roomy, body=b"x" * (2 << 20))

    assert (refused.status, refused.headers[b"content-type"]) == (413, b"text/html")
    assert (taken.status, upstream.requests) == (200, 1)


@pytest.mark.parametrize(("given", "status"), [({}, 503), ({"status": 429}, 429)])
async def test_requests_beyond_the_limit_are_refused(start: Start, given: dict[str, object], status: int):
    async with up(Upstream(body=b"ok")) as upstream:
        address = start(upstream.address, limit_req={"rate": 0.5, "burst": 2, **given})
        answers = await asyncio.gather(*(ask(address) for _ in range(8)))

    assert Counter(heard.status for heard in answers) == {200: 3, status: 5}
    assert upstream.requests == 3


@pytest.mark.parametrize(
    ("method", "knobs", "hangs_up", "attempts", "status"),
    [
        pytest.param("POST", {}, True, 1, 502, id="POST, upstream hangs up"),
        pytest.param("GET", {}, True, 2, 502, id="GET, upstream hangs up"),
        pytest.param("POST", {"proxy_next_upstream": ["error", "non_idempotent"]}, True, 2, 502, id="non_idempotent"),
        pytest.param("POST", {"proxy_next_upstream": ["http_500", "non_idempotent"]}, False, 2, 500, id="http_500"),
        pytest.param(
            "POST",
            {"proxy_next_upstream": ["http_500", "non_idempotent"], "proxy_next_upstream_tries": 1},
            False,
            1,
            500,
            id="one try",
        ),
        pytest.param("GET", {"proxy_next_upstream": ["off"]}, True, 1, 502, id="off"),
    ],
)
async def test_a_second_upstream_is_a_second_generation(start: Start, method, knobs, hangs_up, attempts, status):
    async with up(Upstream(status=500, body=b"no", hangs_up=hangs_up)) as upstream:
        heard = await ask(start(upstream.address, upstream.address, **knobs), method=method, body=b"")

    assert (upstream.requests, heard.status) == (attempts, status)


@pytest.mark.parametrize(
    ("knobs", "connections"), [({}, 3), ({"proxy_http_version": "1.1", "keepalive": 4}, 1)], ids=["closed", "kept"]
)
async def test_connections_to_the_upstream_are_kept_or_not(start: Start, knobs: dict[str, object], connections: int):
    async with up(Upstream(body=b"ok")) as upstream:
        address = start(upstream.address, **knobs)
        for _ in range(3):
            assert (await ask(address)).status == 200

    assert upstream.connections == connections


@pytest.mark.parametrize(("knobs", "done"), [({}, True), ({"proxy_buffering": False}, False)], ids=["on", "off"])
async def test_a_caller_that_does_not_read_holds_the_upstream_unless_buffers_do(start: Start, knobs, done):
    async with (
        up(Upstream(body=b"x" * (12 << 20))) as upstream,
        connected(start(upstream.address, **knobs)) as (_, writer),
    ):
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        writer.transport.pause_reading()
        await asyncio.sleep(1.0)
        finished = bool(upstream.finished)

    assert finished == done


@pytest.mark.parametrize(("ignored", "told"), [(False, True), (True, False)])
async def test_who_leaves_before_an_answer_began_is_told_to_the_upstream_unless_ignored(start: Start, ignored, told):
    async with up(Upstream(events=1)) as upstream:
        await ask(start(upstream.address, proxy_ignore_client_abort=ignored), patience=0.4 * PAUSE)
        await asyncio.sleep(PAUSE)

    assert (bool(upstream.left), bool(upstream.finished)) == (told, not told)


@pytest.mark.parametrize(("buffered", "early"), [(True, False), (False, True)])
async def test_a_requests_body_is_passed_on_at_once_or_when_it_is_whole(start: Start, buffered: bool, early: bool):
    async with (
        up(Upstream(body=b"ok")) as upstream,
        connected(start(upstream.address, proxy_request_buffering=buffered)) as (reader, writer),
    ):
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n" + b"a" * 10000)
        await asyncio.sleep(0.3)
        seen = bool(upstream.first_body)
        writer.write(b"a" * 10000)
        assert b"200" in await reader.readline()

    assert seen == early


async def test_an_nginx_is_one_process_so_that_what_kills_it_kills_all_of_it(start: Start):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    async with up(Upstream(body=b"ok")) as upstream:
        assert (await ask(start(upstream.address))).status == 200

    assert len({child.pid for child in psutil.Process().children(recursive=True)} - before) == 1


async def test_every_request_has_a_line_in_the_log(start: Start, tmp_path: Path):
    async with up(Upstream(body=b"ok")) as upstream:
        await ask(start(upstream.address), x_request_id='r-"1"')

    log = tmp_path / "nginx 0" / "access.log"
    async with asyncio.timeout(5):
        while not log.read_text():
            await asyncio.sleep(0.01)
    (line,) = log.read_text().splitlines()
    row = json.loads(line)
    assert (row["status"], row["request_id"], row["upstream_status"]) == (200, 'r-"1"', "200")
    assert row["upstream"] == upstream.address


EVERYTHING = {
    "proxy_buffering": False,
    "proxy_http_version": "1.1",
    "buffer_size": 8192,
    "header_buffer_size": 16384,
    "gzip": True,
    "keepalive": 8,
    "keepalive_timeout": 5,
    "proxy_connect_timeout": 0.5,
    "proxy_send_timeout": 5,
    "proxy_read_timeout": 5,
    "client_max_body_size": 0,
    "proxy_max_temp_file_size": 0,
    "proxy_request_buffering": False,
    "proxy_ignore_client_abort": True,
    "proxy_pass_header": ["X-Accel-Buffering", "Server"],
    "proxy_next_upstream": ["error", "timeout", "http_503", "http_429", "non_idempotent"],
    "proxy_next_upstream_tries": 2,
    "max_fails": 0,
    "limit_req": {"rate": 0.5, "burst": 3, "status": 429},
}


@pytest.mark.parametrize("knobs", [{}, EVERYTHING, {"buffer_size": 512, "header_buffer_size": 3072}])
@pytest.mark.parametrize("upstreams", [["127.0.0.1:9"], ["127.0.0.1:9", "127.0.0.1:9", "localhost:9"]])
def test_nginx_accepts_what_is_rendered_and_needs_no_root(
    program: str, tmp_path: Path, knobs: dict[str, object], upstreams: Sequence[str]
):
    tmp_path.chmod(0o755)
    folder = tmp_path / "it's a folder"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "nginx.conf").write_text(
        nginx.render(nginx.parse(knobs), listen="127.0.0.1:18080", upstreams=upstreams, folder=folder)
    )
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    with contextlib.ExitStack() as held:
        for parent in (parent for parent in folder.parents if nobody and parent.stat().st_mode & 0o005 == 0):
            held.callback(parent.chmod, parent.stat().st_mode & 0o7777)
            parent.chmod(parent.stat().st_mode & 0o7777 | 0o005)
        checked = subprocess.run(
            [*nginx.command(program, folder / "nginx.conf"), "-t"], capture_output=True, text=True, **nobody
        )

    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr and "emerg" not in checked.stderr
