"""`mockclaude conform`: does a server answer as Claude does?"""

from __future__ import annotations

import signal

import typer

from mockclaude import conform as conformity
from mockclaude import guard
from mockclaude.commands.console import COULD_NOT_RUN, INTERRUPTED
from mockclaude.conformance.caller import Caller
from mockclaude.conformance.exchange import NoAnswer


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it ignored
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
