"""The log itself: JSON lines, no secrets, and the loop's lag."""

import asyncio
import io
import json

from gateway_under_test import logs


def test_a_line_is_one_json_object():
    file = io.StringIO()

    logs.make(file).info("attempt", request_id="r-1", status_code=None)

    [line] = file.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["event"], fields["request_id"], fields["status_code"]) == ("attempt", "r-1", None)
    assert fields["timestamp"].endswith("Z")


def test_a_crash_keeps_its_traceback_in_one_line():
    file = io.StringIO()
    log = logs.make(file)

    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("crash", request_id="r-1")

    [line] = file.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


async def test_a_late_loop_is_told(gateway):
    loop = asyncio.get_running_loop()
    lines = []

    class Late:
        def warning(self, event, **fields):
            lines.append((event, fields))

    watcher = loop.create_task(logs.watch_loop(Late()))
    await asyncio.sleep(1.0)
    quiet = list(lines)
    real = loop.time
    loop.time = lambda: real() + (0.5 if not lines and real() > 1.1 else 0.0)
    await asyncio.sleep(1.0)
    watcher.cancel()

    assert quiet == []
    assert lines[0][0] == "loop_lag" and lines[0][1]["seconds"] >= 0.25


async def test_no_line_holds_a_key(gateway, claude):
    claude.script = [claude.fails(401)]

    async with gateway() as g:
        await g.chat()
        await g.caller.post("/chat", json={"message": "hi"}, headers={"x-api-key": "stolen"})

    text = json.dumps(g.lines.all)
    assert not any(secret in text for secret in ("sk-ours", "stolen", '"good"'))
