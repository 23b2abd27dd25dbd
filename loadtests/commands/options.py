"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from loadtests.experiment.scenario import ClockName

IN_A_PIPELINE, BY_SEVERAL = "In a pipeline", "From several processes or machines"
YOUR_OWN = "Your own gateway"
"""Panels of the help."""

NAME_OR_FILE = typer.Argument(metavar="NAME|FILE", help="A scenario's name (`list`), or its YAML file.")
NameOrFile = Annotated[str, NAME_OR_FILE]
NameOrFileOrNone = Annotated[str | None, NAME_OR_FILE]
Variants = Annotated[list[str] | None, typer.Option("--variant", metavar="V", help="Run only this one; repeatable.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the scenario: load.rate=4; repeatable.")
]
Seed = Annotated[int, typer.Option(help="The same seed: the same arrivals, replies and planned latencies.")]
Repeat = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Run it N times, with seeds one after the other: the spread is told.",
        rich_help_panel=IN_A_PIPELINE,
    ),
]
Clock = Annotated[
    ClockName | None,
    typer.Option(help="virtual: no sockets, no sleeping, the same to the bit each time; default real."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder; default runs/<time>-<name>.")]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate",
        metavar="GATE",
        help="What must hold, too: 'after.goodput_ratio > 0.9'; repeatable.",
        rich_help_panel=IN_A_PIPELINE,
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Write JUnit XML: a case for each expectation, gate.",
        rich_help_panel=IN_A_PIPELINE,
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        help="Write Markdown; it goes to $GITHUB_STEP_SUMMARY by itself.",
        rich_help_panel=IN_A_PIPELINE,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print summary.json on stdout, everything else on stderr.", rich_help_panel=IN_A_PIPELINE
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Send the load from N processes beside a master; default one.",
        rich_help_panel=BY_SEVERAL,
    ),
]
Master = Annotated[
    bool,
    typer.Option(
        "--master",
        help="Wait for N workers that join by hand, from here or another machine.",
        rich_help_panel=BY_SEVERAL,
    ),
]
Worker = Annotated[
    str | None,
    typer.Option(
        metavar="HOST[:PORT]",
        help="Instead of all else: send a share of that master's load.",
        rich_help_panel=BY_SEVERAL,
    ),
]

AIMED = "Load this gateway in place of ours: its URL, a file that says how it is spoken to, or an example's name."
Aimed = Annotated[str | None, typer.Option("--target", metavar="URL|FILE|NAME", help=AIMED, rich_help_panel=YOUR_OWN)]
ItsMock = Annotated[
    str | None,
    typer.Option("--mock", metavar="URL", help="The mock that the target speaks to.", rich_help_panel=YOUR_OWN),
]
RUNS_ALREADY = "A Toxiproxy that runs already, with the hops of the scenario."
ItsToxiproxy = Annotated[
    str | None, typer.Option("--toxiproxy", metavar="URL", help=RUNS_ALREADY, rich_help_panel=YOUR_OWN)
]
ItsKey = Annotated[
    str, typer.Option("--api-key", help="The target's key, sent as X-API-Key.", rich_help_panel=YOUR_OWN)
]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote", help="Allow another machine as target.", rich_help_panel=YOUR_OWN)
]
IWillPay = Annotated[
    bool, typer.Option("--i-will-pay", help="Allow api.anthropic.com as target.", rich_help_panel=YOUR_OWN)
]
