"""The report in a real browser: it draws, it complains about nothing, it asks nobody, and it fits a phone."""

import contextlib
import itertools
import json
import os
import runpy
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from loadtests import report

pytestmark = pytest.mark.system

FAKES = runpy.run_path(str(Path(__file__).parents[1] / "load" / "test_report.py"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Tab:
    """A tab of a browser, over the DevTools protocol. `complaints` are console errors, exceptions and failed loads."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._ids, self._session = socket, itertools.count(1), None
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._loaded = False
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        session = {"sessionId": self._session} if self._session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **session}))
        while (message := self._receive()).get("id") != number:
            pass
        assert "error" not in message, message
        return message["result"]

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
        self.prefer(dark=dark)
        self._loaded = False
        self.ask("Page.navigate", url=page.as_uri())
        while not self._loaded:
            self._receive()
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def prefer(self, *, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def _receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._socket.recv(timeout=20))
        method, params = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif (
            method in ("Runtime.exceptionThrown", "Network.loadingFailed")
            or (method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"))
            or (method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"))
        ):
            self.complaints.append(json.dumps(params))
        return message


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClientConnection]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium on PATH: apt install chromium")
    home = tmp_path_factory.mktemp("browser")
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={home}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with connect(address_of(process, home / "DevToolsActivePort"), max_size=None, proxy=None) as socket:
            yield socket
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


def address_of(process: subprocess.Popen[bytes], written: Path) -> str:
    """Chromium writes the port it picked, and the path, into its profile."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, path = written.read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        time.sleep(0.05)
    raise AssertionError(f"the browser did not start (exit code {process.poll()})")


@pytest.fixture
def tab(browser: ClientConnection) -> Tab:
    return Tab(browser)


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


def test_every_chart_is_drawn_without_a_complaint_and_without_asking_anybody(tab: Tab, page: Path):
    tab.open(page, width=1440)

    assert tab.evaluate(DRAWN) == 9
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requested} <= {"file", "data"}
    assert len([url for url in tab.requested if url.startswith("file:")]) == 1


def test_ttft_has_no_line_where_nothing_streams(tab: Tab, page: Path):
    tab.open(page, width=1440)

    legends = tab.evaluate("document.querySelector('[data-kind=latency]').textContent")

    assert "E2E p95" in legends and "TTFT" not in legends


def test_ttft_has_its_lines_where_answers_stream(tab: Tab, tmp_path: Path):
    summary, series = FAKES["a_steady_run"]()
    series["default"] |= {"ttft_p50": [0.2] * 60, "ttft_p95": [0.6] * 60}

    tab.open(written(tmp_path, summary, series), width=1440)

    legend = tab.evaluate("document.querySelector('[data-kind=latency]').textContent")
    assert "TTFT p50" in legend and "TTFT p95" in legend


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_the_page_never_scrolls_sideways(tab: Tab, page: Path, width: int):
    tab.open(page, width=width)

    assert tab.evaluate("innerWidth") == width
    assert tab.evaluate(TOO_WIDE) == 0
    assert tab.evaluate("[...document.querySelectorAll('canvas')].every((c) => c.clientWidth <= innerWidth)")


def test_the_charts_follow_a_window_that_shrinks(tab: Tab, page: Path):
    tab.open(page, width=1440)

    tab.ask("Emulation.setDeviceMetricsOverride", width=390, height=900, deviceScaleFactor=1, mobile=True)
    tab.evaluate("new Promise((done) => setTimeout(done, 200))")

    assert tab.evaluate(TOO_WIDE) == 0
    assert tab.evaluate("document.querySelector('.u-wrap').clientWidth") == 390 - 2 * 16


def test_the_charts_change_with_the_colour_scheme(tab: Tab, page: Path):
    picture = "document.querySelector('canvas').toDataURL()"
    tab.open(page, width=1440)
    light = tab.evaluate(picture)

    tab.prefer(dark=True)
    tab.evaluate("new Promise((done) => setTimeout(done, 200))")

    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert tab.evaluate(picture) != light
    assert tab.evaluate(DRAWN) == 9


def test_the_arrow_keys_read_the_charts_all_at_the_same_second(tab: Tab, page: Path):
    tab.open(page, width=1440)
    tab.evaluate("document.querySelector('.plot').focus()")

    for _ in range(3):
        tab.press("ArrowRight")

    read = tab.evaluate(
        "[...document.querySelectorAll('.u-legend')].map((l) => l.querySelector('.u-value').textContent)"
    )
    assert read == ["2 s"] * 9


@pytest.mark.parametrize("emptied", ["nothing ran", "nothing completed", "one variant"])
def test_odd_runs_open_without_a_complaint(tab: Tab, tmp_path: Path, emptied: str):
    summary, series = FAKES["a_steady_run"]() if emptied == "one variant" else FAKES["a_storm"]()
    for lines in series.values():
        if emptied == "nothing ran":
            lines |= {name: [] for name in ("t", *FAKES["LINES"], *FAKES["LATENCIES"], "phases", "faults")}
        if emptied == "nothing completed":
            lines |= {name: [None] * 60 for name in FAKES["LATENCIES"]}

    tab.open(written(tmp_path, summary, series), width=390)

    assert tab.complaints == []
    assert tab.evaluate(DRAWN) == {"nothing ran": 0, "nothing completed": 6, "one variant": 3}[emptied]
    assert tab.evaluate(TOO_WIDE) == 0
