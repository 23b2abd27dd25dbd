"""A request over gevent's sockets, from its errand's first step to its last; how it is read is in `line`.

Locust's own `iter_lines` waits for 1,024 bytes before it gives anything (its first line came at 911 ms where the true
time was 202), geventhttpclient's `read` for as many as it is asked for, its `readline` for a line, of which none is to
be seen in a compressed body. Of geventhttpclient there remain the pool of connections and the parser.
"""

import errno
import functools
import json
import math
import time
from collections.abc import Callable
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any, NamedTuple

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketPoolResponse

from loadtests.protocol import rotation
from loadtests.protocol.client import Call
from loadtests.protocol.errand import Errand, Pause, bite
from loadtests.sending import line
from loadtests.sending.line import BLOCK, Answer

FOREVER = 86_400.0
LITTLE = 4096
"""Bytes that the machine of a slow reader keeps for it; then whoever sends has to wait."""
HANDSHAKES = 10
OUT_OF_SOCKETS = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)


class Starved(Exception):
    """This machine has no socket left for a request: nothing that the server did."""


class Offset(NamedTuple):
    """What to add to this process' monotonic clock to have the mock's wall clock, and how wrong that may be."""

    seconds: float
    error: float


def connect(base_url: str) -> HTTPClient:
    """One pool for a whole process; it follows no redirect and repeats no request."""
    http = HTTPClient.from_url(
        base_url, concurrency=100_000, connection_timeout=FOREVER, network_timeout=FOREVER, insecure=False
    )
    pool: Any = http._connection_pool
    pool.after_connect = line.stamp
    pool._is_socket_alive = line.idle  # its own asks select, which asks the loop
    pool._resolve = functools.cache(pool._resolve)  # a thread's errand, for each connection
    return http


def connect_slowly(base_url: str) -> HTTPClient:
    """The same for one who reads slowly: what is not read soon is not taken from the network."""
    http = connect(base_url)
    pool: Any = http._connection_pool
    pool.after_connect = lambda sock: sock.setsockopt(SOL_SOCKET, SO_RCVBUF, LITTLE)
    return http


def pursue(http: HTTPClient, errand: Errand, clock: Callable[[], float], reads: float = math.inf) -> None:
    """Take an errand to its end, or until its caller goes, who `reads` so many bytes a second. Only a kill of the
    greenlet passes: locust ends its users that way."""
    patience = _Patience(errand, clock)
    try:
        while (step := errand.next(clock())) is not None:
            if isinstance(step, Pause):
                gevent.sleep(step.seconds)
            else:
                _exchange(http, step, errand, clock, patience, reads)
    except gevent.Timeout as expired:
        if expired is not patience.timer:
            raise
        errand.give_up(clock())
    finally:
        patience.timer.close()


class _Patience:
    """Goes off in its greenlet when an errand's caller goes, which may become sooner."""

    def __init__(self, errand: Errand, clock: Callable[[], float]) -> None:
        self._errand, self._clock = errand, clock
        self._ends_at = errand.ends_at
        self.timer = self._started()

    def look(self) -> None:
        """After each piece of an answer: who leaves while reading has begun to read."""
        if self._errand.ends_at < self._ends_at:
            self._ends_at = self._errand.ends_at
            self.timer.close()
            self.timer = self._started()

    def _started(self) -> gevent.Timeout:
        return gevent.Timeout.start_new(max(0.0, self._ends_at - self._clock()))


def probe(http: HTTPClient, call: Call, timeout: float) -> bool:
    """Whether the gateway answers well, and in time."""
    timer = gevent.Timeout.start_new(timeout)
    response: HTTPSocketPoolResponse | None = None
    try:
        response = http.request(call.method, call.path, body=call.body, headers=call.headers)
        response.read()
        return rotation.is_well(response.status_code)
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        return False
    except (OSError, HTTPParseError):
        return False
    finally:
        timer.close()
        if response is not None:
            response.release()


def _exchange(
    http: HTTPClient, call: Call, errand: Errand, clock: Callable[[], float], patience: _Patience, reads: float
) -> None:
    answer, sock = Answer(errand, clock), None
    pool: Any = http._connection_pool
    try:
        sock = pool.get_socket()
        line.send(sock, call, _host(http))
        if reads == math.inf and not errand.may_stop_reading and not line.encrypted(sock):
            line.read(sock, answer)
        else:
            _read_by_hand(sock, answer, patience, reads)
        errand.end(answer.came)
    except (OSError, HTTPParseError) as error:
        if isinstance(error, OSError) and error.errno in OUT_OF_SOCKETS:
            raise Starved(str(error)) from error
        errand.fail(_outcome_of(error), clock(), f"{type(error).__name__}: {error}")
    finally:
        if sock is not None:
            (pool.return_socket if answer.clean else pool.release_socket)(sock)


def _read_by_hand(sock: Any, answer: Answer, patience: _Patience, reads: float) -> None:
    most = BLOCK if reads == math.inf else min(BLOCK, bite(reads))

    def taken(size: int) -> None:
        patience.look()
        if most < BLOCK:
            gevent.sleep(size / reads)

    line.read_by_hand(sock, answer, most, taken)


def _host(http: HTTPClient) -> str:
    name = f"[{http.host}]" if ":" in http.host else http.host
    return name if http.port in (80, 443) else f"{name}:{http.port}"


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


def begin(mock: HTTPClient) -> tuple[float, float]:
    """Make this moment T0: when that was by the mock's own wall clock, and by this process' monotonic one, which cannot
    be wrong by more than half of what the answer took. Raises OSError when it is refused."""
    control(mock, "POST", "/_mock/close")  # what an earlier start left there would be load of this one
    asked = time.monotonic()
    wall = float(control(mock, "POST", "/_mock/reset")["wall"])
    return wall, (asked + time.monotonic()) / 2


def wall_offset(mock: HTTPClient) -> Offset:
    """The best of some handshakes: what was on its way for the shortest time can be wrong by half of that at most."""
    return min((_handshake(mock) for _ in range(HANDSHAKES)), key=lambda offset: offset.error)


def _handshake(mock: HTTPClient) -> Offset:
    asked = time.monotonic()
    wall = float(control(mock, "GET", "/_mock/clock")["wall"])
    answered = time.monotonic()
    return Offset(wall - (asked + answered) / 2, (answered - asked) / 2)


def control(http: HTTPClient, method: str, path: str) -> dict[str, Any]:
    """A request to the mock's control plane: no body, a JSON object back. Raises OSError when it is refused."""
    response = http.request(method, path)
    answer = response.read()
    if response.status_code != 200:
        raise OSError(f"{method} {path}: got status {response.status_code}: {answer[:200]!r}")
    found: dict[str, Any] = json.loads(answer)
    return found
