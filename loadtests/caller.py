"""One request over gevent's sockets, read as it arrives.

Locust's own `iter_lines` waits for 1,024 bytes before it gives anything (its first line came at 911 ms where the true
time was 202); geventhttpclient's `readline` gives each line when it is there.
"""

import json
from collections.abc import Callable
from typing import Any

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from loadtests.client import Exchange
from loadtests.sample import Sample

FOREVER = 86_400.0


def connect(base_url: str) -> HTTPClient:
    """One pool for a whole process; it follows no redirect and repeats no request."""
    return HTTPClient.from_url(
        base_url, concurrency=100_000, connection_timeout=FOREVER, network_timeout=FOREVER, insecure=False
    )


def send(
    http: HTTPClient,
    path: str,
    headers: dict[str, str],
    body: bytes,
    exchange: Exchange,
    clock: Callable[[], float],
    patience: float,
) -> Sample:
    """Send one request and follow its reply for at most `patience` seconds. Every ending is a Sample, but for a kill of
    the greenlet, which passes: locust ends its users that way."""
    timer = gevent.Timeout.start_new(patience)
    response: HTTPSocketPoolResponse | None = None
    try:
        response = http.request("POST", path, body=body, headers=headers)
        exchange.head(response.status_code, str(response.get("content-type", "")))
        _read(response, exchange, clock)
        return exchange.end(clock())
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        return exchange.fail("timeout", clock())
    except (OSError, HTTPParseError) as error:
        return exchange.fail(_outcome_of(error), clock(), f"{type(error).__name__}: {error}")
    finally:
        timer.close()
        if response is not None:
            response.release()


def _read(response: HTTPSocketPoolResponse, exchange: Exchange, clock: Callable[[], float]) -> None:
    if exchange.streaming:
        while line := response.readline(b"\n"):
            exchange.feed(line, clock())
    exchange.feed(response.read(), clock())


def _outcome_of(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "refused"
        case ConnectionError() | HTTPConnectionClosed():
            return "reset"
        case HTTPParseError():
            return "truncated"
        case _:
            return "failed"


def post(http: HTTPClient, path: str) -> dict[str, Any]:
    """A control request to the mock: POST without a body, a JSON object back. Raises OSError when it is refused."""
    response = http.request("POST", path)
    answer = response.read()
    if response.status_code != 200:
        raise OSError(f"POST {path}: got status {response.status_code}: {answer[:200]!r}")
    found: dict[str, Any] = json.loads(answer)
    return found
