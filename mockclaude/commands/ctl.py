"""`mockclaude ctl`: what /_mock/* does, from a shell, for rehearsals."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import typer
import yaml

from mockclaude import guard
from mockclaude.commands.console import COULD_NOT_RUN

TIMEOUT = 10.0
URL = typer.Option("http://127.0.0.1:8100", envvar="MOCKCLAUDE_URL", help="The mock's address.")
TOKEN = typer.Option("", envvar="MOCKCLAUDE_ADMIN_TOKEN", help="Its --admin-token, if it has one.")
PAIRS = typer.Argument(
    default_factory=list, metavar="KEY=VALUE...", help="key=value, as in the configuration; nested keys with dots."
)

app = typer.Typer(help="Steer a running mock.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def fault(
    name: str = typer.Argument("", help="status, stall, cut ...; the README has them all."),
    pairs: list[str] = PAIRS,
    clear: bool = typer.Option(False, "--clear", help="End all faults, or those called NAME."),
    url: str = URL,
    token: str = TOKEN,
) -> None:
    """Begin a fault now: `ctl fault status code=529 share=0.2`; end it with `ctl fault --clear`."""
    if clear:
        suffix = f"?name={name}" if name else ""
        _show(call("DELETE", url, f"/_mock/faults{suffix}", token))
        return
    if not name:
        _fail("name a fault, or say --clear")
    _show(call("POST", url, "/_mock/faults", token, {"name": name} | _fields(pairs)))


@app.command()
def capacity(pairs: list[str] = PAIRS, url: str = URL, token: str = TOKEN) -> None:
    """Change the capacity: `ctl capacity slots=4 queue=unbounded`."""
    _change("capacity", pairs, url, token)


@app.command()
def limits(pairs: list[str] = PAIRS, url: str = URL, token: str = TOKEN) -> None:
    """Change the limits: `ctl limits requests_per_minute=50`."""
    _change("limits", pairs, url, token)


@app.command()
def latency(pairs: list[str] = PAIRS, url: str = URL, token: str = TOKEN) -> None:
    """Change the latency: `ctl latency ttft.p50=2 ttft.p95=4 tokens_per_second=20`."""
    _change("latency", pairs, url, token)


@app.command()
def reset(url: str = URL, token: str = TOKEN) -> None:
    """Empty the journal, refill buckets, make this moment T0."""
    _show(call("POST", url, "/_mock/reset", token))


@app.command()
def stats(url: str = URL, token: str = TOKEN) -> None:
    """Print counts and levels."""
    _show(call("GET", url, "/_mock/stats", token))


@app.command()
def config(url: str = URL, token: str = TOKEN) -> None:
    """Print what is in force now."""
    _show(call("GET", url, "/_mock/config", token))


def call(method: str, url: str, path: str, token: str, body: object = None) -> Any:
    """Ask the mock; ends the command with exit code 2 and the mock's own words when it refuses."""
    request = urllib.request.Request(url.rstrip("/") + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        past_proxies: dict[str, str] | None = {} if guard.is_loopback(urlsplit(url).hostname or "") else None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(past_proxies))
        with opener.open(request, timeout=TIMEOUT) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            _fail(_reason(error.read(), error.code))
    except (OSError, ValueError) as error:
        _fail(f"no mock at {url}: {getattr(error, 'reason', error)}")


def _reason(body: bytes, status: int) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the answer was a {status}"


def _change(section: str, pairs: Sequence[str], url: str, token: str) -> None:
    changes = _fields(pairs)
    if not changes:
        _fail(f"nothing to change; say for example `ctl {section} key=value`")
    _show(call("PATCH", url, "/_mock/config", token, {section: changes})[section])


def _fields(pairs: Sequence[str]) -> dict[str, object]:
    """`a.b=1` as `{"a": {"b": 1}}`; a value is what YAML makes of it."""
    fields: dict[str, Any] = {}
    for pair in pairs:
        path, equals, value = pair.partition("=")
        *outer, last = path.split(".")
        if not equals or not all((*outer, last)):
            _fail(f"expected key=value, got {pair!r}")
        inner = fields
        for key in outer:
            inner = inner.setdefault(key, {})
            if not isinstance(inner, dict):
                _fail(f"{pair!r}: {key} has a value already")
        try:
            inner[last] = yaml.safe_load(value)
        except yaml.YAMLError:
            _fail(f"expected key=value, got {pair!r}")
    return fields


def _show(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _fail(message: str) -> Any:
    typer.echo(f"mockclaude: {message}", err=True)
    raise typer.Exit(COULD_NOT_RUN)
