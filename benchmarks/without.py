"""The mock without one of the things that make it fast, to show what each is worth: `without.py WHAT FD CONFIG`."""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
from swap import swap

from mockclaude import alarm, garbage, listener, pacer, reply, settings, wire
from mockclaude.app import EDGE, create_app
from mockclaude.pacer import Pacer
from mockclaude.request.memory import Memory
from mockclaude.speech import script


def go_alone(pacer, paced):
    """Look now, and set this one's own timer, where the pacer has one for all."""
    paced.turn, now = 0, pacer.clock.now()
    try:
        again = paced.look(now, pacer._work.work(now))
    except Exception as error:
        paced.fail(error)
        return
    if again is not None:
        asyncio.get_running_loop().call_at(now + pacer._work.wait(again, now), pacer.go, paced)


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
        swap(Pacer, "go", go_alone)
    elif what == "alarm":
        swap(pacer, "alarm", alarm.LoopAlarm)
    elif what == "batches":
        swap(reply, "AT_ONCE", 1)
    elif what == "rendering":
        swap(wire, "deltas", rendered_by_json)
    elif what == "short_way":
        swap(app, "_direct", {})
    elif what == "uvloop":
        options["loop"] = "asyncio"
    elif what == "memory":
        swap(app.state.server, "memory", Memory(longest=0))
    elif what != "gc":
        sys.exit(f"{what}: expected transport, pacer, alarm, batches, rendering, short_way, memory, uvloop or gc")
    listening = socket.socket(fileno=int(descriptor))
    server = uvicorn.Server if what == "gc" else garbage.Server
    chosen = uvicorn.Config(app, log_level="critical", access_log=False, headers=EDGE, proxy_headers=False, **options)
    server(chosen).run(sockets=[listening])


if __name__ == "__main__":
    main()
