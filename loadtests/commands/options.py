"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from loadtests.scenario import ClockName

NAME_OR_FILE = typer.Argument(metavar="NAME|FILE", help="A scenario's name (`list`), or its YAML file.")
NameOrFile = Annotated[str, NAME_OR_FILE]
NameOrFileOrNone = Annotated[str | None, NAME_OR_FILE]
Variants = Annotated[list[str] | None, typer.Option("--variant", metavar="V", help="Run only this one; repeatable.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the scenario: load.rate=4; repeatable.")
]
Seed = Annotated[int, typer.Option(help="The same seed: the same arrivals, replies and planned latencies.")]
Repeat = Annotated[
    int, typer.Option(min=1, metavar="N", help="Run it N times, with seeds one after the other: the spread is told.")
]
Clock = Annotated[
    ClockName | None,
    typer.Option(help="virtual: no sockets, no sleeping, the same to the bit each time; default real."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder; default runs/<time>-<name>.")]
Gates = Annotated[
    list[str] | None,
    typer.Option("--gate", metavar="GATE", help="What must hold, too: 'after.goodput_ratio > 0.9'; repeatable."),
]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML: a case for each expectation, gate.")
]
Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write Markdown; it goes to $GITHUB_STEP_SUMMARY by itself."),
]
Json = Annotated[bool, typer.Option("--json", help="Print summary.json on stdout, everything else on stderr.")]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Send the load from N processes beside a master; default one.")
]
Master = Annotated[
    bool, typer.Option("--master", help="Wait for N workers that join by hand, from here or another machine.")
]
Worker = Annotated[
    str | None, typer.Option(metavar="HOST[:PORT]", help="Instead of all else: send a share of that master's load.")
]
