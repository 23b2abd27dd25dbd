"""Redis, seen from here: the only module that speaks to it; when it is down or slow, whoever asks learns so at once.

Keys begin with `gateway:`, values are rows of JSON with a time to live. Nothing is tried twice: a failure means `Down`
at once for all until a pause is over, then one command finds out whether Redis is back. What can be done without may
take a `glance`, what a caller depends on a `write`; a Redis too slow for the first may do for the second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway_under_test import logs, settings

Row = dict[str, object]
T = TypeVar("T")

CONNECTIONS = 32
PROCESSING = "processing"

# A row that is not "processing" is final: whoever was first to end it has the last word.
_HOLD = """
local was = redis.call('GET', KEYS[1])
if was and cjson.decode(was)['status'] ~= 'processing' then return was end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] == '0' then redis.call('DEL', KEYS[2]) else redis.call('SET', KEYS[2], '1', 'PX', ARGV[3]) end
return ARGV[1]
"""
_LOOK = """
local was = redis.call('GET', KEYS[1])
if not was or redis.call('EXISTS', KEYS[2]) == 1 or cjson.decode(was)['status'] ~= 'processing' then return was end
redis.call('SET', KEYS[1], ARGV[1], 'KEEPTTL')
return ARGV[1]
"""


class Down(Exception):
    """Redis did not answer, or had not a moment ago; `retry_after` are the seconds until it is asked again."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass
class Patience:
    """How long one kind of command may take, in seconds, and how long none is tried after a failure."""

    seconds: float
    pause: float
    failing: bool = False
    again_at: float = -math.inf

    def admits(self, now: float) -> bool:
        """Whether a command may be tried; while they fail, one at the end of each pause."""
        if now < self.again_at:
            return False
        if self.failing:
            self.again_at = now + self.pause
        return True

    def fail(self, now: float) -> None:
        """A command failed, or took too long."""
        self.failing, self.again_at = True, now + self.pause

    def succeed(self) -> None:
        """A command was answered in time."""
        self.failing, self.again_at = False, -math.inf


class Redis:
    """The rows that all workers share; every method raises Down."""

    def __init__(self, url: str, log: logs.Log, *, glance: float = 0.1, write: float = 1.0, pause: float = 5.0) -> None:
        self._log = log
        self._glance = Patience(glance, pause)
        self._write = Patience(write, pause)
        try:
            self._pool = redis.asyncio.BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=None,  # ours is a timer around the whole command
                socket_timeout=None,
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),  # the library would try three times more
            )
        except ValueError as error:
            problem = settings.Problem(("REDIS_URL",), f"{error}; expected redis://host:port/number")
            raise settings.SettingsError([problem]) from None
        self._redis = redis.asyncio.Redis(connection_pool=self._pool)

    @property
    def available(self) -> bool:
        """Whether the last commands were answered in time."""
        return not self._glance.failing and not self._write.failing

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """For as long as the application lives; a Redis that is down is only noted."""
        await self.alive()
        try:
            yield
        finally:
            await self._redis.aclose()
            await self._pool.disconnect()

    async def alive(self) -> bool:
        """Ask it now, unless that is known: for `/readyz`. Never raises."""
        with contextlib.suppress(Down):
            await self._do(self._glance, self._redis.ping)
        return self.available

    async def get(self, key: str) -> Row | None:
        """The row, at a glance."""
        return _row(await self._do(self._glance, lambda: self._redis.get(_name(key))))

    async def put(self, key: str, row: Row, ttl: float) -> None:
        """Keep the row for `ttl` seconds, at a glance."""
        await self._do(self._glance, lambda: self._redis.set(_name(key), json.dumps(row), px=_ms(ttl)))

    async def hold(self, key: str, row: Row, ttl: float, lease: float) -> Row:
        """Write the row, processing or at its end, unless it has ended already; the row that is there now.

        While it is processing, it must be held again before `lease` seconds are over, else it counts as left behind.
        """
        names, held = _names(key), _ms(lease) if row["status"] == PROCESSING else 0
        written = await self._do(
            self._write, lambda: self._eval(_HOLD, *names, json.dumps(row), str(_ms(ttl)), str(held))
        )
        return _row(written) or row

    async def look(self, key: str, left_behind: Row) -> Row | None:
        """The row that was held; a processing one whose lease is over has become `left_behind`, for good."""
        names = _names(key)
        return _row(await self._do(self._write, lambda: self._eval(_LOOK, *names, json.dumps(left_behind))))

    async def _eval(self, script: str, *arguments: str) -> Any:
        answer: Any = self._redis.eval(script, 2, *arguments)  # typed for both its sync and its async client
        return await answer

    async def _do(self, patience: Patience, command: Callable[[], Awaitable[T]]) -> T:
        loop = asyncio.get_running_loop()
        if not patience.admits(loop.time()):
            raise Down("Redis did not answer a moment ago", patience.again_at - loop.time())
        try:
            async with asyncio.timeout(patience.seconds):
                answer = await command()
        except (redis.RedisError, OSError) as error:  # a TimeoutError is an OSError
            if self.available:
                self._log.warning("redis_down", error=f"{type(error).__name__}: {error}".rstrip(": "))
            patience.fail(loop.time())
            raise Down("Redis does not answer", patience.pause) from error
        was_down = not self.available
        patience.succeed()
        if patience is self._glance:
            self._write.succeed()
        if was_down and self.available:
            self._log.info("redis_back")
        return answer


def _name(key: str) -> str:
    return f"gateway:{key}"


def _names(key: str) -> tuple[str, str]:
    return _name(key), _name(f"{key}:lease")


def _ms(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _row(found: Any) -> Row | None:
    """What was found, if it is a row: another program may have written there."""
    with contextlib.suppress(ValueError, TypeError):
        row = json.loads(found)
        return row if isinstance(row, dict) else None
    return None
