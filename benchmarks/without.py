"""The mock without one of the things that make it fast, to show what each is worth: `without.py WHAT FD CONFIG`."""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn

from mockclaude import alarm, garbage, listener, pacer, reply, settings, wire
from mockclaude.app import EDGE, create_app
from mockclaude.pacer import Pacer
from mockclaude.request.memory import Memory
from mockclaude.speech import script


class Timers(Pacer):
    """A timer for each stream, where the pacer has one for all."""

    def go(self, paced):
        """Look now, and set this one's own timer."""
        paced.turn, now = 0, self.clock.now()
        try:
            again = paced.look(now, self._work.work(now))
        except Exception as error:
            paced.fail(error)
            return
        if again is not None:
            asyncio.get_running_loop().call_at(now + self._work.wait(again, now), self.go, paced)


def rendered_by_json(index, said, rng):
    """Text deltas made as any other event is."""
    shown = [script.as_json(one) for one in said]
    events = [wire.event("content_block_delta", {"index": index, "delta": one}, rng) for one in shown]
    return events, [wire.text_bytes(one) for one in shown]


def main():
    """Until it is told to stop."""
    what, descriptor, config = sys.argv[1:]
    app = create_app(settings.Settings(settings.load_file(Path(config))))
    options = {"http": listener.Protocol, "loop": "auto"}
    if what == "transport":
        options["http"] = "httptools"
    elif what == "pacer":
        app.state.server.pacer = Timers(app.state.server.clock, app.state.server.capacity)
    elif what == "alarm":
        pacer.alarm = alarm.LoopAlarm
    elif what == "batches":
        reply.AT_ONCE = 1
    elif what == "rendering":
        reply.wire.deltas = rendered_by_json
    elif what == "short_way":
        app._direct.clear()
    elif what == "uvloop":
        options["loop"] = "asyncio"
    elif what == "memory":
        app.state.server.memory = Memory(longest=0)
    elif what != "gc":
        sys.exit(f"{what}: expected transport, pacer, alarm, batches, rendering, short_way, memory, uvloop or gc")
    listening = socket.socket(fileno=int(descriptor))
    server = uvicorn.Server if what == "gc" else garbage.Server
    chosen = uvicorn.Config(app, log_level="critical", access_log=False, headers=EDGE, proxy_headers=False, **options)
    server(chosen).run(sockets=[listening])


if __name__ == "__main__":
    main()
