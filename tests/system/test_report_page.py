"""The report in a real browser: it draws, it complains about nothing, it asks nobody, and it fits a phone."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from loadtests.telling import report

pytestmark = pytest.mark.system

FAKES = runpy.run_path(str(Path(__file__).parents[1] / "load" / "test_report.py"))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return written(tmp_path, *FAKES["a_storm"]())


def written(folder: Path, summary: Any, series: Any) -> Path:
    path = folder / "report.html"
    path.write_text(report.render(summary, series, about="Does it come back?", command="loadtests run x"), "utf-8")
    return path


DRAWN = """[...document.querySelectorAll("canvas")].filter((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((byte, i) => i % 4 === 3 && byte > 200);
}).length"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def test_every_chart_is_drawn_without_a_complaint_and_without_asking_anybody(tab, page: Path):
    tab.open(page.as_uri(), width=1440)

    assert tab.evaluate(DRAWN) == 9
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requested} <= {"file", "data"}
    assert len([url for url in tab.requested if url.startswith("file:")]) == 1


def test_the_evidence_is_drawn_and_fits_a_phone(tab, tmp_path: Path):
    path = tmp_path / "report.html"
    summary, series = FAKES["a_storm"]()
    evidence = FAKES["some_evidence"]()
    path.write_text(report.render(summary, series, evidence, about="", command="x", config="about: x"), "utf-8")

    tab.open(path.as_uri(), width=390)

    assert tab.evaluate(DRAWN) == 10
    assert tab.evaluate(TOO_WIDE) == 0
    legend = tab.evaluate("document.querySelector('[data-kind=distribution]').textContent")
    assert "from the intended start" in legend and "from the send" in legend and "with failures" in legend
    assert tab.evaluate("[...document.querySelectorAll('.track .bar')].every((bar) => bar.clientWidth > 0)")
    assert tab.complaints == []


def test_ttft_has_no_line_where_nothing_streams(tab, page: Path):
    tab.open(page.as_uri(), width=1440)

    legends = tab.evaluate("document.querySelector('[data-kind=latency]').textContent")

    assert "E2E p95" in legends and "TTFT" not in legends


def test_ttft_has_its_lines_where_answers_stream(tab, tmp_path: Path):
    summary, series = FAKES["a_steady_run"]()
    series["default"] |= {"ttft_p50": [0.2] * 60, "ttft_p95": [0.6] * 60}

    tab.open(written(tmp_path, summary, series).as_uri(), width=1440)

    legend = tab.evaluate("document.querySelector('[data-kind=latency]').textContent")
    assert "TTFT p50" in legend and "TTFT p95" in legend


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_never_scrolls_sideways(tab, page: Path, width: int):
    tab.open(page.as_uri(), width=width)

    assert tab.evaluate("innerWidth") == width
    assert tab.evaluate(TOO_WIDE) == 0
    assert tab.evaluate("[...document.querySelectorAll('canvas')].every((c) => c.clientWidth <= innerWidth)")


def test_the_charts_follow_a_window_that_shrinks(tab, page: Path):
    tab.open(page.as_uri(), width=1440)

    tab.ask("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=True)
    tab.evaluate("new Promise((done) => setTimeout(done, 200))")

    assert tab.evaluate(TOO_WIDE) == 0
    assert tab.evaluate("document.querySelector('.u-wrap').clientWidth") == 390 - 2 * 16


def test_the_charts_change_with_the_colour_scheme(tab, page: Path):
    picture = "document.querySelector('canvas').toDataURL()"
    tab.open(page.as_uri(), width=1440)
    light = tab.evaluate(picture)

    tab.prefer(dark=True)
    tab.evaluate("new Promise((done) => setTimeout(done, 200))")

    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert tab.evaluate(picture) != light
    assert tab.evaluate(DRAWN) == 9


def test_the_arrow_keys_read_the_charts_all_at_the_same_second(tab, page: Path):
    tab.open(page.as_uri(), width=1440)
    tab.evaluate("document.querySelector('.plot').focus()")

    for _ in range(3):
        tab.press("ArrowRight")

    read = tab.evaluate(
        "[...document.querySelectorAll('.u-legend')].map((l) => l.querySelector('.u-value').textContent)"
    )
    assert read == ["2 s"] * 9


@pytest.mark.parametrize("emptied", ["nothing ran", "nothing completed", "one variant"])
def test_odd_runs_open_without_a_complaint(tab, tmp_path: Path, emptied: str):
    summary, series = FAKES["a_steady_run"]() if emptied == "one variant" else FAKES["a_storm"]()
    for lines in series.values():
        if emptied == "nothing ran":
            lines |= {name: [] for name in ("t", *FAKES["LINES"], *FAKES["LATENCIES"], "phases", "faults")}
        if emptied == "nothing completed":
            lines |= {name: [None] * 60 for name in FAKES["LATENCIES"]}

    tab.open(written(tmp_path, summary, series).as_uri(), width=390)

    assert tab.complaints == []
    assert tab.evaluate(DRAWN) == {"nothing ran": 0, "nothing completed": 6, "one variant": 3}[emptied]
    assert tab.evaluate(TOO_WIDE) == 0
