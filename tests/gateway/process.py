"""The gateway as a process of its own: started, asked and stopped by the tests that need real sockets and signals."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx2


class Process:
    """A running gateway; its log is read all the time, because a program with a full pipe stands still."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.url = ""
        self.lines: list[dict[str, Any]] = []
        self._seen = 0
        self._news = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read())
        assert process.stderr is not None
        self._complaints = asyncio.ensure_future(process.stderr.read())

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return host, int(port)

    async def says(self, event: str) -> dict[str, Any]:
        """The next line of the log about this event."""
        while True:
            for line in self.lines[self._seen :]:
                self._seen += 1
                if line["event"] == event:
                    return line
            assert not self._reading.done(), f"the log ended without {event}: {self.lines}"
            self._news.clear()
            await self._news.wait()

    async def stop(self, number: int, within: float = 10.0) -> tuple[int, list[dict[str, Any]], str]:
        """Send the signal; the exit code, the log's lines and what went to stderr."""
        self.process.send_signal(number)
        return await self.end(within)

    async def end(self, within: float = 10.0) -> tuple[int, list[dict[str, Any]], str]:
        """Wait for the end; the exit code, the log's lines and what went to stderr."""
        async with asyncio.timeout(within):
            code = await self.process.wait()
            await self._reading
            return code, self.lines, (await self._complaints).decode()

    async def kill(self) -> None:
        """However it ends: there is none of it left."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await asyncio.gather(self.process.wait(), self._reading, self._complaints, return_exceptions=True)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            async for text in self.process.stdout:
                self.lines.append(json.loads(text))
                self._news.set()
        finally:
            self._news.set()


async def start(*arguments: str, pass_fds: tuple[int, ...] = (), **environ: str) -> Process:
    """`python -m gateway_under_test`, with keys and nothing of the caller's own settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "ANTHROPIC_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway_under_test", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
        env={**clean, "ANTHROPIC_API_KEY": "sk-ours", "VALID_API_KEYS": "good,better", **environ},
    )
    return Process(process)


@contextlib.asynccontextmanager
async def serving(claude_url: str, *arguments: str, **more: Any) -> AsyncIterator[Process]:
    """A gateway on a free port, ready, in front of `claude_url`."""
    gateway = await start(*(arguments or ("--port", "0")), ANTHROPIC_BASE_URL=claude_url, **more)
    try:
        async with asyncio.timeout(30):
            gateway.url = (await gateway.says("listening"))["url"]
        yield gateway
    finally:
        await gateway.kill()


def caller(url: str, **headers: str) -> httpx2.AsyncClient:
    """Somebody with a key and any number of connections."""
    limits = httpx2.Limits(max_connections=None)
    shown = {"x-api-key": "good", **headers}
    return httpx2.AsyncClient(base_url=url, headers=shown, timeout=30, trust_env=False, limits=limits)
