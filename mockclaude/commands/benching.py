"""`mockclaude bench`: what a mock costs, beside baselines and peers, measured in one run."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import typer

from mockclaude.bench import asked, contender, earlier, gateways, goals, ladder, markdown, report, rounds
from mockclaude.bench.contender import Contender, CouldNotRun
from mockclaude.bench.load import Found, Load
from mockclaude.bench.rounds import Pair
from mockclaude.commands import console, growing, profiling

NAME = "mockclaude bench"
QUESTION = '"messages":[{"role":"user","content":"Tell me of the harbour."}]'
ASKED = f'{{"model":"claude-haiku-4-5","max_tokens":150,"stream":true,{QUESTION}}}'
WHOLE = f'{{"model":"claude-haiku-4-5","max_tokens":20,{QUESTION}}}'
COUNTED = f'{{"model":"claude-haiku-4-5",{QUESTION}}}'
MARKER = '"text_delta"'
CALLERS = 32
FULL, NEARLY = "80%", 0.78

ROUNDS = typer.Option(3, "--rounds", min=1, help="Rounds; each measures every contender once.")
SECONDS = typer.Option(3.0, min=0.5, help="Seconds that count in each measurement.")
ABLATE = typer.Option(False, "--ablate", help="Beside it, the mock without each thing that makes it fast.")
ONLY = typer.Option("", help="Measure only these contenders, separated by commas.")
PEER = typer.Option(default_factory=list, help="NAME=URL of a server that runs here already and speaks at this speed.")
SAVED = typer.Option(None, "--json", help="Write everything into this file, with machine and versions.")
COMPARE = typer.Option(None, exists=True, dir_okay=False, help="Print the CPU beside that of a file --json wrote.")


class Typed(NamedTuple):
    """What all of them are told: `full` are the seconds of a measurement that fills four fifths of a core, if any."""

    rounds: int
    only: str
    peers: Sequence[str]
    saved: Path | None
    compare: Path | None
    full: float | None = None


app = typer.Typer(no_args_is_help=True)


@app.callback()
def measuring() -> None:
    """Measure what a mock costs (needs two cores and Linux)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who is told to end ends its servers first


@app.command()
def mock(
    n: str = typer.Option(
        f"300,1000,{FULL}", help=f"How many streams at once; {FULL}: as many as that of a core carries."
    ),
    count: int = ROUNDS,
    seconds: float = SECONDS,
    ablate: bool = ABLATE,
    only: str = ONLY,
    peer: list[str] = PEER,
    saved: Path | None = SAVED,
    compare: Path | None = COMPARE,
) -> None:
    """Streams at 90 tokens a second: CPU a token, and how far each came from its schedule."""
    loads = [_speaking(size, seconds) for size in _sizes(n, FULL)]
    baselines = [contender.baseline(name, gc) for name in contender.STREAMING for gc in (False, True)]
    beside = [contender.without(part) for part in contender.PARTS] if ablate else baselines
    typed = Typed(count, only, peer, saved, compare, seconds if FULL in n.split(",") and not ablate else None)
    _run("mock", [([contender.OURS, *beside], loads)], goals.MOCK, typed)


def _filling(seconds: float) -> Load:
    """As many streams as use four fifths of a core; raises `CouldNotRun`. Each of many costs less than each of few, so
    what few use tells how many to look at, and those how many it takes."""
    n = 300
    for _ in range(2):
        found = rounds.of_server(contender.OURS, _speaking(n, 1.0))
        n = round(n * NEARLY / (found.busy or NEARLY))
    return _speaking(n, seconds)


def _speaking(n: int, seconds: float) -> Load:
    return Load(n, "/v1/messages", ASKED, MARKER, 0.3, 1 / 90, 150, 2.0, 1.0, seconds)


@app.command("ladder")
def ladder_(
    count: int = ROUNDS,
    seconds: float = SECONDS,
    only: str = ONLY,
    saved: Path | None = SAVED,
) -> None:
    """The most streams of 90 tokens a second of which 99 of 100 tokens are within 5 ms, beside what others carry."""
    beside = [contender.baseline(name, True) for name in ("streaming", "raw_send")]
    heights: dict[str, list[ladder.Height | None]] = {}

    def measure(one: Contender, n: int) -> Found:
        typer.echo(f"round {len(heights[one.name]) + 1} of {count}: {one.name}, {n} streams", err=True)
        return rounds.of_server(one, _speaking(n, seconds))

    with console.or_give_up(NAME, CouldNotRun):
        asked.place("--json", saved)
        names = asked.names([goals.OURS, *(one.name for one in beside)], only)
        chosen = [one for one in (contender.OURS, *beside) if one.name in names]
        contender.ready(chosen, [_speaking(ladder.streams(ladder.HIGHEST), seconds)])
        heights |= {one.name: [] for one in chosen}
        for _ in range(count):
            for one in chosen:
                own = heights[one.name]
                own.append(ladder.climb(partial(measure, one), ladder.start(own)))
    judged = ladder.judge(heights)
    document = report.document("ladder", [], []) | ladder.document(heights, judged)
    if saved is not None:
        saved.write_text(json.dumps(document, indent=1))
    _end(
        [*ladder.table(heights), "", *ladder.verdicts(judged), *report.warning(document)],
        [one.verdict for one in judged],
    )


@app.command()
def profile(
    n: int = typer.Option(300, min=1, help="How many streams at once."),
    seconds: int = typer.Option(5, min=1, help="For how long to look."),
    picture: Path = typer.Option(Path("profile.svg"), "--out", help="The file to draw it into."),
) -> None:
    """Streams at 90 tokens a second: a flame graph of what the mock does (needs py-spy)."""
    profiling.draw(_speaking(n, seconds), seconds, picture)


@app.command()
def idle(
    n: str = typer.Option("10000", help="How many streams at once."),
    count: int = ROUNDS,
    ablate: bool = ABLATE,
    only: str = ONLY,
    peer: list[str] = PEER,
    saved: Path | None = SAVED,
    compare: Path | None = COMPARE,
) -> None:
    """Streams that wait six seconds for their first token: how late it comes, and the memory a caller costs."""
    brief = ASKED.replace("150", "10")
    loads = [Load(size, "/v1/messages", brief, MARKER, 6.0, 0.4, 10, 9.6, 1.0, 5.0) for size in _sizes(n)]
    baselines = [contender.baseline("streaming", gc) for gc in (False, True)]
    beside = [contender.without(part) for part in contender.PARTS] if ablate else baselines
    _run("idle", [([contender.OURS, *beside], loads)], goals.IDLE, Typed(count, only, peer, saved, compare))


@app.command("json")
def json_(
    tokens: bool = typer.Option(False, "--count-tokens", help="POST /v1/messages/count_tokens instead."),
    count: int = ROUNDS,
    seconds: float = SECONDS,
    ablate: bool = ABLATE,
    only: str = ONLY,
    peer: list[str] = PEER,
    saved: Path | None = SAVED,
    compare: Path | None = COMPARE,
) -> None:
    """Answers in JSON that take no time, from 32 callers: CPU an answer, to one prompt and to ever new ones."""
    path, body = ("/v1/messages/count_tokens", COUNTED) if tokens else ("/v1/messages", WHOLE)
    baselines = [contender.baseline("json_reply", gc) for gc in (False, True)]
    beside = [contender.without(part) for part in contender.PARTS] if ablate else baselines
    load = Load(CALLERS, path, body, tokens=20, window=seconds)
    pairs = [([contender.OURS, *beside], [load]), ([contender.UNHEARD], [load._replace(fresh="harbour")])]
    _run("count_tokens" if tokens else "json", pairs, goals.JSON, Typed(count, only, peer, saved, compare))


@app.command("markdown")
def markdown_(files: list[Path] = typer.Argument(exists=True, dir_okay=False, help="Files that --json wrote.")) -> None:
    """What was measured and judged, as tables in Markdown."""
    for file in files:
        for line in markdown.lines(json.loads(file.read_text())):
            typer.echo(line)


@app.command()
def gateway(
    n: str = typer.Option(str(gateways.STREAMS), help="How many streams at once."),
    count: int = ROUNDS,
    seconds: float = SECONDS,
    ablate: bool = typer.Option(False, "--ablate", help="Instead, without each thing that makes it fast."),
    only: str = ONLY,
    saved: Path | None = SAVED,
    compare: Path | None = COMPARE,
) -> None:
    """The reference gateway between its callers and a mock: CPU a token, and what it adds to the first one."""
    sizes = _sizes(n)
    ways, chosen = (gateways.CHAT, gateways.PASSED_ON), gateways.ablated if ablate else gateways.contenders
    pairs = [(chosen(way), [gateways.load(way, one, seconds) for one in sizes]) for way in ways]
    held_to = [goal for way in ways for goal in gateways.goals_of(way)]
    _run("gateway", pairs, held_to, Typed(count, only, [], saved, compare))


app.command("growth")(growing.growth)
app.command("memory")(growing.memory)


def _sizes(said: str, *besides: str) -> list[int]:
    try:
        return asked.sizes("--n", said, besides)
    except CouldNotRun as error:
        console.give_up(NAME, error)


def _run(what: str, pairs: Sequence[Pair], held_to: Sequence[goals.Goal], typed: Typed) -> None:
    """Contenders under their own loads, all against the same goals."""
    with console.or_give_up(NAME, CouldNotRun):
        asked.place("--json", typed.saved)
        before = None if typed.compare is None else earlier.read(typed.compare, what)
        names = asked.names([one.name for contenders, _ in pairs for one in contenders], typed.only)
        peers = [contender.peer(said) for said in typed.peers]
        chosen = [([one for one in contenders if one.name in names], loads) for contenders, loads in pairs]
        chosen[0][0].extend(peers)
        filled = typed.full is not None and goals.OURS in names
        if not filled and not any(loads for _, loads in chosen):
            raise CouldNotRun(f"--n {FULL}: it is of {goals.OURS} without --ablate, expected a number beside it")
        for contenders, loads in chosen:
            contender.ready(contenders, loads)
        if typed.full is not None and filled:
            filling = _filling(typed.full)
            contender.ready([contender.OURS], [filling])
            chosen.append(([contender.OURS], [filling]))
            held_to = [*held_to, goals.full(filling.n)]
        rows = rounds.measure(chosen, typed.rounds, lambda said: typer.echo(said, err=True))
    judged = goals.judge(held_to, rows)
    document = report.document(what, rows, judged)
    if typed.saved is not None:
        typed.saved.write_text(json.dumps(document, indent=1))
    compared = [] if before is None else [*earlier.compared(rows, before), *earlier.warning(before, document)]
    said = [
        *report.table(rows),
        "",
        *report.verdicts(judged),
        *report.unjudged(held_to, rows),
        *compared,
        *report.warning(document),
    ]
    _end(said, [one.verdict for one in judged])


def _end(said: Sequence[str], verdicts: Sequence[goals.Verdict]) -> None:
    for line in said:
        typer.echo(line)
    if code := report.exit_code(verdicts):
        raise typer.Exit(code)
