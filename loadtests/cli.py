"""What can be typed after `loadtests`."""

import contextlib
import functools
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from loadtests import agreement, client, display, runner, scenario, stack
from loadtests.document import did_you_mean
from loadtests.errors import EXIT_FAIL, EXIT_PASS, CannotRun, Interrupted, InvalidRun
from loadtests.rundir import RunDir
from loadtests.scenario import ClockName, Scenario
from loadtests.target import Target

app = typer.Typer(
    help="Rehearse an overload of Claude offline, and see which defence fixes it.",
    epilog="Exit codes: 0 pass, 1 a gate or expectation failed, 2 could not run, 3 invalid run, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"loadtests {metadata.version('mockclaude')}")
        raise typer.Exit


NameOrFile = Annotated[str, typer.Argument(metavar="NAME|FILE", help="A scenario's name (`list`), or its YAML file.")]
Variants = Annotated[list[str] | None, typer.Option("--variant", metavar="V", help="Run only this one; repeatable.")]
Assignments = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the scenario: load.rate=4; repeatable.")
]
Seed = Annotated[int, typer.Option(help="The same seed: the same arrivals, replies and planned latencies.")]
Clock = Annotated[
    ClockName | None,
    typer.Option(help="virtual: no sockets, no sleeping, the same to the bit each time; default real."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder; default runs/<time>-<name>.")]
AIMED = "Load this gateway, which runs already, instead of starting ours; its Claude must be --mock."
Json = Annotated[bool, typer.Option("--json", help="Print summary.json on stdout, everything else on stderr.")]


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print it.")
    ] = False,
) -> None:
    """Rehearse an overload of Claude offline, and see which defence fixes it."""


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that come with the product."""
    console = display.console()
    width = max(map(len, scenario.names()))
    for name in scenario.names():
        about = scenario.load(name)[0].about
        console.print(f"[bold]{name:<{width}}[/]  {about}", soft_wrap=True)


@app.command()
def show(name: NameOrFile, assignments: Assignments = None) -> None:
    """A scenario as it would run, with all its defaults."""
    experiment, _ = scenario.load(name, assignments or [])
    print(scenario.to_yaml(experiment), end="")


@app.command()
def run(
    name: NameOrFile,
    variant: Variants = None,
    assignments: Assignments = None,
    seed: Seed = 1,
    clock: Clock = None,
    out: Out = None,
    as_json: Json = False,
    gateway: Annotated[str | None, typer.Option("--target", metavar="URL", help=AIMED)] = None,
    mock: Annotated[str | None, typer.Option(metavar="URL", help="The mock that the target speaks to.")] = None,
    api_key: Annotated[str, typer.Option(help="The target's key, sent as X-API-Key.")] = client.KEY,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Allow another machine as target.")] = False,
    i_will_pay: Annotated[bool, typer.Option("--i-will-pay", help="Allow api.anthropic.com as target.")] = False,
) -> None:
    """Run a scenario: start the stack, send the load, judge what happened."""
    console = display.console(stderr=as_json)
    experiment, variants = _prepare(name, assignments, variant)
    chosen = experiment.choose_clock(clock)
    rehearse = _rehearse_on(chosen, experiment, variants)
    if gateway is not None:
        aimed = _aim(gateway, mock, api_key, allow_remote, i_will_pay, variants, chosen)
        rehearse = functools.partial(runner.rehearse, target=aimed)
    folder = runner.prepare(name, experiment, variants, seed, out, _command())
    _announce(console, experiment, variants, folder, real=chosen == "real")
    invalid: InvalidRun | None = None
    with display.Progress(console, folder, experiment, seed) as progress:
        for each in variants:
            try:
                rehearse(folder, experiment, each, seed, progress.show)
            except InvalidRun as error:
                invalid = error
                break
            except Interrupted:
                folder.note(each, "interrupted", message="the run was interrupted")
                raise
    summary = runner.judge(folder)
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    display.show_summary(console, summary, folder, experiment)
    if invalid:
        raise invalid
    _exit_with(summary)


@app.command()
def agree(name: NameOrFile, variant: Variants = None, assignments: Assignments = None, seed: Seed = 1) -> None:
    """Run a scenario on virtual time and for real, and compare every judged figure."""
    console = display.console()
    experiment, variants = _prepare(name, assignments, variant)
    found = {}
    clocks: tuple[ClockName, ...] = ("virtual", "real")
    for clock in clocks:
        rehearse = _rehearse_on(experiment.choose_clock(clock), experiment, variants)
        folder = runner.prepare(name, experiment, variants, seed, None, _command())
        _announce(console, experiment, variants, folder, real=clock == "real")
        with display.Progress(console, folder, experiment, seed) as progress:
            for each in variants:
                rehearse(folder, experiment, each, seed, progress.show)
        found[clock] = runner.judge(folder)
    judged = [phase.name for phase in experiment.phases if phase.judge]
    figures = list(agreement.compare(found["virtual"], found["real"], judged))
    console.print(display.agreement(figures))
    apart = [figure for figure in figures if not figure.agrees]
    console.print(f"{name}: {len(figures) - len(apart)} of {len(figures)} figures agree, seed {seed}")
    verdicts = [found[clock]["verdict"] for clock in clocks]
    console.print(f"verdicts: virtual {verdicts[0]}, real {verdicts[1]}")
    if verdicts[1] == "invalid":
        raise InvalidRun("; ".join(found["real"]["reasons"]))
    raise typer.Exit(EXIT_FAIL if apart or verdicts[0] != verdicts[1] else EXIT_PASS)


@app.command("map")
def draw_map(
    name: NameOrFile,
    x: Annotated[str | None, typer.Option(metavar="KEY=FROM:TO:STEPS", help="load.rate=2:14:8")] = None,
    y: Annotated[str | None, typer.Option(metavar="KEY=FROM:TO:STEPS", help="phases.dip.seconds=1:15:8")] = None,
    variant: Annotated[str | None, typer.Option(metavar="V", help="The variant to map; default the map's own.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Rehearsals of each cell.")] = 5,
    confirm: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Repeat N cells for real, from both sides of the line."),
    ] = None,
    assignments: Assignments = None,
    out: Out = None,
) -> None:
    """Rehearse a plane of settings on virtual time, and draw where it collapses. Without axes: the scenario's maps."""
    with _installed("gateway,maps"):
        from loadtests import confirm as cells
        from loadtests import maps

    console, changes = display.console(), assignments or []
    experiment, _ = scenario.load(name, changes)
    planes = maps.planes(experiment, x, y, variant)
    for plane in planes:
        maps.check(name, changes, plane)
    chosen = [cells.choose(plane, confirm) if confirm else [] for plane in planes]
    found = []
    for plane in planes:
        work = maps.jobs(name, changes, plane, seeds)
        title = f"{plane.variant}: {plane.x.key} x {plane.y.key}"
        goodput = list(display.track(console, maps.run_all(work), title, len(work)))
        found.append((plane, maps.result(Path(name).stem, plane, seeds, goodput)))
        console.print(display.map_of(found[-1][1]))
    folder = out or runner.unused(runner.folder_of(f"{Path(name).stem}-map"))
    page = maps.write(folder, experiment.about, shlex.join(_command()), found)
    if confirm:
        for number, ((plane, row), numbers) in enumerate(zip(found, chosen, strict=True), start=1):
            tried = cells.rehearse(folder / f"map-{number}-real", name, changes, plane, row, numbers)
            row["confirmed"] = list(display.track(console, tried, f"{plane.variant}, for real", len(numbers)))
        maps.write(folder, experiment.about, shlex.join(_command()), found, again=True)
        console.print(*(display.confirmed(row) for _, row in found), sep="\n")
    console.print(f"pictures, data and page: {page.parent}   {page}", soft_wrap=True)
    raise typer.Exit(EXIT_FAIL if any(cells.disagrees(row) for _, row in found) else EXIT_PASS)


@app.command()
def ui(
    name: NameOrFile,
    variant: Annotated[str | None, typer.Option(metavar="V", help="The variant to run; default the last.")] = None,
    assignments: Assignments = None,
    seed: Seed = 1,
    out: Out = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The web UI's port; default 8089, or a free one.")
    ] = None,
) -> None:
    """Open Locust's web UI on one variant of a scenario. Start there begins the run at its T0, and again from nothing;
    Ctrl-C ends it and judges the last one."""
    console = display.console()
    experiment, variants = _prepare(name, assignments, [variant] if variant else None)
    chosen = variants[-1]
    if len(variants) > 1:
        console.print(f"variant: {chosen} (of {', '.join(variants)}; choose with --variant)")
    folder = runner.prepare(name, experiment, [chosen], seed, out, _command())
    web_port = stack.web_port(port)
    rehearsal = runner.Rehearsal(folder, experiment, chosen, seed)
    with rehearsal.started() as witness:
        options = ("--web-host", "127.0.0.1", "--web-port", str(web_port), "-u", "1", "-r", "1")
        rehearsal.start_load(*options, alone=True)
        rehearsal.load.url = url = f"http://127.0.0.1:{web_port}"
        rehearsal.load.wait_until_healthy("/")
        console.print(f"web UI: {url}   gateway: {rehearsal.gateway.url}   mock: {rehearsal.mock.url}")
        console.print(f"raw data: {folder.path}   Start begins the run; Ctrl-C ends it and judges it", soft_wrap=True)
        try:
            rehearsal.watch(witness, until=lambda: False)
        except Interrupted:
            if rehearsal.has_happened("started"):
                _judge_last(console, rehearsal, witness)
            raise


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")], as_json: Json = False
) -> None:
    """Judge a run again from its raw files: summary.json, report.html and the table."""
    folder = RunDir(directory)
    _, experiment = folder.read_about()
    summary = runner.judge(folder)
    if as_json:
        print(json.dumps(summary, indent=2, ensure_ascii=False))
    display.show_summary(display.console(stderr=as_json), summary, folder, experiment)
    _exit_with(summary)


def _judge_last(console: Console, rehearsal: runner.Rehearsal, witness: stack.Mock) -> None:
    """The web UI is closed: what its last Start did is judged like any run, though it may have been cut short."""
    try:
        rehearsal.read_to_the_end(witness)
    except InvalidRun as cut_short:
        console.print(str(cut_short), soft_wrap=True, markup=False)
    display.show_summary(console, runner.judge(rehearsal.run), rehearsal.run, rehearsal.scenario)


def _prepare(name: str, assignments: list[str] | None, chosen: list[str] | None) -> tuple[Scenario, list[str]]:
    """The scenario and the variants to run, checked by all who will read it, before anything starts."""
    experiment, source = scenario.load(name, assignments or [])
    for variant in chosen or []:
        if variant not in experiment.variants:
            raise CannotRun(f"--variant {variant}: {did_you_mean(variant, experiment.variants)}")
    variants = [variant for variant in experiment.variants if not chosen or variant in chosen]
    runner.check_settings(experiment, source, variants)
    return experiment, variants


def _aim(
    gateway: str,
    mock: str | None,
    api_key: str,
    allow_remote: bool,
    i_will_pay: bool,
    variants: list[str],
    clock: ClockName,
) -> Target:
    """A target that may be loaded, and whose upstream can be watched. Raises CannotRun."""
    if mock is None:
        raise CannotRun("--target needs --mock URL: the mock it speaks to is the witness of the run")
    if len(variants) > 1:
        raise CannotRun(f"--target is one gateway: say with --variant which one it is of {', '.join(variants)}")
    if clock == "virtual":
        raise CannotRun("--target: a gateway that runs already runs on the real clock")
    return Target.checked(gateway, mock, api_key, allow_remote=allow_remote, i_will_pay=i_will_pay)


def _rehearse_on(clock: ClockName, experiment: Scenario, variants: list[str]) -> Callable[..., None]:
    """What runs these variants on this clock. Virtual time needs the gateway in this process, so it is imported late.
    Raises CannotRun when one of them cannot run on it."""
    if clock == "real":
        return runner.rehearse
    with _installed("gateway"):
        from loadtests import virtual

    for variant in variants:
        virtual.check(experiment, variant)
    return virtual.rehearse


@contextlib.contextmanager
def _installed(extras: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise CannotRun(f"{error.name} is not installed; type: pip install 'mockclaude[{extras}]'") from None


def _announce(console: Console, experiment: Scenario, variants: list[str], folder: RunDir, *, real: bool) -> None:
    minutes, seconds = divmod(round(runner.expected_seconds(experiment, variants)), 60)
    console.print(f"[bold]{folder.path.name}[/]: {experiment.about}", soft_wrap=True)
    how_long = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    takes = f"takes about {how_long}" if real else "on virtual time"
    console.print(f"{len(variants)} x {experiment.seconds:g} s ({', '.join(variants)}): {takes}", soft_wrap=True)


def _command() -> list[str]:
    return ["loadtests", *sys.argv[1:]]


def _exit_with(summary: dict[str, Any]) -> None:
    code = {"pass": EXIT_PASS, "fail": EXIT_FAIL, "invalid": InvalidRun.exit_code}[summary["verdict"]]
    raise typer.Exit(code)
