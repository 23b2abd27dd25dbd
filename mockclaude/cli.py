"""The `mockclaude` command: serve a mock, or check a configuration without starting one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mockclaude import __version__, catalog, ctl, guard, latency, settings, sketch, timeline
from mockclaude import conform as conformity
from mockclaude import theory as theories
from mockclaude import verify as verification
from mockclaude.conformance.caller import Caller
from mockclaude.conformance.exchange import NoAnswer
from mockclaude.recordings import fit as fitting

if TYPE_CHECKING:
    from starlette.types import ASGIApp

COULD_NOT_RUN = 2
INTERRUPTED = 130
BACKLOG = 2048
KEEP_ALIVE = 75
"""Longer than any client keeps an idle connection, so that it is never the mock that closes one under a request."""

app = typer.Typer(
    help="A fake Anthropic Messages API whose overload is a consequence of load.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


app.add_typer(ctl.app, name="ctl")


def main() -> None:
    """Entry point of the `mockclaude` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mockclaude {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print it and exit."),
) -> None:
    """A fake Anthropic Messages API whose overload is a consequence of load."""


@app.command()
def serve(
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8100, min=0, max=65535, help="Port to listen on; 0 picks a free one."),
    seed: int | None = typer.Option(None, help="Seed of replies and latencies; wins over the configuration's."),
    config: Path | None = typer.Option(None, help="YAML configuration, as `mockclaude check` accepts it."),
    keys: str = typer.Option("", help="Accept only these keys, separated by commas; any key if none is named."),
    strict_betas: bool = typer.Option(False, "--strict-betas", help="Refuse unknown names in anthropic-beta."),
    admin_token: str | None = typer.Option(None, envvar="MOCKCLAUDE_ADMIN_TOKEN", help="What /_mock/* wants to see."),
    admin_port: int | None = typer.Option(None, min=1, max=65535, help="Answer /_mock/* and /metrics there only."),
    fd: int | None = typer.Option(None, hidden=True, help="Serve on this inherited listening socket."),
) -> None:
    """Serve until interrupted."""
    try:
        known = frozenset(key.strip() for key in keys.split(",") if key.strip())
        written = {} if config is None else settings.load_file(config)
        chosen = settings.Settings(written, seed, known, strict_betas, admin_token, admin_port)
        timeline.parse(chosen.config)
    except settings.ConfigError as error:
        _complain(error, str(config))
        raise typer.Exit(COULD_NOT_RUN) from None
    with contextlib.ExitStack() as open_sockets:
        listener = _listen(host, port) if fd is None else socket.socket(fileno=fd)
        listeners = [open_sockets.enter_context(listener)]
        if admin_port is not None:
            listeners.append(open_sockets.enter_context(_listen(host, admin_port)))
        _run(chosen, listeners)


@app.command()
def check(
    file: str = typer.Argument(help="Configuration file, or - for standard input."),
    as_json: bool = typer.Option(False, "--json", help="Print problems as JSON, with their exact places."),
) -> None:
    """Check a configuration without starting anything, and draw its timeline; exit 2 when it has problems."""
    try:
        plan = timeline.parse(_from_stdin() if file == "-" else settings.load_file(Path(file)))
    except settings.ConfigError as error:
        if as_json:
            typer.echo(json.dumps([{"loc": list(loc), "message": message} for loc, message in error.problems]))
        else:
            _complain(error, file)
        raise typer.Exit(COULD_NOT_RUN) from None
    typer.echo("[]" if as_json else "\n".join([f"{file}: ok", *sketch.draw(plan)]))


def _from_stdin() -> Mapping[str, object]:
    return settings.with_recordings(settings.load(sys.stdin.read()), Path())


def _complain(error: settings.ConfigError, name: str) -> None:
    for problem in error.problems:
        typer.echo(f"{name}: {problem}", err=True)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is printed, so that a busy port is one clear line.

    By its descriptor once more, because a socket made that way knows that it is TCP: asyncio turns Nagle off only then.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.socket(fileno=socket.create_server((host, port), family=family, backlog=BACKLOG).detach())
    except OSError as error:
        typer.echo(f"mockclaude: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None


def _run(chosen: settings.Settings, listeners: list[socket.socket]) -> None:
    from mockclaude.app import EDGE, create_app

    mock = create_app(chosen)
    _greet(listeners[0], chosen.config)
    _until_interrupted(mock, listeners, headers=EDGE)


def _until_interrupted(application: ASGIApp, listeners: list[socket.socket], **options: Any) -> None:
    """Serve on `listeners`; raises `Exit` 130 when it was Ctrl-C that ended it."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(
            application,
            log_level="critical",  # uvicorn calls every stream cut at shutdown an error
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=1,
            **options,
        )
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when it has ended: that is no failure
    try:
        server.run(sockets=listeners)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _greet(listener: socket.socket, config: Mapping[str, object]) -> None:
    url = _url(listener)
    typer.echo(f"mockclaude {__version__} on {url}" + (f" ({', '.join(config)} configured)" if config else ""))
    typer.echo(f"export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=any-key")
    sys.stdout.flush()


@app.command()
def theory(
    config: Path | None = typer.Option(None, help="YAML configuration whose capacity and latency are meant."),
    model: str = typer.Option("claude-haiku-4-5", help="Whose latency."),
    output_tokens: int = typer.Option(120, min=0, help="Tokens of a mean reply."),
    prompt_tokens: int = typer.Option(0, min=0, help="Tokens of a mean prompt."),
    rate: float | None = typer.Option(None, min=0, help="Requests per second; the default uses 80 % of the slots."),
    timeout: float = typer.Option(30.0, min=0.001, help="Seconds a caller waits for an attempt."),
    attempts: int = typer.Option(3, min=1, help="Tries of one request."),
    verify: bool = typer.Option(False, "--verify", help="Check the capacity model against theory instead (V1-V13)."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Print what queueing theory says of these settings; exit 1 when a check of --verify fails."""
    if verify:
        raise typer.Exit(print_checks((result for check in verification.CHECKS for result in check()), as_json))
    family = catalog.family(model)
    if family is None:
        typer.echo(f"--model: Claude has no model {model!r}", err=True)
        raise typer.Exit(COULD_NOT_RUN)
    try:
        conditions = timeline.parse({} if config is None else settings.load_file(config)).at(0.0)
    except settings.ConfigError as error:
        _complain(error, str(config))
        raise typer.Exit(COULD_NOT_RUN) from None
    profile = latency.profile(conditions.latency, family)
    service = theories.mean_service(profile, output_tokens, prompt_tokens)
    load = 0.8 * conditions.capacity.slots / service if rate is None else rate
    lines = theories.forecast(conditions.capacity, service, load, timeout, attempts)
    if as_json:
        typer.echo(json.dumps({line.name: {"value": line.value, "because": line.because} for line in lines}))
        return
    for line in lines:
        typer.echo(f"{line.name:28}  {line.value:28}  {line.because}")


def print_checks(checks: Iterable[verification.Check], as_json: bool) -> int:
    """Print a line each; 0 when all hold, else 1."""
    failed = 0
    for check in checks:
        failed += not check.passed
        if as_json:
            typer.echo(json.dumps(check._asdict()))
            continue
        error = "" if check.error is None else f"± {check.error:.2g}"
        measured = f"{check.measured:.5g} {error}"
        word = "pass" if check.passed else "FAIL"
        typer.echo(f"{check.name:4} {word}  {check.predicted:<8.5g} {measured:20} {check.what}")
    return 1 if failed else 0


@app.command()
def record(
    upstream: str = typer.Option(help="Base URL to pass requests on to, as ANTHROPIC_BASE_URL would name it."),
    out: Path = typer.Option(help="File to append one JSON line per exchange to."),
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(8101, min=0, max=65535, help="Port to listen on; 0 picks a free one."),
    keep_text: bool = typer.Option(False, "--keep-text", help="Record what was said; keys are left out all the same."),
    allow_remote: bool = typer.Option(False, "--allow-remote", help="The upstream may be another machine."),
    i_will_pay: bool = typer.Option(False, "--i-will-pay", help="The upstream may be one that costs money."),
) -> None:
    """Pass requests on to an upstream and record its replies with their timing; text is redacted."""
    try:
        from mockclaude.recordings import record as proxy
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        typer.echo('mockclaude: record needs an HTTP client: pip install "mockclaude[record]"', err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    try:
        target = guard.check(upstream, allow_remote=allow_remote, i_will_pay=i_will_pay)
        file = proxy.opened(out)
    except (guard.Refused, settings.ConfigError) as error:
        typer.echo(f"mockclaude: {'--upstream' if isinstance(error, guard.Refused) else out}: {error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    recorder = proxy.Recorder(target, file.write, keep_text)
    with file, _listen(host, port) as listener:
        url = _url(listener)
        typer.echo(f"mockclaude {__version__} on {url} records {target} to {out}")
        typer.echo(f"export ANTHROPIC_BASE_URL={url}")
        sys.stdout.flush()
        try:
            _until_interrupted(proxy.create_app(recorder), [listener], server_header=False, date_header=False)
        finally:
            typer.echo(f"{out}: {recorder.recorded} exchanges recorded from {target}")


@app.command()
def fit(
    file: str = typer.Argument(help="A recording, CSV with ttft and tokens_per_second, samples.jsonl; - is stdin."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Turn measured replies into a latency section, ready to paste into a configuration."""
    try:
        text = sys.stdin.read() if file == "-" else settings.read_text(Path(file))
        report = fitting.report(text)
    except settings.ConfigError as error:
        _complain(error, file)
        raise typer.Exit(COULD_NOT_RUN) from None
    typer.echo(json.dumps(report.as_json()) if as_json else fitting.as_yaml(report), nl=as_json)


@app.command()
def conform(
    base_url: str = typer.Argument(metavar="BASE_URL", help="The server, as ANTHROPIC_BASE_URL would name it."),
    api_key: str = typer.Option("", envvar="MOCKCLAUDE_API_KEY", help="The key it takes; any will do for the mock."),
    model: str = typer.Option("claude-haiku-4-5", help="The model that is asked; a cheap one."),
    only: list[str] = typer.Option([], metavar="NAME", help="Make this check alone; may be repeated."),
    timeout: float = typer.Option(60.0, min=0.001, max=600, help="Seconds to wait for an answer."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object with all verdicts."),
    allow_remote: bool = typer.Option(False, "--allow-remote", help="The server may be another machine."),
    i_will_pay: bool = typer.Option(False, "--i-will-pay", help="The server may be one that costs money."),
) -> None:
    """Check whether a server answers as Claude does: a PASS, FAIL or SKIP line each.

    Sends about 50 requests, one after the other. Claude refuses some 30 of them, which costs nothing; the others take
    about 2,000 input and 500 output tokens, never more than 2,700. A FAIL names its evidence: A documented, B
    captured, C inferred.
    Exit code 0: all passed; 1: some failed; 2: could not run.
    """
    try:
        target = guard.check(base_url, allow_remote=allow_remote, i_will_pay=i_will_pay)
        if i_will_pay and not api_key:
            raise guard.Refused("--i-will-pay needs the --api-key of who pays")
        send = Caller(target, timeout).send
        results = conformity.run(conformity.chosen(only), model, api_key or "sk-conform", send)
        raise typer.Exit(conformity.report(results, as_json, typer.echo))
    except (guard.Refused, conformity.Unknown, NoAnswer) as error:
        where = f"{base_url}: " if isinstance(error, NoAnswer) else ""
        typer.echo(f"mockclaude: {where}{error}", err=True)
        raise typer.Exit(COULD_NOT_RUN) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
