"""Several gateways on one listening socket: who starts them, starts them again, and ends them all.

Each worker is this same program on the inherited socket, so nothing is forked that runs already. It is told how many
they are by `GATEWAY_WORKERS`, and that its supervisor is gone by the end of its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

from gateway_under_test import limits, logs, settings

COULD_NOT_RUN = (2, 3)
PAUSE = 1.0  # seconds from one start of a worker to its next
KILLED_AFTER = 5.0  # seconds beyond the drain in which a worker must have ended


def supervise(chosen: settings.Settings, listener: socket.socket) -> int:
    """Keep `chosen.workers` of them running until a signal; 0 on SIGTERM, 130 on SIGINT, else why none could start."""
    log = logs.make()
    settings.warn_of_strangers(log)
    log.info("limits", **limits.said(chosen))
    return asyncio.run(_Crew(chosen, listener, log).work())


class _Crew:
    def __init__(self, chosen: settings.Settings, listener: socket.socket, log: logs.Log) -> None:
        self._chosen = chosen
        self._listener = listener
        self._log = log
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._code = 0

    async def work(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, 0)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        async with asyncio.TaskGroup() as keepers:
            for n in range(1, self._chosen.workers + 1):
                keepers.create_task(self._keep(n))
        return self._code

    async def _keep(self, n: int) -> None:
        """Worker `n`, again and again."""
        lives = 0
        while not self._stopping.is_set():
            until = asyncio.get_running_loop().time() + PAUSE
            code = await self._run(n)
            lives += 1
            if self._stopping.is_set():
                return
            self._log.warning("worker_died", worker=n, **_end(code))
            if lives == 1 and code in COULD_NOT_RUN:
                self._stop(code)  # it has said why, and so would all others
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._stopping.wait()

    async def _run(self, n: int) -> int:
        """One life of worker `n`; how it ended."""
        fd = self._listener.fileno()
        process = self._running[n] = await asyncio.create_subprocess_exec(
            *(sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "gateway_under_test"),
            *("--worker", "--fd", str(fd)),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(fd,),
            env={**os.environ, "GATEWAY_WORKERS": str(self._chosen.workers)},
        )
        self._log.info("worker_started", worker=n, pid=process.pid)
        if self._stopping.is_set():
            process.terminate()
        code = await process.wait()
        del self._running[n]
        return code

    def _stop(self, code: int) -> None:
        if self._stopping.is_set():
            return
        self._code = code
        self._stopping.set()
        self._listener.close()
        self._send(signal.SIGTERM)
        patience = self._chosen.drain + KILLED_AFTER
        asyncio.get_running_loop().call_later(patience, self._send, signal.SIGKILL)

    def _interrupt(self) -> None:
        if self._stopping.is_set():
            self._send(signal.SIGINT)  # twice: do not wait
        self._stop(130)

    def _send(self, number: int) -> None:
        for n, process in self._running.items():
            if number == signal.SIGKILL:
                self._log.warning("worker_killed", worker=n)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)


def _end(code: int) -> dict[str, object]:
    return {"code": code} if code >= 0 else {"signal": signal.Signals(-code).name}
