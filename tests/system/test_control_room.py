"""The control room in a real browser, beside a real run: what it shows, and what it does to the run."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

SCENARIO = """\
about: Ten short streams a second. What does a person do to them?
slo: {e2e: 1.5, ttft: 0.8}
load: {user: stream, arrivals: constant, rate: 10, patience: 4, max_tokens: 30}
phases:
  - {name: warmup, seconds: 2, judge: false}
  - {name: steady, seconds: 100}
mock:
  latency: {ttft: {p50: 0.05, p95: 0.1}, tokens_per_second: 200}
  capacity: {slots: 12, queue: 50}
variants:
  plain: {preset: production, breaker: null}
"""
CHARTS = {"load", "levels", "latency", "itl", "outcomes", "attempts", "guards"}
DRAWN = """[...document.querySelectorAll(".chart:not([hidden])")].filter((figure) => {
  const canvas = figure.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((byte, i) => i % 4 === 3 && byte > 200);
}).map((figure) => figure.dataset.kind)"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Room(NamedTuple):
    """A `loadtests ui` that waits for its Start."""

    url: str
    folder: Path

    @property
    def page(self) -> str:
        return f"{self.url}/control-room/"

    def seen(self) -> Any:
        return requests.get(f"{self.page}seen", timeout=5).json()

    def do(self, name: str, **body: object) -> requests.Response:
        return requests.post(f"{self.page}do/{name}", json=body, timeout=20)

    def wait_until(self, condition: Callable[[Any], object], seconds: float = 15) -> Any:
        deadline = time.monotonic() + seconds
        while not condition(seen := self.seen()):
            assert time.monotonic() < deadline, {key: value for key, value in seen.items() if key != "lines"}
            time.sleep(0.1)
        return seen


@pytest.fixture(scope="module")
def opened(start_loadtests, tmp_path_factory: pytest.TempPathFactory) -> Room:
    folder = tmp_path_factory.mktemp("room")
    (folder / "room.yaml").write_text(SCENARIO, encoding="utf-8")
    command = start_loadtests(folder, "ui", "room.yaml", "--port", "0", "--out", "run")
    command.wait_for(lambda: "web UI: " in command.output())
    found = re.search(r"web UI: (\S+)", command.output())
    assert found is not None
    return Room(found[1], command.run)


@pytest.fixture
def room(opened: Room) -> Iterator[Room]:
    yield opened
    opened.do("panic")


@pytest.fixture
def running(room: Room) -> Room:
    """With a load that has been running for two seconds."""
    assert room.do("start").json() == {"told": "started"}
    room.wait_until(lambda seen: seen["state"] == "running" and seen["t"] > 2)
    return room


def text(tab, selector: str) -> str:
    return str(tab.evaluate(f"document.querySelector('{selector}').textContent.trim()"))


def wait_for(tab, script: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not tab.evaluate(script):
        assert time.monotonic() < deadline, tab.evaluate("document.body.innerText")
        time.sleep(0.1)


def test_locusts_own_page_leads_to_it(tab, room: Room):
    tab.open(f"{room.url}/", width=1440)
    wait_for(tab, "!!document.querySelector('a[href$=\"control-room/\"]')")

    tab.evaluate("document.querySelector('a[href$=\"control-room/\"]').click()")

    wait_for(tab, "location.pathname === '/control-room/' && document.readyState === 'complete'")
    assert text(tab, "h1") == "room plain"
    assert "Start begins the run" in text(tab, "#waiting")


def test_a_tab_of_locusts_page_leads_to_it_while_the_load_runs(tab, running: Room):
    tab.open(f"{running.url}/", width=1440)
    ours = "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.textContent === 'Control room')"
    wait_for(tab, f"!!{ours}")

    tab.evaluate(f"{ours}.click()")

    wait_for(tab, "location.pathname === '/control-room/'")


def test_the_start_button_begins_a_run_and_its_charts_fill(tab, room: Room):
    tab.open(room.page, width=1440)
    tab.evaluate("document.querySelector('[data-do=start]').click()")
    wait_for(tab, "document.querySelector('#state b')?.textContent === 'running'")

    wait_for(
        tab, "/offered 10, attempts ([89]|1[012]),/.test(document.querySelector('[data-kind=load] .plot').ariaLabel)"
    )
    assert float(text(tab, "#tile-offered")) == pytest.approx(10, abs=1)
    assert set(tab.evaluate(DRAWN)) == CHARTS
    assert tab.complaints == []
    assert {url.partition("/control-room")[0] for url in tab.requested} - {"data:,"} == {room.url}


def test_a_reload_shows_what_was_there(tab, running: Room):
    tab.open(running.page, width=1440)
    wait_for(tab, "!!document.querySelector('[data-kind=load] canvas')")

    tab.ask("Page.reload")

    wait_for(tab, "document.querySelectorAll('[data-kind=load] canvas').length === 1")
    assert tab.evaluate("document.querySelector('[data-kind=load] .plot').ariaLabel").startswith("Load per second at ")
    assert "running" in text(tab, "#state")


@pytest.mark.parametrize("path", ["/control-room/do/panic", "/swarm", "/stop"])
def test_another_website_cannot_press_a_button(room: Room, path: str):
    answer = requests.post(room.url + path, json={}, headers={"origin": "https://evil.example"}, timeout=5)

    assert (answer.status_code, answer.text) == (403, "https://evil.example is another website")


def test_another_website_cannot_read_what_is_shown(room: Room):
    asked = {"origin": "https://evil.example"}, {"host": "evil.example"}

    answers = [requests.get(f"{room.page}seen", headers=headers, timeout=5) for headers in asked]

    assert [answer.status_code for answer in answers] == [403, 403]
