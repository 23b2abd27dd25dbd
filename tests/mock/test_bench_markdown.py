"""A benchmark's figures for a README."""

import json

from typer.testing import CliRunner

from mockclaude.bench import flat, goals, growth, ladder, markdown, report
from mockclaude.bench.growth import Cost, Point
from mockclaude.bench.ladder import Height
from mockclaude.bench.load import Found, Spread
from mockclaude.bench.rounds import Row
from mockclaude.commands import benching


def row(name, *, cpu, wait=0.0):
    spread = Spread(0.001, 0.002, 0.003)
    return Row(name, 300, (Found(1000, 3.0, 0, 0, 1.0, spread, spread, None, wait, 0.1, 1.0, cpu, 0.3, None),))


def told(document):
    return list(markdown.lines(json.loads(json.dumps(document))))


def test_rows_stand_below_the_command_that_made_them_without_columns_that_are_empty():
    rows = [row("mockclaude", cpu=10e-6), row("naive", cpu=50e-6, wait=0.1)]

    lines = told(report.document("mock", rows, goals.judge(goals.MOCK, rows)))

    assert lines[0].startswith("`mockclaude bench mock`, on ")
    assert lines[2] == "|  | callers | CPU us | p99 late ms | p99 uneven ms | rate | core % | reader % | quiet |"
    assert lines[4] == "| mockclaude | 300 | 10 | 2 | 2 | 1 | 30 | 10 | 1/1 |"
    assert lines[5] == "| naive | 300 | 50 | (2) | (2) | 1 | 30 | 10 | 0/1 |"
    assert "| CPU a token, of naive's, 300 callers | 0.2 [0.2-0.2] | 0.286 | met |" in lines
    assert r"| p99 of \|arrival - schedule\|, s, 300 callers | 0.002 [0.002-0.002] | 0.002 | met |" in lines


def test_counting_is_a_command_of_its_own():
    assert told(report.document("count_tokens", [], []))[0].startswith("`mockclaude bench json --count-tokens`, on ")


def test_a_ladder_has_a_line_for_each_server_and_says_at_least():
    heights = {goals.OURS: [Height(1000, True), None], ladder.BESIDE: [Height(400), Height(500)]}

    lines = told(report.document("ladder", [], []) | ladder.document(heights, ladder.judge(heights)))

    assert "| mockclaude | at least 1,000 |" in lines
    assert "| streaming+gc | 450 |" in lines
    assert "| goal | measured | at least | verdict |" in lines


def test_a_curve_is_told_by_its_ends_and_its_steepest_step():
    points = [Point(size, (Cost("CPU", size * 1e-6, size * 1e-6),)) for size in (1, 1000)]
    curves = growth.document(growth.curves("keys", points))

    lines = told(report.document("growth", [], []) | {"curves": curves})

    assert "| keys, 1 to 1,000 | CPU | 1 µs | 1 ms | 1.00 | met |" in lines


def test_memory_is_told_reading_by_reading():
    readings = [flat.Reading(100_000, 80_000_000)]

    found = {"readings": [one._asdict() for one in readings], "goals": [flat.judge(readings)._asdict()]}

    assert "| 100,000 | 80.0 |" in told(report.document("memory", [], []) | found)


def test_the_files_of_a_run_are_told_one_after_the_other(tmp_path):
    files = [tmp_path / f"{name}.json" for name in ("mock", "idle")]
    for file in files:
        file.write_text(json.dumps(report.document(file.stem, [row("mockclaude", cpu=1e-5)], [])))

    ended = CliRunner().invoke(benching.app, ["markdown", *map(str, files)])

    assert ended.exit_code == 0, ended.output
    assert [line.split("`")[1] for line in ended.output.splitlines() if line.startswith("`")] == [
        "mockclaude bench mock",
        "mockclaude bench idle",
    ]
