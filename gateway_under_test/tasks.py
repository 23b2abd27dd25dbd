"""Work in the background: accepted at once, done later, its end kept for a while under an id.

A task is `processing` until it is `complete` with its result or `failed` with an error; then it stays what it is. In
memory it is known to this process only. With Redis every worker knows it, and a lease says that the one that has it is
alive: when that is gone the task reads as failed. No accepted task is lost in silence. While Redis is down none is
accepted, a process answers for its own, and an end is written as soon as Redis is back. (A Redis that restarts empty
has forgotten the tasks that had ended; those that run are written again.)
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from gateway_under_test import errors, logs, store

Row = store.Row
Work = Callable[[logs.RequestLine], Awaitable[Row]]

ID = re.compile(r"[0-9a-f]{32}")
PROCESSING = 1000
"""Tasks of one process that run or wait to run; each holds its caller's text."""
KEPT = 10_000
"""Tasks of one process in its memory, those that have ended included."""
LEASE = 10.0
"""Seconds for which the worker that has a task is believed to be alive."""
RENEW = 2.0
"""Seconds after which it says so again."""
AGAIN = 1.0
"""Seconds between tries to write how a task ended."""
GONE = errors.Shed("the worker that had this task is gone; ask again")
STOPPED = errors.Shed("the gateway stopped before this task had ended; ask again")
BROKEN = errors.Configuration("the gateway failed; its log says why")


class Held(Protocol):
    """What keeps tasks for all workers, as store.Redis does; raises store.Down."""

    async def hold(self, key: str, row: Row, ttl: float, lease: float) -> Row: ...
    async def look(self, key: str, left_behind: Row) -> Row | None: ...


@dataclass(frozen=True)
class Running:
    """A task that has been accepted: its work, and the watch over it."""

    doing: asyncio.Task[Row]
    watch: asyncio.Task[None]


class Tasks:
    """The tasks of this process, and with `held` those of all. An end is kept for `ttl` seconds.

    At most `at_once` run at the same time (None: all), the others wait for their turn.
    """

    def __init__(self, ttl: float, log: logs.Log, held: Held | None = None, *, at_once: int | None = None) -> None:
        self._ttl = ttl
        self._log = log
        self._held = held
        self._turn = asyncio.Semaphore(at_once) if at_once else contextlib.nullcontext()
        self._accepting = 0
        self._running: dict[str, Running] = {}
        self._ended: OrderedDict[str, tuple[float, Row]] = OrderedDict()  # with Redis, until it is written there
        self._stopping_at: float | None = None

    async def start(self, work: Work, request: logs.RequestLine) -> str:
        """Accept the work and return its id; raises Shed when there is no room, or it could not be kept.

        `work` gets a line of its own, which begins when it runs: what it costs and how it ends is logged as a `task`.
        """
        self._forget()
        if self._stopping_at is not None:
            raise errors.Shed("the gateway is stopping; try again")
        processing = self._accepting + len(self._running)
        if processing >= PROCESSING or processing + len(self._ended) >= KEPT:
            raise errors.Shed("too many tasks are being processed; try again later", retry_after=RENEW)
        task_id = secrets.token_hex(16)  # nobody guesses the id of another's task
        self._accepting += 1
        try:
            await self._hold(_processing(task_id))
        except store.Down as down:
            raise errors.Shed("no task can be accepted now; try again", retry_after=down.retry_after) from None
        finally:
            self._accepting -= 1
        line = logs.RequestLine(request.request_id, request.method, request.path, request.started)
        line.route, line.tenant, line.priority = request.route, request.tenant, request.priority
        doing = asyncio.create_task(self._do(task_id, work, line))
        self._running[task_id] = Running(doing, asyncio.create_task(self._watch(task_id, doing, line)))
        return task_id

    async def get(self, task_id: str) -> Row | None:
        """The task, None if there is none (any more); raises Shed if only Redis could tell and does not."""
        self._forget()
        if task_id in self._ended:
            return self._ended[task_id][1]
        if task_id in self._running:
            return _processing(task_id)
        if self._held is None or not ID.fullmatch(task_id):
            return None
        try:
            return await self._held.look(_key(task_id), _failed(task_id, GONE))
        except store.Down as down:
            raise errors.Shed("no task can be looked up now; try again", retry_after=down.retry_after) from None

    def drain(self) -> None:
        """We are about to stop: no task is accepted any more, and what is left for those that run counts from now."""
        if self._stopping_at is None:
            self._stopping_at = asyncio.get_running_loop().time()

    @contextlib.asynccontextmanager
    async def living(self, drain: float) -> AsyncIterator[None]:
        """For as long as the application lives; tasks get `drain` seconds more, counted from `drain()`, then fail."""
        try:
            yield
        finally:
            self.drain()
            assert self._stopping_at is not None
            await _over((each.doing for each in self._running.values()), self._stopping_at + drain)
            for each in self._running.values():
                each.doing.cancel()
            watches = [each.watch for each in self._running.values()]
            await _over(watches, asyncio.get_running_loop().time() + 2 * AGAIN)
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _do(self, task_id: str, work: Work, line: logs.RequestLine) -> Row:
        """The work when it is its turn; how it ended, whatever happens."""
        try:
            async with self._turn:
                line.started = asyncio.get_running_loop().time()
                return {"task_id": task_id, "status": "complete", "result": await work(line)}
        except errors.GatewayError as error:
            return _failed(task_id, error)
        except asyncio.CancelledError:
            return _failed(task_id, STOPPED)
        except Exception:
            self._log.exception("crash", request_id=line.request_id, path=line.path, task_id=task_id)
            return _failed(task_id, BROKEN)

    async def _watch(self, task_id: str, doing: asyncio.Task[Row], line: logs.RequestLine) -> None:
        """Renew the lease while the work is done, then tell how it ended and see that it is kept."""
        try:
            row = await self._under_lease(task_id, doing)
            self._tell(row, line)
            self._ended[task_id] = asyncio.get_running_loop().time() + self._ttl, row
            if self._held is not None:
                await self._keep(task_id, row)
                self._ended.pop(task_id, None)
        except asyncio.CancelledError:
            self._log.warning("task_lost", task_id=task_id, why="the gateway stopped before Redis took its end")
            raise
        finally:
            del self._running[task_id]

    async def _under_lease(self, task_id: str, doing: asyncio.Task[Row]) -> Row:
        while not (await asyncio.wait((doing,), timeout=RENEW if self._held else None))[0]:
            with contextlib.suppress(store.Down):
                there = await self._hold(_processing(task_id))
                if there["status"] != store.PROCESSING:  # we were believed dead, and its caller was told so
                    doing.cancel()
                    await asyncio.wait((doing,))
                    return there
        return _failed(task_id, STOPPED) if doing.cancelled() else doing.result()

    async def _keep(self, task_id: str, row: Row) -> None:
        """Write how it ended as soon as Redis takes it, for as long as anybody could ask."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._ttl
        while loop.time() < give_up:
            with contextlib.suppress(store.Down):
                there = await self._hold(row)
                if there != row:
                    self._log.warning("task_lost", task_id=task_id, why="it had been given up as left behind")
                return
            await asyncio.sleep(AGAIN)
        self._log.warning("task_lost", task_id=task_id, why="Redis was down for as long as it would have been kept")

    async def _hold(self, row: Row) -> Row:
        if self._held is None:
            return row
        # while it runs its row must not end before its lease
        ttl = max(self._ttl, 2 * LEASE) if row["status"] == store.PROCESSING else self._ttl
        return await self._held.hold(_key(str(row["task_id"])), row, ttl, LEASE)

    def _tell(self, row: Row, line: logs.RequestLine) -> None:
        error: Any = row.get("error") or {}
        self._log.info(
            "task",
            task_id=row["task_id"],
            request_id=line.request_id,
            status=row["status"],
            outcome=error.get("type", "complete"),
            duration_ms=round((asyncio.get_running_loop().time() - line.started) * 1000, 1),
            attempts=line.attempts,
            model=line.model,
            version=line.version,
            cached=line.cached,
            input_tokens=line.input_tokens,
            output_tokens=line.output_tokens,
        )

    def _forget(self) -> None:
        """Let go of the ends whose time is over; they ended in this order."""
        now = asyncio.get_running_loop().time()
        while self._ended and next(iter(self._ended.values()))[0] <= now:
            self._ended.popitem(last=False)


async def _over(tasks: Iterable[asyncio.Task[Any]], at: float) -> None:
    """Wait for all of them, or until then."""
    waiting = list(tasks)
    left = at - asyncio.get_running_loop().time()
    if waiting and left > 0:
        await asyncio.wait(waiting, timeout=left)


def _key(task_id: str) -> str:
    return f"task:{task_id}"


def _processing(task_id: str) -> Row:
    return {"task_id": task_id, "status": store.PROCESSING}


def _failed(task_id: str, error: errors.GatewayError) -> Row:
    return {"task_id": task_id, "status": "failed", "error": {"type": error.type, "message": error.message}}
