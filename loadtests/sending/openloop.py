"""The open loop of `dispatcher.py` on an event loop, without sockets: for virtual time."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from loadtests.experiment.scenario import Scenario
from loadtests.programs.memory import Cut, Served
from loadtests.protocol import client, rotation
from loadtests.protocol.client import Call
from loadtests.protocol.errand import Errand, Pause, bite
from loadtests.protocol.rotation import Rotation
from loadtests.sample import Sample
from loadtests.schedule.crowd import Crowd
from loadtests.schedule.load import Arrival


class OpenLoop:
    """Walks a schedule over a gateway in memory, from `t0` on its loop's clock. `take` gets each sample, `note` each
    event with its fields."""

    def __init__(
        self,
        gateway: Served,
        scenario: Scenario,
        t0: float,
        take: Callable[[Sample], None],
        note: Callable[..., None],
    ) -> None:
        self.sent = 0
        self._gateway, self._scenario, self._t0 = gateway, scenario, t0
        self._take, self._note = take, note
        probe = scenario.load.probe
        self._rotation = Rotation(probe) if probe else None
        self._asking: dict[asyncio.Task[None], Arrival] = {}
        users = scenario.load.users if scenario.load.shared else None
        self._callers = asyncio.Semaphore(users) if users else contextlib.nullcontext()

    async def walk(self, crowd: Crowd, variant: str, seed: int) -> None:
        """Until every phase is over and the requests of judged ones have ended, or their patience has."""
        async with contextlib.AsyncExitStack() as stack:
            if self._rotation is not None:
                await stack.enter_async_context(beside(self._keep_probing(self._rotation, variant, seed)))
            await self._send_all(crowd)

    async def _send_all(self, crowd: Crowd) -> None:
        try:
            for arrival in crowd.arrivals():
                await asyncio.sleep(arrival.at - self._now())
                visit = asyncio.create_task(self._visit(arrival, crowd))
                self._asking[visit] = arrival
                visit.add_done_callback(self._asking.pop)
            await asyncio.sleep(self._scenario.seconds - self._now())
            judged = [span for span in self._scenario.spans() if span.judge]
            open_ = [visit for visit, last in self._asking.items() if any(span.holds(last.at) for span in judged)]
            if open_:
                await asyncio.wait(open_, timeout=self._scenario.load.patience)
        finally:
            left = list(self._asking)
            for visit in left:
                visit.cancel()  # what it asks still ends in a sample: aborted
            for ended in await asyncio.gather(*left, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _visit(self, first: Arrival, crowd: Crowd) -> None:
        coming: Arrival | None = first
        this = asyncio.current_task()
        assert this is not None
        while coming is not None:
            self._asking[this] = coming
            async with self._callers:
                await self._ask(coming)
            coming = crowd.after(coming, self._now())
            if coming is not None:
                await asyncio.sleep(coming.at - self._now())

    async def _ask(self, arrival: Arrival) -> None:
        self.sent += 1
        errand = Errand(arrival, self._scenario.load, client.KEY, self._now(), self._rotation)
        try:
            async with asyncio.timeout(errand.ends_at - self._now()) as patience:
                while (step := errand.next(self._now())) is not None:
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                    else:
                        await self._exchange(step, errand, patience)
        except TimeoutError:
            errand.give_up(self._now())
        except asyncio.CancelledError:
            errand.stop("aborted", self._now())
            self._take(errand.sample())
            raise
        self._take(errand.sample())

    async def _exchange(self, asked: Call, errand: Errand, patience: asyncio.Timeout) -> None:
        call = self._gateway.call(asked.method, asked.path, raw(asked.headers), asked.body)
        try:
            await call.head()
            said = dict(call.headers)
            encoding = said.get(b"content-encoding", b"").decode()
            errand.head(call.status, said.get(b"content-type", b"").decode(), encoding)
            reads = self._scenario.load.reads
            while data := await call.read(None if reads is None else bite(reads)):
                errand.feed(data, self._now())
                if errand.ends_at + self._t0 < (patience.when() or 0.0):
                    patience.reschedule(errand.ends_at + self._t0)
                if reads is not None:
                    await asyncio.sleep(len(data) / reads)
            errand.end(self._now())
        except Cut as error:
            errand.fail("truncated" if errand.answered else "reset", self._now(), str(error))
        finally:
            call.hang_up()

    async def _keep_probing(self, watched: Rotation, variant: str, seed: int) -> None:
        for number in itertools.count(1):
            started = self._now()
            call = client.probe(watched.probe.path, rotation.name_of(variant, seed, number), client.KEY)
            if watched.seen(await self._is_well(call, watched.probe.timeout)):
                self._note("probe", t=self._now(), state=watched.state)
            await asyncio.sleep(max(0.0, started + watched.probe.every - self._now()))

    async def _is_well(self, asked: Call, timeout: float) -> bool:
        call = self._gateway.call(asked.method, asked.path, raw(asked.headers), asked.body)
        try:
            async with asyncio.timeout(timeout):
                await call.head()
                while await call.read():
                    pass
            return rotation.is_well(call.status)
        except (TimeoutError, Cut):
            return False
        finally:
            call.hang_up()

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._t0


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` goes on for as long as the block does; what went wrong in it went wrong with the run."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
