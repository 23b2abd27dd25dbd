"""An nginx between two programs: what a scenario may set of it, and the configuration that comes of it.

The knobs have nginx's own names. Those whose default changed over the years are always written out, so that a scenario
means the same with any nginx: HTTP/1.0 to the upstream and no kept connections, as before 1.29.7.
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import jinja2
from annotated_types import Ge, Gt, Le, Len
from pydantic import BeforeValidator, ConfigDict, Field, Strict

from loadtests.documents import section
from loadtests.documents.section import Loc, Unit

Switch = Annotated[bool, Strict()]
Bytes = Annotated[int, Strict(), Ge(0), Unit("bytes")]
Buffer = Annotated[int, Strict(), Ge(512), Le(1 << 20), Unit("bytes")]
Count = Annotated[int, Strict(), Ge(0)]
Seconds = Annotated[float, Strict(), Gt(0), Le(86_400), Unit("seconds")]
Header = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9-]+$")]
HttpVersion = Annotated[Literal["1.0", "1.1"], BeforeValidator(lambda given: _as_written(given))]
Next = Literal[
    "error",
    "timeout",
    "invalid_header",
    "http_500",
    "http_502",
    "http_503",
    "http_504",
    "http_403",
    "http_404",
    "http_429",
    "non_idempotent",
    "off",
]
"""When another upstream is tried. Claude's 529 cannot be named."""

ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
UNQUOTABLE = re.compile(r'["\\$;{}\n]')
CONNECTIONS = 8192
BUFFERS = 8
"""For each answer, beside the one for its headers: nginx's own number."""
LAZY = 0.3
"""Seconds that a timeout of nginx may be short: it does not set a timer anew for less (NGX_TIMER_LAZY_DELAY)."""
TEMPLATE = "nginx.conf.j2"
FOLDERS = (Path(__file__).parents[2] / "deploy" / "nginx", Path(__file__).parent)
"""Where the template lies in a checkout, and where in an installed package."""


@dataclass(frozen=True)
class LimitReq:
    """At most `rate` requests a second from one address, and `burst` more at once; the rest get `status`."""

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    rate: Annotated[float, Strict(), Gt(0), Unit("a second")]
    burst: Count = 0
    status: Annotated[int, Strict(), Ge(400), Le(599)] = 503

    def __post_init__(self) -> None:
        if self.rate * 60 % 1:
            raise ValueError(f"rate: got {self.rate:g}, expected a whole number a second, or a minute (0.5 is 30)")


@dataclass(frozen=True)
class Nginx:
    """The knobs; their names are the YAML. Sizes in bytes, times in seconds.

    With `proxy_buffering`, an upstream body that ends with its connection (HTTP/1.0) is held until a buffer of
    `buffer_size` is full; a chunked one is not. `header_buffer_size`, if given, is that of the first, which the headers
    must fit into. `upstreams`: how often it believes to have what is behind it, as if there were so many of that.
    """

    __pydantic_config__: ClassVar[ConfigDict] = section.STRICT

    proxy_buffering: Switch = True
    proxy_http_version: HttpVersion = "1.0"
    buffer_size: Buffer = 4096
    header_buffer_size: Buffer | None = None
    gzip: Switch = False
    keepalive: Count = 0
    keepalive_timeout: Seconds = 75.0
    proxy_connect_timeout: Seconds = 60.0
    proxy_send_timeout: Seconds = 60.0
    proxy_read_timeout: Seconds = 60.0
    client_max_body_size: Bytes = 1 << 20
    proxy_max_temp_file_size: Bytes = 1 << 30
    proxy_request_buffering: Switch = True
    proxy_ignore_client_abort: Switch = False
    proxy_pass_header: list[Header] = dataclasses.field(default_factory=list)
    proxy_next_upstream: Annotated[list[Next], Len(1)] = dataclasses.field(default_factory=lambda: ["error", "timeout"])
    proxy_next_upstream_tries: Count = 0
    max_fails: Count = 1
    upstreams: Annotated[int, Strict(), Ge(1), Le(100)] = 1
    limit_req: LimitReq | None = None

    def __post_init__(self) -> None:
        if self.keepalive and self.proxy_http_version == "1.0":
            raise ValueError(f'got keepalive {self.keepalive} with HTTP/1.0, expected proxy_http_version: "1.1"')
        if (self.header_buffer_size or 0) > (BUFFERS - 2) * self.buffer_size:
            got = f"header_buffer_size {self.header_buffer_size}, buffer_size {self.buffer_size}"
            raise ValueError(f"got {got}, expected header_buffer_size <= {BUFFERS - 2} * buffer_size")
        if 0 < self.proxy_max_temp_file_size < self.busy:
            got = f"proxy_max_temp_file_size {self.proxy_max_temp_file_size}"
            raise ValueError(f"got {got}, expected 0 or at least {self.busy}, which nginx holds in memory anyway")

    @property
    def busy(self) -> int:
        """Of what it holds, how much may be on its way to the caller: two buffers, as by default."""
        return max(2 * self.buffer_size, self.header_buffer_size or 0)


def parse(data: object, loc: Loc = ("nginx",)) -> Nginx:
    """Read one hop's knobs. Raises section.Problem."""
    return section.read(Nginx, data, loc)


def render(knobs: Nginx, *, listen: str, upstreams: Sequence[str], folder: Path, send_buffer: int | None = None) -> str:
    """The configuration of one nginx on `listen` (host:port) before `upstreams` (host:port each), which keeps all it
    writes in `folder`. Whoever chose the port may hold it meanwhile: bound with SO_REUSEPORT, not listening.
    `send_buffer`: bytes that the kernel keeps for a caller; None is its own choice.

    Raises ValueError when an address or the folder cannot be written in a configuration.
    """
    for address in (listen, *upstreams):
        if not ADDRESS.fullmatch(address):
            raise ValueError(f'nginx: got address "{address}", expected host:port')
    if not upstreams:
        raise ValueError("nginx: got no upstream, expected at least one host:port")
    if UNQUOTABLE.search(str(folder)) or not folder.is_absolute():
        raise ValueError(f'nginx: got folder "{folder}", expected an absolute path without quotes, $, ; or braces')
    return _template().render(
        knobs=knobs,
        listen=listen,
        upstreams=[*upstreams] * knobs.upstreams,
        folder=lambda name: f'"{folder / name}"',
        buffers=BUFFERS,
        send_buffer=send_buffer,
        connections=CONNECTIONS,
    )


def command(program: str, configuration: Path) -> list[str]:
    """The command line of an nginx in the foreground. What it says before it has read the file goes to its stderr."""
    return [program, "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration)]


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDERS),
        autoescape=False,  # no HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"on": _on, "seconds": _seconds, "rate": _rate}
    return environment.get_template(TEMPLATE)


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _seconds(seconds: float) -> str:
    return f"{max(1, round(seconds * 1000))}ms"


def _rate(per_second: float) -> str:
    return f"{per_second * 60:.0f}r/m" if per_second % 1 else f"{per_second:.0f}r/s"


def _as_written(given: object) -> object:
    """YAML reads 1.1 as a number."""
    return f"{given:.1f}" if isinstance(given, float) else given
