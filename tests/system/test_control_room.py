"""The control room in a real browser, beside a real run: what it shows, and what it does to the run."""

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from loadtests.record import rundir

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
RED = """(() => {
  const canvas = document.querySelector("[data-kind=load] canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let red = 0;
  for (let i = 0; i < data.length; i += 4) red += data[i] === 179 && data[i + 1] === 38;
  return red;
})()"""
"""How many dots have the colour of a fault."""
NAMED = """(e) => {
  const own = e.className.includes("plot") ? e.closest("figure").dataset.kind : e.textContent.trim().slice(0, 20);
  return `${e.tagName} ${e.ariaLabel && !own ? e.ariaLabel : e.name ?? ""} ${own}`;
}"""
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


def opened_by(command) -> Room:
    command.wait_for(lambda: "control room: " in command.output(), seconds=60)
    found = re.search(r"web UI: (\S+)", command.output())
    assert found is not None
    return Room(found[1], command.run)


@pytest.fixture(scope="module")
def opened(start_loadtests, tmp_path_factory: pytest.TempPathFactory) -> Room:
    folder = tmp_path_factory.mktemp("room")
    (folder / "room.yaml").write_text(SCENARIO, encoding="utf-8")
    command = start_loadtests(folder, "ui", "room.yaml", "--port", "0", "--out", "run")
    return opened_by(command)


@pytest.fixture
def room(opened: Room) -> Room:
    """Without a load."""
    if opened.seen()["state"] in ("starting", "running"):
        opened.do("panic")
    return opened


@pytest.fixture
def running(opened: Room) -> Room:
    """With a load that has been running for two seconds, and that nobody has steered."""
    seen = opened.seen()
    if seen["state"] == "running" and (seen["done"] or seen["t"] > 60):
        opened.do("panic")
    if opened.seen()["state"] != "running":
        assert opened.do("start").json() == {"told": "started"}
    opened.wait_until(lambda seen: seen["state"] == "running" and seen["t"] > 2)
    return opened


def mock_of(room: Room) -> str:
    plan = json.loads(next((room.folder / "logs").glob("*-plan.json")).read_text())
    return str(plan["mock"])


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


def test_locusts_own_form_begins_the_same_run(room: Room):
    before = room.seen()["start"]
    asked = {"user_count": 7, "spawn_rate": 3, "host": "http://127.0.0.1:1"}

    answer = requests.post(f"{room.url}/swarm", data=asked, headers={"origin": room.url}, timeout=5)

    assert answer.json()["success"]
    seen = room.wait_until(lambda seen: seen["state"] == "running" and seen["t"] > 3)
    assert seen["start"] == before + 1
    assert set(seen["lines"]["outcomes"]) == {"complete"}
    assert seen["lines"]["offered"][1:3] == [10, 10]


@pytest.mark.parametrize("path", ["/control-room/do/panic", "/swarm", "/stop"])
def test_another_website_cannot_press_a_button(room: Room, path: str):
    answer = requests.post(room.url + path, json={}, headers={"origin": "https://evil.example"}, timeout=5)

    assert (answer.status_code, answer.text) == (403, "https://evil.example is another website")


def test_another_website_cannot_read_what_is_shown(room: Room):
    asked = {"origin": "https://evil.example"}, {"host": "evil.example"}

    answers = [requests.get(f"{room.page}seen", headers=headers, timeout=5) for headers in asked]

    assert [answer.status_code for answer in answers] == [403, 403]


def press(tab, selector: str) -> None:
    """As soon as it can be pressed."""
    button = f"document.querySelector('{selector}')"
    wait_for(tab, f"{button} && {button}.ariaDisabled !== 'true'")
    tab.evaluate(f"{button}.click()")


def fill(tab, form: str, **values: object) -> None:
    """Type into the fields of a form, and send it."""
    for name, value in values.items():
        field = f"""document.querySelector('form[data-do="{form}"] [name="{name}"]')"""
        tab.evaluate(f"{field}.value = '{value}'; {field}.dispatchEvent(new Event('change', {{ bubbles: true }}))")
    press(tab, f'form[data-do="{form}"] button:not([type])')


def rates(room: Room, line: str, after: float) -> list[float]:
    """The seconds of a line that begin after this moment."""
    lines = room.seen()["lines"]
    return [value for t, value in zip(lines["t"], lines[line], strict=True) if t >= after]


def test_a_changed_rate_is_what_the_mock_sees(tab, running: Room):
    tab.open(running.page, width=1440)

    press(tab, '[data-do=rate][data-body*="4"]')

    wait_for(tab, "document.querySelector('#said').textContent === 'rate × 4'")
    changed = running.seen()["marks"][0]["at"]
    running.wait_until(lambda seen: seen["t"] > changed + 5)
    assert rates(running, "offered", changed + 1)[:3] == [40, 40, 40]
    assert sum(rates(running, "attempts", changed + 1)[:3]) > 75  # 30 before
    wait_for(tab, "document.querySelector('#tile-offered').textContent > '30'")


def test_a_fault_by_hand_is_in_the_outcomes_and_shaded_until_it_is_cleared(tab, running: Room):
    tab.open(running.page, width=1440)

    fill(tab, "fault", choice="failed", percent=100)

    wait_for(tab, "document.querySelector('#force').textContent.includes('status, 100 %')")
    began = running.seen()["windows"][0]
    assert began["label"] == "500 internal error"
    failing = running.wait_until(lambda seen: sum(seen["lines"]["outcomes"].get("failed", [])) > 5)
    assert failing["faults"] == {"status": 1.0}
    wait_for(tab, "document.querySelector('[data-kind=outcomes]').textContent.includes('failed')")
    press(tab, "#force button")
    running.wait_until(lambda seen: seen["faults"] == {})
    ended = running.seen()["windows"][0]["end"]
    running.wait_until(lambda seen: seen["t"] > ended + 4)
    assert min(rates(running, "goodput", ended + 2)[:2]) >= 9
    assert tab.evaluate(RED) > 20
    assert text(tab, "#deeds li").endswith("status cleared")
    assert tab.complaints == []


def test_a_fault_for_some_seconds_ends_by_itself(running: Room):
    answer = running.do("fault", choice="overloaded", percent=50, seconds=1.5)

    assert answer.json() == {"told": "begun: 529 overloaded, 50 % of attempts"}
    seen = running.wait_until(lambda seen: len(seen["done"]) == 2)
    assert [row["told"] for row in seen["done"]][1].startswith("over after 1.5 s")
    assert seen["windows"][0]["end"] - seen["windows"][0]["start"] == pytest.approx(1.5, abs=0.3)
    running.wait_until(lambda seen: seen["faults"] == {})


def test_a_capacity_cut_makes_a_queue_until_it_is_given_back(tab, running: Room):
    tab.open(running.page, width=1440)

    fill(tab, "capacity", slots=1)

    cut = running.wait_until(lambda seen: 1 in seen["lines"]["slots"] and max(seen["lines"]["queued"]) > 3)
    assert cut["windows"][0]["label"] == "1 slot at Claude"
    press(tab, "[data-do=capacity][data-body]")
    given_back = running.wait_until(lambda seen: seen["lines"]["slots"][-1] == 12)
    assert given_back["windows"][0]["end"] < given_back["t"]


def test_a_toxic_by_hand_slows_the_network_until_it_is_removed(tab, running: Room):
    tab.open(running.page, width=1440)

    fill(tab, "wire", choice="latency", hop="claude", value=700)

    wait_for(tab, "document.querySelector('#laid')?.textContent.includes('slow network, later by 700 ms, to Claude')")
    slow = running.wait_until(lambda seen: (seen["lines"]["ttft_p50"][-1] or 0) > 0.6)
    assert slow["windows"][0]["label"].startswith("slow network")
    press(tab, "#laid button")
    running.wait_until(lambda seen: 0 < (seen["lines"]["ttft_p50"][-1] or 0) < 0.5)
    assert running.seen()["laid"] == []


def test_a_hop_that_is_shut_refuses_until_the_panic_stop(running: Room):
    running.do("wire", hop="caller", choice="down")
    running.wait_until(lambda seen: sum(seen["lines"]["outcomes"].get("refused", [])) > 3)

    running.do("panic")
    running.do("start")

    again = running.wait_until(lambda seen: seen["state"] == "running" and seen["t"] > 3)
    assert set(again["lines"]["outcomes"]) == {"complete"}


def test_a_mark_appears_and_steers_nothing(tab, running: Room):
    tab.open(running.page, width=1440)

    fill(tab, "mark", note="deploy <b>of</b> the gateway")

    wait_for(tab, "document.querySelector('#deeds').textContent.includes('deploy <b>of</b> the gateway')")
    assert running.seen()["marks"][0]["label"] == "deploy <b>of</b> the gateway"
    assert tab.evaluate("document.querySelector('form[data-do=mark] input').value") == ""


def test_a_panic_stop_ends_the_load_and_every_fault(tab, running: Room):
    running.do("fault", choice="stall")
    running.do("capacity", slots=1)
    tab.open(running.page, width=1440)

    press(tab, "[data-do=panic]")

    stopped = running.wait_until(lambda seen: seen["state"] == "stopped")
    wait_for(tab, "document.querySelector('#said').textContent === 'the load is stopped; no fault is in force'")
    config = requests.get(f"{mock_of(running)}/_mock/config", timeout=5).json()
    assert config["faults"] == [] and config["capacity"]["slots"] == 12
    assert stopped["done"][-1]["told"] == "panic stop"
    wait_for(tab, "document.querySelector('#state b').textContent === 'stopped'")
    assert tab.evaluate("document.querySelector('[data-do=stop]').ariaDisabled") == "true"


def test_a_start_meets_the_scenario_as_it_is_written(running: Room):
    running.do("fault", choice="overloaded")
    running.do("stop")
    before = running.wait_until(lambda seen: seen["state"] == "stopped")

    running.do("start")

    again = running.wait_until(lambda seen: seen["state"] == "running" and seen["t"] > 3)
    assert again["start"] == before["start"] + 1
    assert (again["faults"], again["windows"], again["done"]) == ({}, [], [])
    assert set(again["lines"]["outcomes"]) == {"complete"}
    written = [row["event"] for row in rundir.rows(running.folder / "events.jsonl")]
    assert written.count("started") == 1 and not {"by_hand", "interrupted"} & {*written}


def test_a_saved_report_opens_and_says_that_the_run_was_steered(tab, running: Room):
    running.do("fault", choice="failed", percent=20)
    tab.open(running.page, width=1440)

    press(tab, "[data-do=save]")

    wait_for(tab, "!!document.querySelector('#saved a')", seconds=30)
    link = tab.evaluate("document.querySelector('#saved a').href")
    assert text(tab, "#saved a").endswith(": invalid")
    tab.open(link, width=1440)
    shown = tab.evaluate("document.body.innerText")
    assert "Steered by hand" in shown and "500 internal error, 20 % of attempts" in shown
    assert "saved by hand at" in shown
    assert running.seen()["state"] == "running"
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("name", "body", "status", "said"),
    [
        ("fault", {"choice": "flood"}, 400, "expected one of: overloaded"),
        ("fault", {"choice": "cut", "percent": 200}, 400, "percent: got 200"),
        ("rate", {"factor": "fast"}, 400, "factor: got"),
        ("rate", {}, 400, "factor: is missing"),
        ("wire", {"hop": "moon", "choice": "down"}, 400, 'no hop is called "moon"'),
        ("mark", {"note": ""}, 400, "note: "),
        ("mark", [], 400, "expected a mapping"),
        ("start", {}, 409, "the load runs already"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(running: Room, name: str, body: Any, status: int, said: str):
    answer = requests.post(f"{running.page}do/{name}", json=body, timeout=5)

    assert (answer.status_code, said in answer.json()["error"]) == (status, True)


@pytest.mark.parametrize("name", ["stop", "rate", "fault", "capacity", "wire", "mark"])
def test_a_load_that_does_not_run_cannot_be_steered(room: Room, name: str):
    body = {"rate": {"factor": 2}, "fault": {"choice": "cut"}, "capacity": {"slots": 1}, "mark": {"note": "x"}}
    body["wire"] = {"hop": "claude", "choice": "down"}

    answer = room.do(name, **body.get(name, {}))

    assert (answer.status_code, answer.json()) == (409, {"error": "the load is not running; start it first"})


def test_every_control_is_reached_by_the_tab_key_in_the_order_of_the_page(tab, running: Room):
    tab.open(running.page, width=1440)
    wait_for(tab, "document.querySelectorAll('.chart:not([hidden])').length > 5")
    shown = "[...document.querySelectorAll('a, button, input, select, summary, .plot')].filter((e) => e.offsetParent)"
    expected = tab.evaluate(f"{shown}.map({NAMED})")

    reached = []
    for _ in expected:
        tab.ask("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        tab.ask("Input.dispatchKeyEvent", type="keyUp", key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(tab.evaluate(f"({NAMED})(document.activeElement)"))

    assert reached == expected


def test_the_page_fits_every_window_in_light_and_dark(tab, running: Room):
    for width, dark in itertools.product((390, 768, 1440), (False, True)):
        tab.open(running.page, width=width, dark=dark)
        wait_for(tab, "document.querySelectorAll('.chart:not([hidden])').length > 5")

        assert tab.evaluate("innerWidth") == width
        assert tab.evaluate(TOO_WIDE) == 0
        assert tab.evaluate("[...document.querySelectorAll('canvas')].every((c) => c.clientWidth <= innerWidth)")
        paper = "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    assert tab.complaints == []


def test_the_arrow_keys_read_all_charts_at_the_same_second(tab, running: Room):
    tab.open(running.page, width=1440)
    wait_for(tab, "document.querySelectorAll('.chart:not([hidden])').length > 5")
    tab.evaluate("document.querySelector('.plot').focus()")

    for _ in range(2):
        tab.press("ArrowLeft")

    read = tab.evaluate(
        "[...document.querySelectorAll('.chart:not([hidden]) .u-legend .u-series:first-child .u-value')].map("
        "(value) => value.textContent)"
    )
    assert len(set(read)) == 1


def test_the_last_seconds_can_be_read_as_a_table(tab, running: Room):
    tab.open(running.page, width=1440)
    wait_for(tab, "document.querySelectorAll('.chart:not([hidden])').length > 5")

    press(tab, "#figures summary")

    wait_for(tab, "document.querySelectorAll('#figures tbody tr').length > 1")
    heads = tab.evaluate("[...document.querySelectorAll('#figures th[scope=col]')].map((th) => th.textContent)")
    assert heads[:4] == ["at", "offered", "attempts", "goodput"] and "complete" in heads
