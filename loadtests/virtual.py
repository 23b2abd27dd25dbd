"""A rehearsal on virtual time: the same mock, gateway and schedule in one process, without sockets or sleep.

The one place that imports all three programs: it puts them on an event loop whose time jumps from timer to timer
(looptime) and joins them by HTTP in memory. Nothing of theirs is replaced, so a run shows what the real one would show
on a machine without noise, and two runs with one seed are the same to the bit. Locust cannot ride that loop; the
schedule, the client and the samples need no IO, so a second small driver walks them.
"""

import asyncio
import contextlib
import functools
import gc
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import fastapi.dependencies.models
import httpx2
import looptime
import pydantic

import gateway_under_test.app
import gateway_under_test.logs
import gateway_under_test.settings
import gateway_under_test.switches
import mockclaude.app
import mockclaude.settings
from loadtests.errors import CannotRun
from loadtests.experiment.scenario import Scenario
from loadtests.programs import stack
from loadtests.programs.memory import Served, Transport, served
from loadtests.protocol import client
from loadtests.protocol.client import Call
from loadtests.record import rundir
from loadtests.record.rundir import RunDir
from loadtests.sample import Row, Sample
from loadtests.sending import openloop
from loadtests.sending.openloop import OpenLoop, beside

NOT_ON_VIRTUAL_TIME = {
    "calls": "calls: {} blocks a real thread; use --clock real",
    "client": "client: {} opens real sockets; use --clock real",
    "http_parser": "http_parser: {} reads from real sockets; use --clock real",
}
"""Why a switch must be as production has it."""


def rehearse(
    run: RunDir, scenario: Scenario, variant: str, seed: int, show: Callable[[str, Row], None] | None = None
) -> None:
    """Run one variant to its end and leave its raw rows in `run`. Raises CannotRun."""
    handlers: dict[signal.Signals, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    with (
        _clean_environment(),
        _few_collections(),
        _seeded(seed),
        _nothing_remembered(),
        asyncio.Runner(loop_factory=_virtual_loop) as runner,
    ):
        caught = runner.run(_interruptible(_Rehearsal(run, scenario, variant, seed, show).execute(), handlers))
    for number in caught:
        handlers[number](number, None)


def check(scenario: Scenario, variant: str) -> None:
    """Let both programs judge their settings, in this process. Raises CannotRun."""
    try:
        mockclaude.app.create_app(mockclaude.settings.Settings(scenario.of(variant).mock_config()))
        switches(scenario, variant)
    except (mockclaude.settings.ConfigError, gateway_under_test.settings.SettingsError) as error:
        raise CannotRun(str(error)) from None


def switches(scenario: Scenario, variant: str) -> gateway_under_test.settings.Switches:
    """The variant's switches, as far as they can be rehearsed on virtual time. Raises CannotRun, SettingsError."""
    given = scenario.gateway_settings(variant)
    chosen = gateway_under_test.settings.check(given)
    if given.get("rate_limit") is not None and chosen.rate_limit is not None:
        raise CannotRun(f"{variant}: rate_limit: slowapi counts by the wall clock; use --clock real")
    for name, why in NOT_ON_VIRTUAL_TIME.items():
        value = getattr(chosen, name)
        if value != gateway_under_test.switches.PRESETS["production"][name]:
            raise CannotRun(f"{variant}: {why.format(value)}")
    return gateway_under_test.settings.check({"drain": stack.DRAIN, **given, "rate_limit": None})


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
def _nothing_remembered() -> Iterator[None]:
    """FastAPI remembers what kind of function its last thousands of endpoints were, and with each of them all that it
    refers to: the journal and the applications of rehearsals long over."""
    try:
        yield
    finally:
        for known in vars(fastapi.dependencies.models).values():
            if isinstance(known, functools._lru_cache_wrapper):
                known.cache_clear()


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Chance that is not ours to hand in is repeatable too: the SDK takes the jitter of its retries from all of the
    process."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


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
        self._cursor = self._lost = self._saved = 0

    async def execute(self) -> None:
        config = {"seed": self._seed, **self._scenario.mock_config()}
        mock_app = mockclaude.app.create_app(mockclaude.settings.Settings(config))
        async with served(mock_app, mock_app.router.lifespan_context(mock_app)) as self._mock:
            async with self._gateway() as (gateway, drain):
                await self._prove_the_canary(gateway)
                await self._load(gateway)
                drain()
                await gateway.stop(stack.DRAIN)
            await self._control("POST", "/_mock/close")
            await self._save_journal()
            stats = await self._control("GET", "/_mock/stats")
        for stall in stats["stalls"]:
            self._run.note(self._variant, "lag", program="mock", at=stall["t"], seconds=stall["seconds"])
        self._run.note(self._variant, "journal_read", program="mock", lost=self._lost, records=self._saved)

    @contextlib.asynccontextmanager
    async def _gateway(self) -> AsyncIterator[tuple[Served, Callable[[], None]]]:
        """The gateway, whose only Claude is the mock, and what tells it that it is about to stop."""
        chosen = switches(self._scenario, self._variant)
        settings = gateway_under_test.settings.Settings(
            **chosen.model_dump(),
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
        status, _ = await _exchange(gateway, client.canary(self._scenario.load, name, client.KEY))
        seen = [record["request_id"] async for page in self._drain() for record in page]
        if name not in seen:
            raise CannotRun(f"{self._variant}: the canary is not in the mock's journal (the gateway answered {status})")

    async def _load(self, gateway: Served) -> None:
        with self._run.samples.open("a") as self._samples:
            reset = await self._control("POST", "/_mock/reset")
            t0 = asyncio.get_running_loop().time()
            self._note("started", wall=reset["wall"], suffix="", clock="virtual")
            loop = OpenLoop(gateway, self._scenario, t0, self._take, self._note)
            async with beside(self._tick()):
                await loop.walk(self._scenario.crowd(self._seed, self._variant), self._variant, self._seed)
        self._note("ended", sent=loop.sent)

    def _take(self, sample: Sample) -> None:
        self._samples.write(sample.to_json(self._variant) + "\n")

    def _note(self, event: str, **fields: object) -> None:
        self._run.note(self._variant, event, program="generator", **fields)

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
        status, answer = await _exchange(self._mock, Call(method, path, {}, b""))
        if status != 200:
            raise CannotRun(f"{method} {path}: the mock answered {status}: {answer[:200]!r}")
        found: Row = json.loads(answer)
        return found


async def _exchange(program: Served, asked: Call) -> tuple[int, bytes]:
    call = program.call(asked.method, asked.path, openloop.raw(asked.headers), asked.body)
    answer = b""
    await call.head()
    while data := await call.read():
        answer += data
    return call.status, answer
