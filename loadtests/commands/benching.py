"""`loadtests bench`: what the generator measures beside the truth, and what that costs, in one run."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from loadtests.bench import measuring, verdict
from loadtests.errors import CannotRun
from mockclaude.bench import asked, contender, earlier, goals, report, rounds
from mockclaude.bench.contender import Contender, CouldNotRun
from mockclaude.bench.load import Load
from mockclaude.bench.rounds import Row

BENCH = "client"
LIBRARIES = ("locust", "gevent", "geventhttpclient", "greenlet", "orjson")

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure what the generator costs, and how true it is (Linux, two cores)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who is told to end ends its servers first


@app.command()
def client(
    n: Annotated[str, typer.Option(help="How many streams at once.")] = "300",
    rate: Annotated[str, typer.Option(help="How many short requests a second.")] = "500,1000,2000,3000",
    count: Annotated[int, typer.Option("--rounds", min=1, help="Rounds; each measures everything once.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="Seconds that count in each measurement.")] = 3.0,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="In place of iter_lines, the generator without each thing that makes it so."),
    ] = False,
    only: Annotated[str, typer.Option(help="Only loadtests, iter_lines or arrivals; with commas.")] = "",
    saved: Annotated[Path | None, typer.Option("--json", help="Write everything into this file.")] = None,
    compare: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Print the CPU beside a file of --json.")
    ] = None,
) -> None:
    """One process reads streams at 90 tokens a second, then sends short requests: how true its times are; its CPU."""
    readers, senders = [measuring.READER, measuring.PLAIN], [measuring.SENDER]
    if ablate:
        readers[1:] = [measuring.without(verdict.GENERATOR, part) for part in measuring.READING]
        senders += [measuring.without(verdict.ARRIVALS, part) for part in measuring.SENDING]
    try:
        asked.place("--json", saved)
        before = None if compare is None else earlier.read(compare, BENCH)
        names = asked.names([one.name for one in (*readers, *senders)], only)
        streams = [measuring.streams(one, seconds) for one in asked.sizes("--n", n)]
        short = [measuring.short_requests(one, seconds) for one in asked.sizes("--rate", rate)]
        readers, senders = ([one for one in each if one.name in names] for each in (readers, senders))
        contender.ready(readers, streams)
        contender.ready(senders, [])
        read, sent = _measured(readers, streams, count), _measured(senders, short, count)
    except CouldNotRun as error:
        raise CannotRun(f"bench: {error}") from None
    judged = goals.judge(verdict.GOALS, [*read, *sent], verdict.TIMES)
    beside = goals.judge(verdict.held_to(verdict.ITER_LINES), read, verdict.TIMES)
    document = report.document(BENCH, [*read, *sent], [*judged, *beside], LIBRARIES)
    if saved is not None:
        saved.write_text(json.dumps(document, indent=1))
    if read:
        _print(*report.table(list(verdict.with_truth(read)), verdict.OF_STREAMS), "")
    if sent:
        _print(*report.table(sent, verdict.OF_ARRIVALS), verdict.most(sent), "")
    unjudged = (line for rows in (read, sent) if rows for line in report.unjudged(verdict.GOALS, rows))
    _print(*report.verdicts([*judged, *beside]), *unjudged, *report.warning(document))
    if before is not None:
        _print(*earlier.compared([*read, *sent], before), *earlier.warning(before, document))
    if code := report.exit_code([one.verdict for one in judged]):
        raise typer.Exit(code)


@app.command()
def markdown(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files that client --json wrote.")],
) -> None:
    """What was measured and judged, as tables for a README."""
    for file in files:
        _print(*verdict.lines(json.loads(file.read_text())))


def _measured(contenders: Sequence[Contender], loads: Sequence[Load], count: int) -> list[Row]:
    return rounds.measure([(contenders, loads)], count, lambda said: typer.echo(said, err=True), measuring.once)


def _print(*lines: str) -> None:
    for line in lines:
        typer.echo(line)
