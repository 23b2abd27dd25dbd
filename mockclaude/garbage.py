"""When Python looks for reference cycles in a process that is a mock, and nothing else."""

from __future__ import annotations

import gc
import socket

import uvicorn


class Server(uvicorn.Server):
    """uvicorn's, in a process that looks for cycles ten times a second, and each time at what is new alone.

    Python's own garbage collector looks when so many more objects were made than freed. With ten thousand streams that
    come and go as many are freed as made, and when it does look, hundreds of thousands are new: nothing is sent for a
    fifth of a second. A tenth of a second makes some thousands, and a look at them takes a millisecond. What is found
    to live is not looked at again: what attempts leave behind forms no cycles, so nothing is lost (`bench memory`).
    """

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop. Nobody looks at what has been imported."""
        gc.disable()
        gc.collect()
        gc.freeze()
        super().run(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        gc.collect(0)
        gc.freeze()
        return await super().on_tick(counter)
