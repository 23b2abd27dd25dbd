"""Redis for real: what workers share through it, and what is left when it is down, slow or empty."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from gateway_under_test import cache, errors, logs, settings, store
from gateway_under_test.tasks import Tasks

pytestmark = pytest.mark.system


@dataclass
class Server:
    """A redis-server of our own, on one port however often it is started."""

    directory: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self, *more: str) -> None:
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self.process = await asyncio.create_subprocess_exec(
            "redis-server", *options, "--dir", str(self.directory), *more, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(10):
            while not self._listens():
                await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None

    def keys(self) -> dict[str, int]:
        """The keys there are, with the milliseconds they have left."""
        with redis.Redis(port=self.port, decode_responses=True) as client:
            return {key: client.pttl(key) for key in client.scan_iter()}

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


class Claude:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self) -> store.Row:
        self.asked += 1
        return {"text": f"answer {self.asked}"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    if shutil.which("redis-server") is None:
        pytest.fail("no redis-server; type: make setup-network")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = Server(tmp_path, port)
    await ours.start()
    yield ours
    await ours.kill()


@dataclass
class Worker:
    """A gateway process."""

    process: asyncio.subprocess.Process
    caller: httpx2.AsyncClient

    async def analyze(self, text: str) -> httpx2.Response:
        return await self.caller.post("/analyze", json={"text": text})

    async def until(self, task_id: str, wanted: str) -> Any:
        async with asyncio.timeout(20):
            while True:
                response = await self.caller.get(f"/analyze/{task_id}")
                if response.status_code == 200 and response.json()["status"] == wanted:
                    return response.json()
                await asyncio.sleep(0.1)

    async def end(self, number: signal.Signals) -> tuple[int | None, list[dict[str, Any]]]:
        """Send the signal; its exit code, and its log."""
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            out, _ = await self.process.communicate()
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


@contextlib.asynccontextmanager
async def worker(server: Server, claude: int, **environ: str) -> AsyncIterator[Worker]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ANTHROPIC_"))}
    ours = {"ANTHROPIC_BASE_URL": f"http://127.0.0.1:{claude}", "ANTHROPIC_API_KEY": "sk-ours", "REDIS_URL": server.url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway_under_test", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env={**clean, **ours, "VALID_API_KEYS": "good", **environ},
    )
    try:
        assert process.stdout is not None
        url = ""
        async with asyncio.timeout(30):
            while not url:
                url = json.loads(await process.stdout.readline()).get("url", "")
        async with httpx2.AsyncClient(
            base_url=url, headers={"x-api-key": "good"}, timeout=30, trust_env=False
        ) as caller:
            yield Worker(process, caller)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def silent_claude() -> AsyncIterator[int]:
    """The port of a Claude that takes every request and never answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


def now() -> float:
    return asyncio.get_running_loop().time()


def request() -> logs.RequestLine:
    return logs.RequestLine("r-1", "POST", "/analyze", now())


def takes(seconds: float) -> Any:
    async def work(line: logs.RequestLine) -> store.Row:
        await asyncio.sleep(seconds)
        return {"text": "done"}

    return work


async def until_status(tasks: Tasks, task_id: str, wanted: str) -> store.Row:
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(errors.Shed):
                row = await tasks.get(task_id)
                if row is not None and row["status"] == wanted:
                    return row
            await asyncio.sleep(0.05)


async def test_a_row_is_there_until_its_time_under_our_prefix(server, lines):
    shared = store.Redis(server.url, lines)
    async with shared.connected():
        await shared.put("a", {"text": "grüße\x00"}, ttl=1)
        found = [await shared.get("a"), await shared.get("b")]
        keys = server.keys()
        await asyncio.sleep(1.1)
        found.append(await shared.get("a"))

    assert found == [{"text": "grüße\x00"}, None, None]
    assert list(keys) == ["gateway:a"] and 0 < keys["gateway:a"] <= 1000


async def test_what_another_program_wrote_is_no_row(server, lines):
    with redis.Redis(port=server.port) as other:
        other.mset({"gateway:a": b"\xff", "gateway:b": "[1]", "gateway:c": "{"})
    shared = store.Redis(server.url, lines)
    async with shared.connected():
        assert [await shared.get(key) for key in "abc"] == [None] * 3


async def test_workers_share_their_answers(server, lines):
    claude = Claude()
    one, other = store.Redis(server.url, lines), store.Redis(server.url, lines)
    async with one.connected(), other.connected():
        first = await cache.Answers(60, 5, one).get("q", claude)
        second = await cache.Answers(60, 5, other).get("q", claude)

    assert (first, second) == (({"text": "answer 1"}, False), ({"text": "answer 1"}, True))


async def test_a_redis_that_hangs_costs_one_look_and_is_left_alone(server, lines):
    claude = Claude()
    shared = store.Redis(server.url, lines, glance=0.5, pause=1.0)
    async with shared.connected():
        answers = cache.Answers(60, 100, shared)
        server.send(signal.SIGSTOP)
        start = now()
        found = await asyncio.gather(*(answers.get(f"q{n}", claude) for n in range(50)))
        hung = now() - start
        start = now()
        again = [await answers.get(f"r{n}", claude) for n in range(10)] + [await answers.get("q1", claude)]
        after, available = now() - start, shared.available

        server.send(signal.SIGCONT)
        await asyncio.sleep(1.1)
        back = await shared.alive()
        await answers.get("s", claude)
        keys = server.keys()

    assert [cached for _, cached in found] == [False] * 50
    assert [cached for _, cached in again] == [False] * 10 + [True]
    assert 0.5 <= hung < 2 and after < 0.5
    assert (available, back) == (False, True)
    assert lines.events == ["redis_down", "redis_back"]
    assert "gateway:answer:s" in keys


async def test_a_redis_that_dies_is_done_without_until_it_is_back(server, lines):
    claude = Claude()
    shared = store.Redis(server.url, lines, pause=0.3)
    async with shared.connected():
        answers = cache.Answers(60, 100, shared)
        await answers.get("q", claude)
        await server.kill()
        while_down = [await answers.get("q", claude), await answers.get("r", claude)]
        available = shared.available

        await server.start()
        await asyncio.sleep(0.4)
        await answers.get("s", claude)

    assert while_down == [({"text": "answer 1"}, True), ({"text": "answer 2"}, False)]
    assert not available and shared.available
    assert list(server.keys()) == ["gateway:answer:s"]
    assert lines.events == ["redis_down", "redis_back"]


async def test_a_redis_that_is_not_there_does_not_keep_the_gateway_from_starting(server, lines):
    await server.kill()
    shared = store.Redis(server.url, lines)

    async with shared.connected():
        assert not shared.available
        with pytest.raises(store.Down) as down:
            await shared.get("q")

    assert 0 < down.value.retry_after <= 5


async def test_a_wrong_password_is_told_without_it(server, lines):
    await server.kill()
    await server.start("--requirepass", "right-secret")

    async with store.Redis(server.url.replace("//", "//:wrong-secret@"), lines).connected():
        pass

    [line] = lines.all
    assert line["event"] == "redis_down" and "AuthenticationError" in line["error"]
    assert "secret" not in str(line)


@pytest.mark.parametrize("url", ["redis://host:port", "http://host"])
def test_a_url_that_is_none_is_an_error_at_the_start(lines, url):
    with pytest.raises(settings.SettingsError, match=r"REDIS_URL: .*; expected redis://host:port/number"):
        store.Redis(url, lines)


async def test_only_one_command_finds_out_whether_redis_is_back(server, lines):
    shared = store.Redis(server.url, lines, glance=0.5, pause=0.3)
    async with shared.connected():
        server.send(signal.SIGSTOP)
        await shared.alive()
        await asyncio.sleep(0.35)
        start = now()

        async def look() -> float:
            with contextlib.suppress(store.Down):
                await shared.get("q")
            return now() - start

        waited = await asyncio.gather(*(look() for _ in range(20)))
        server.send(signal.SIGCONT)

    assert sorted(waited)[-2] < 0.5 <= max(waited)


async def test_a_command_that_was_cut_neither_keeps_its_connection_nor_leaves_its_answer_to_the_next(server, lines):
    shared = store.Redis(server.url, lines, glance=0.1, pause=0.001)
    async with shared.connected():
        for n in range(2 * store.CONNECTIONS):
            await shared.put(f"q{n}", {"n": n}, ttl=60)
        server.send(signal.SIGSTOP)
        for _ in range(3):
            cut = [asyncio.create_task(shared.get(f"q{n}")) for n in range(store.CONNECTIONS)]
            await asyncio.sleep(0.05)
            for task in cut[::2]:
                task.cancel()
            await asyncio.gather(*cut, return_exceptions=True)
            await asyncio.sleep(0.01)
        server.send(signal.SIGCONT)
        await asyncio.sleep(0.1)

        found = [await shared.get(f"q{n}") for n in range(2 * store.CONNECTIONS)]

    assert found == [{"n": n} for n in range(2 * store.CONNECTIONS)]


async def test_one_slow_enough_for_answers_still_takes_tasks(server, lines):
    shared = store.Redis(server.url, lines, glance=0.1, write=2.0, pause=60)
    async with shared.connected():
        tasks = Tasks(60, lines, shared)
        server.send(signal.SIGSTOP)
        with pytest.raises(store.Down):
            await shared.get("q")
        asyncio.get_running_loop().call_later(0.4, server.send, signal.SIGCONT)

        task_id = await tasks.start(takes(0), request())

        assert await until_status(tasks, task_id, "complete")
        assert not shared.available


async def test_one_fast_enough_for_answers_takes_tasks_again(server, lines):
    shared = store.Redis(server.url, lines, glance=0.5, write=0.5, pause=60)
    async with shared.connected():
        tasks = Tasks(60, lines, shared)
        server.send(signal.SIGSTOP)
        with pytest.raises(errors.Shed):
            await tasks.start(takes(0), request())
        server.send(signal.SIGCONT)
        with pytest.raises(errors.Shed):
            await tasks.start(takes(0), request())  # it is not asked for a minute

        await shared.get("q")

        assert await tasks.start(takes(0), request())


async def test_a_lease_is_no_task(server, lines):
    shared = store.Redis(server.url, lines)
    async with shared.connected():
        tasks = Tasks(60, lines, shared)
        task_id = await tasks.start(takes(5), request())

        assert await tasks.get(f"{task_id}:lease") is None
        assert shared.available


async def test_a_task_is_held_until_its_end_and_its_end_is_final(server, lines):
    processing, complete, gone = ({"task_id": "t", "status": status} for status in ("processing", "complete", "failed"))
    shared = store.Redis(server.url, lines)
    async with shared.connected():
        found = [await shared.look("t", gone)]
        found.append(await shared.hold("t", processing, ttl=60, lease=10))
        leased = server.keys()
        found.append(await shared.look("t", gone))
        found.append(await shared.hold("t", complete, ttl=30, lease=10))
        ended = server.keys()
        found.append(await shared.hold("t", processing, ttl=60, lease=10))
        found.append(await shared.look("t", gone))

    assert found == [None, processing, processing, complete, complete, complete]
    assert 50_000 < leased["gateway:t"] <= 60_000 and 9_000 < leased["gateway:t:lease"] <= 10_000
    assert list(ended) == ["gateway:t"] and 20_000 < ended["gateway:t"] <= 30_000


async def test_a_task_left_behind_has_failed_for_good(server, lines):
    processing, complete, gone = ({"task_id": "t", "status": status} for status in ("processing", "complete", "failed"))
    shared = store.Redis(server.url, lines)
    async with shared.connected():
        await shared.hold("t", processing, ttl=60, lease=0.2)
        await asyncio.sleep(0.3)
        found = [await shared.look("t", gone), await shared.hold("t", complete, ttl=60, lease=10)]
        left = server.keys()

    assert found == [gone, gone]
    assert 50_000 < left["gateway:t"] <= 60_000


async def test_a_task_that_ends_while_redis_is_down_is_written_when_it_is_back(server, lines):
    one, other = (store.Redis(server.url, lines, pause=0.3) for _ in range(2))
    async with one.connected(), other.connected():
        mine, theirs = Tasks(60, lines, one), Tasks(60, lines, other)
        task_id = await mine.start(takes(0.3), request())
        await server.kill()
        await asyncio.sleep(0.5)
        with pytest.raises(errors.Shed):
            await mine.start(takes(0), request())
        own = await mine.get(task_id)
        with pytest.raises(errors.Shed):
            await theirs.get(task_id)

        await server.start()
        row = await until_status(theirs, task_id, "complete")

    assert own == row == {"task_id": task_id, "status": "complete", "result": {"text": "done"}}
    assert "task_lost" not in lines.events


async def test_a_task_of_a_worker_that_was_killed_fails(server, silent_claude):
    async with worker(server, silent_claude) as one, worker(server, silent_claude) as other:
        accepted = await one.analyze("long")
        task_id = accepted.json()["task_id"]
        await other.until(task_id, "processing")

        await one.end(signal.SIGKILL)
        row = await other.until(task_id, "failed")

    assert accepted.status_code == 202
    assert row["error"]["message"] == "the worker that had this task is gone; ask again"


async def test_a_worker_told_to_stop_leaves_no_task_processing(server, silent_claude):
    async with worker(server, silent_claude, GATEWAY_DRAIN="1") as one, worker(server, silent_claude) as other:
        task_id = (await one.analyze("long")).json()["task_id"]

        start = now()
        code, log = await one.end(signal.SIGTERM)
        took = now() - start
        row = await other.until(task_id, "failed")

    assert code == 0 and 1 <= took < 6
    assert row["error"]["message"] == "the gateway stopped before this task had ended; ask again"
    [task] = [line for line in log if line["event"] == "task"]
    assert (task["task_id"], task["status"]) == (task_id, "failed")
    assert [line["outcome"] for line in log if line["event"] == "attempt"] == ["aborted"]


async def test_a_gateway_without_its_redis_refuses_tasks_and_answers_the_rest(server, silent_claude):
    await server.kill()
    async with worker(server, silent_claude) as one:
        refused = await one.analyze("long")
        unknown = await one.caller.get(f"/analyze/{'0' * 32}")
        alive = await one.caller.get("/livez")

    for response in (refused, unknown):
        assert (response.status_code, response.json()["error"]["type"]) == (503, "shed")
        assert 1 <= int(response.headers["retry-after"]) <= 5
    assert alive.status_code == 200
