"""A rehearsal on virtual time: the same mock, gateway and schedule in one process, without sockets or sleep.

The one place that imports all three programs: it puts them on an event loop whose time jumps from timer to timer
(looptime) and joins them by HTTP in memory. Nothing of theirs is replaced, so a run shows what the real one would show
on a machine without noise, and two runs with one seed are the same to the bit. Locust cannot ride that loop; the
schedule, the client and the samples need no IO, so a second small driver walks them.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import httpx2
import looptime
import pydantic

import gateway_under_test.app
import gateway_under_test.logs
import gateway_under_test.settings
import mockclaude.app
import mockclaude.settings
from loadtests import client, rundir, stack
from loadtests.client import Exchange
from loadtests.errors import CannotRun
from loadtests.load import Arrival
from loadtests.memory import Cut, Served, Transport, served
from loadtests.rundir import RunDir
from loadtests.sample import Row, Sample
from loadtests.scenario import Scenario

GRACE = 1.0  # what the gateway's open requests get when it stops, as in its own process
JSON = [(b"content-type", b"application/json")]


def rehearse(
    run: RunDir, scenario: Scenario, variant: str, seed: int, show: Callable[[str, Row], None] | None = None
) -> None:
    """Run one variant to its end and leave its raw rows in `run`. Raises CannotRun."""
    handlers: dict[signal.Signals, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    with _clean_environment(), _few_collections(), asyncio.Runner(loop_factory=_virtual_loop) as runner:
        caught = runner.run(_interruptible(_Rehearsal(run, scenario, variant, seed, show).execute(), handlers))
    for number in caught:
        handlers[number](number, None)


def check(scenario: Scenario, variant: str) -> None:
    """Let both programs judge their settings, in this process. Raises CannotRun."""
    try:
        mockclaude.app.create_app(mockclaude.settings.Settings(scenario.of(variant).mock_config()))
        gateway_under_test.settings.check(scenario.gateway_settings(variant))
    except (mockclaude.settings.ConfigError, gateway_under_test.settings.SettingsError) as error:
        raise CannotRun(str(error)) from None


async def _interruptible(
    rehearsal: Coroutine[Any, Any, None], handlers: dict[signal.Signals, Any]
) -> list[signal.Signals]:
    """Run it; the signals that ended it, if any did. A handler that raises would do so in whatever task runs just then,
    and be swallowed there; on this loop a signal cancels the rehearsal as a whole, and its handler is called after."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    caught: list[signal.Signals] = []

    def catch(number: signal.Signals) -> None:
        caught.append(number)
        this.cancel()

    taken = [number for number, handler in handlers.items() if callable(handler)]
    for number in taken:
        loop.add_signal_handler(number, catch, number)
    try:
        await rehearsal
    except asyncio.CancelledError:
        if not caught:
            raise
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
            signal.signal(number, handlers[number])
    return caught


def _virtual_loop() -> asyncio.AbstractEventLoop:
    kind = looptime.make_event_loop_class(asyncio.SelectorEventLoop)
    return kind(start=0, noop_cycles=0)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """The programs make much garbage but few cycles; looking for them at the usual pace costs a seventh of the time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """What the programs would not see in processes of their own, they do not see here."""
    before = dict(os.environ)
    try:
        for name in before.keys() - stack.clean_environment(before).keys():
            del os.environ[name]
        yield
    finally:
        os.environ.update(before)


class _Rehearsal:
    def __init__(
        self, run: RunDir, scenario: Scenario, variant: str, seed: int, show: Callable[[str, Row], None] | None
    ) -> None:
        self._run, self._variant, self._seed, self._show = run, variant, seed, show
        self._scenario = scenario.of(variant)
        self._cursor = self._lost = self._sent = self._saved = 0
        self._t0 = 0.0

    async def execute(self) -> None:
        config = {"seed": self._seed, **self._scenario.mock_config()}
        mock_app = mockclaude.app.create_app(mockclaude.settings.Settings(config))
        async with served(mock_app, mock_app.router.lifespan_context(mock_app)) as self._mock:
            async with self._gateway() as (gateway, drain):
                await self._prove_the_canary(gateway)
                await self._load(gateway)
                drain()
                await gateway.stop(GRACE)
            await self._control("POST", "/_mock/close")
            await self._save_journal()
            stats = await self._control("GET", "/_mock/stats")
        for stall in stats["stalls"]:
            self._run.note(self._variant, "lag", program="mock", at=stall["t"], seconds=stall["seconds"])
        self._run.note(self._variant, "journal_read", program="mock", lost=self._lost, records=self._saved)

    @contextlib.asynccontextmanager
    async def _gateway(self) -> AsyncIterator[tuple[Served, Callable[[], None]]]:
        """The gateway, whose only Claude is the mock, and what tells it that it is about to stop."""
        switches = gateway_under_test.settings.check(self._scenario.gateway_settings(self._variant))
        settings = gateway_under_test.settings.Settings(
            **switches.model_dump(),
            anthropic_base_url="http://mock",
            anthropic_api_key=pydantic.SecretStr("sk-mock"),
            valid_api_keys=(pydantic.SecretStr(client.KEY),),
        )
        with self._run.log(self._variant, "gateway").open("a") as file:
            async with httpx2.AsyncClient(transport=Transport(self._mock), timeout=None, trust_env=False) as http:
                app = gateway_under_test.app.create_app(
                    settings, http_client=http, log=gateway_under_test.logs.make(file), seed=self._seed
                )
                async with served(app, app.router.lifespan_context(app)) as gateway:
                    yield gateway, app.state.upstream.drain

    async def _prove_the_canary(self, gateway: Served) -> None:
        name = f"canary-{self._variant}-{self._seed}"
        body = client.body_of(f"canary {name}", self._scenario.load.model, 1)
        status, _ = await _exchange(gateway, "POST", client.PATHS["chat"], client.headers_of(name, client.KEY), body)
        seen = [record["request_id"] async for page in self._drain() for record in page]
        if name not in seen:
            raise CannotRun(f"{self._variant}: the canary is not in the mock's journal (the gateway answered {status})")

    async def _load(self, gateway: Served) -> None:
        with self._run.samples.open("a") as self._samples:
            reset = await self._control("POST", "/_mock/reset")
            self._t0 = asyncio.get_running_loop().time()
            self._run.note(self._variant, "started", program="generator", wall=reset["wall"], suffix="")
            ticker = asyncio.create_task(self._tick())
            try:
                await self._walk(gateway)
            finally:
                ticker.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await ticker  # what went wrong in it went wrong with the run
        self._run.note(self._variant, "ended", program="generator", sent=self._sent)

    async def _walk(self, gateway: Served) -> None:
        """The open loop of `dispatcher.py`, on this loop."""
        judged = [span for span in self._scenario.spans() if span.judge]
        asked: list[asyncio.Task[None]] = []
        waited_for: list[asyncio.Task[None]] = []
        try:
            for arrival in self._scenario.arrivals(self._seed, self._variant):
                await asyncio.sleep(arrival.at - self._now())
                request = asyncio.create_task(self._ask(gateway, arrival))
                asked = [*_open(asked), request]
                if any(span.holds(arrival.at) for span in judged):
                    waited_for = [*_open(waited_for), request]
            await asyncio.sleep(self._scenario.seconds - self._now())
            if waited_for:
                await asyncio.wait(waited_for, timeout=self._scenario.load.patience)
        finally:
            for request in asked:
                request.cancel()  # each still ends in a sample: aborted
            await asyncio.gather(*asked)

    async def _ask(self, gateway: Served, arrival: Arrival) -> None:
        self._sent += 1
        ask = self._scenario.load
        exchange = Exchange(arrival.request_id, arrival.at, sent=self._now())
        headers = [
            (name.encode(), value.encode()) for name, value in client.headers_of(arrival.request_id, client.KEY).items()
        ]
        body = client.body_of(arrival.message, ask.model, ask.max_tokens)
        call = gateway.call("POST", client.PATHS[ask.user], headers, body)
        sample: Sample
        try:
            async with asyncio.timeout(arrival.at + ask.patience - self._now()):
                await call.head()
                exchange.head(call.status, dict(call.headers).get(b"content-type", b"").decode())
                while data := await call.read():
                    exchange.feed(data, self._now())
            sample = exchange.end(self._now())
        except TimeoutError:
            sample = exchange.fail("timeout", self._now())
        except asyncio.CancelledError:
            sample = exchange.fail("aborted", self._now())
        except Cut as error:
            sample = exchange.fail("reset" if exchange.status is None else "truncated", self._now(), str(error))
        finally:
            call.hang_up()
        self._samples.write(sample.to_json(self._variant) + "\n")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.5, self._scenario.seconds / 200))
            await self._save_journal()
            self._samples.flush()
            if self._show is not None:
                self._show(self._variant, await self._control("GET", "/_mock/stats"))

    async def _save_journal(self) -> None:
        async for records in self._drain():
            rundir.append(self._run.journal, [{"variant": self._variant, **record} for record in records])
            self._saved += len(records)

    async def _drain(self) -> AsyncIterator[list[Row]]:
        while True:
            page = await self._control("GET", f"/_mock/journal?after={self._cursor}&limit={stack.JOURNAL_PAGE}")
            self._cursor, self._lost = page["cursor"], page["lost"]
            yield page["records"]
            if len(page["records"]) < stack.JOURNAL_PAGE:
                return

    async def _control(self, method: str, path: str) -> Row:
        status, answer = await _exchange(self._mock, method, path, {}, b"")
        if status != 200:
            raise CannotRun(f"{method} {path}: the mock answered {status}: {answer[:200]!r}")
        found: Row = json.loads(answer)
        return found

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._t0


def _open(tasks: list[asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    return [task for task in tasks if not task.done()]


async def _exchange(program: Served, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    call = program.call(method, path, [*JSON, *((n.encode(), v.encode()) for n, v in headers.items())], body)
    answer = b""
    await call.head()
    while data := await call.read():
        answer += data
    return call.status, answer
