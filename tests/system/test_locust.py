"""Plain Locust, as its users expect it: its own options, and rows of ours that leave its own figures alone."""

import csv
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtests.experiment.plan import VARIABLE, Plan
from loadtests.programs.crew import LOCUST
from tests.system.misbehaving import GAP, Misbehaving, answering, locust, stops_in_the_middle, well

Rows = dict[tuple[str, str], dict[str, str]]
SHED = answering(503, {"error": {"type": "shed"}})


def rows_of(prefix: Path) -> Rows:
    """Locust's statistics as it wrote them with --csv, by type and name."""
    with Path(f"{prefix}_stats.csv").open() as file:
        return {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}


def count(rows: Rows, kind: str, name: str = "/chat/stream") -> int:
    return int(rows[kind, name]["Request Count"])


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "two"])
def test_each_figure_is_a_row_of_its_own_and_aggregated_counts_requests(tmp_path: Path, more: tuple[str, ...]):
    with Misbehaving(lambda name: well) as server:
        done = locust(
            "-H", server.url, "-u", "4", "-r", "4", "-t", "4s", "--csv", str(tmp_path / "out"), *more, "StreamUser"
        )

    rows = rows_of(tmp_path / "out")
    requests = count(rows, "POST")
    assert done.returncode == 0, done.stderr
    assert requests >= 4
    assert count(rows, "", "Aggregated") == requests
    assert [count(rows, kind) for kind in ("TTFT", "ITL", "TPOT", "TOK/S")] == [
        requests,
        2 * requests,
        requests,
        requests,
    ]
    assert count(rows, "OUTCOME", "/chat/stream complete") == requests
    medians = {kind: float(rows[kind, "/chat/stream"]["Median Response Time"]) for kind in ("POST", "TTFT", "ITL")}
    assert medians["TTFT"] == pytest.approx(2000 * GAP, abs=60)
    assert medians["ITL"] == pytest.approx(1000 * GAP, abs=30)
    assert rows["", "Aggregated"]["Median Response Time"] == rows["POST", "/chat/stream"]["Median Response Time"]


def test_requests_that_are_refused_at_once_do_not_improve_the_percentiles(tmp_path: Path):
    """The naive way, a row with the time that the refusal took, has a median of milliseconds here."""
    turns = itertools.cycle([SHED, SHED, SHED, well])

    with Misbehaving(lambda name: next(turns)) as server:
        done = locust("-H", server.url, "-u", "8", "-r", "8", "-t", "4s", "--csv", str(tmp_path / "out"), "StreamUser")

    rows = rows_of(tmp_path / "out")
    assert done.returncode == 1
    assert int(rows["POST", "/chat/stream"]["Failure Count"]) == count(rows, "OUTCOME", "/chat/stream shed") > 4
    assert float(rows["POST", "/chat/stream"]["50%"]) >= 4000 * GAP
    assert float(rows["", "Aggregated"]["50%"]) >= 4000 * GAP
    assert float(rows["OUTCOME", "/chat/stream shed"]["50%"]) < 2000 * GAP


def test_a_user_who_is_killed_at_the_end_was_no_success(tmp_path: Path):
    """Locust's own `events.request.measure()` counts such streams as successes of the time they had."""
    with Misbehaving(lambda name: stops_in_the_middle) as server:
        done = locust(
            "-H", server.url, "-u", "3", "-r", "3", "-t", "2s", "--json-file", str(tmp_path / "out"), "StreamUser"
        )

    rows = json.loads((tmp_path / "out.json").read_text())
    assert done.returncode == 0, done.stderr
    assert [(row["method"], row["name"], row["num_requests"]) for row in rows] == [
        ("OUTCOME", "/chat/stream aborted", 3)
    ]


OURS = """\
from locust import constant, tag, task
from loadtests import hooks, users
from locust import events

hooks.register(events)


class Support(users.StreamUser):
    wait_time = constant(0.2)

    @tag("short")
    @task
    def short(self):
        self.ask("How do I reset my password?", max_tokens=20, name="short")

    @tag("long")
    @task
    def long(self):
        self.ask("What is your refund policy?", name="long")
"""


def test_locusts_own_options_work_from_the_command_line_a_file_and_the_environment(tmp_path: Path):
    (tmp_path / "ours.py").write_text(OURS)
    (tmp_path / "locust.conf").write_text("users = 2\nspawn-rate = 2\nrun-time = 3s\nmax-tokens = 77\n")
    outputs = ["--html", "page.html", "--csv", "out", "--json-file", "all", "--tags", "long"]

    with Misbehaving(lambda name: well) as server:
        done = locust(*outputs, locustfile=tmp_path / "ours.py", cwd=tmp_path, env={"LOCUST_HOST": server.url})

    rows = {
        (row["method"], row["name"]): row["num_requests"] for row in json.loads((tmp_path / "all.json").read_text())
    }
    assert done.returncode == 0, done.stderr
    assert rows["TTFT", "long"] == rows["POST", "long"] > 0
    assert ("POST", "short") not in rows
    assert {(asked.path, json.loads(asked.body)["max_tokens"]) for asked in server.asked} == {("/chat/stream", 77)}
    assert "long complete" in (tmp_path / "page.html").read_text()
    assert "Aggregated" in (tmp_path / "out_stats.csv").read_text()


@pytest.fixture
def web_ui() -> Iterator[Callable[..., str]]:
    """Plain Locust with its web UI on a free port; its URL."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, env: dict[str, str] | None = None) -> str:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        command = [sys.executable, "-m", *LOCUST, "--web-host", "127.0.0.1", "--web-port", port, *options]
        started.append(subprocess.Popen(command, env={**os.environ, **(env or {})}))
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def requests_in(page: str) -> dict[str, int]:
    """How many values each type of row has by now."""
    with urllib.request.urlopen(f"{page}/stats/requests") as answer:
        found: dict[str, Any] = json.load(answer)
    return {row["method"] or "": row["num_requests"] for row in found["stats"]}


def asks(page: str) -> Callable[[], bool]:
    def some() -> bool:
        try:
            return requests_in(page).get("ITL", 0) > 20
        except OSError:
            return False

    return some


@pytest.mark.parametrize("more", [(), ("--processes", "2")], ids=["one process", "two"])
def test_a_reset_clears_our_rows_too(web_ui, wait_for, more: tuple[str, ...]):
    with Misbehaving(lambda name: well) as server:
        page = web_ui("-H", server.url, "-u", "6", "-r", "6", "--autostart", *more, "StreamUser")
        wait_for(asks(page), seconds=25)
        before = requests_in(page)

        urllib.request.urlopen(urllib.request.Request(f"{page}/stats/reset", method="POST"))
        time.sleep(2.1)  # Locust keeps an answer for two seconds

        after = requests_in(page)
    assert before["ITL"] > 20
    assert after.get("ITL", 0) < before["ITL"]
    assert after.get("ITL", 0) == pytest.approx(2 * after.get("POST", 0), abs=2)


def test_the_page_of_an_open_loop_says_what_locusts_user_fields_mean(web_ui, wait_for, tmp_path: Path):
    scenario = "about: x\nload: {user: chat, rate: 10}\nphases: [{name: all, seconds: 60}]\n"
    (tmp_path / "scenario.yaml").write_text(scenario)
    with Misbehaving(lambda name: well) as server:
        paths = [str(tmp_path / name) for name in ("scenario.yaml", "samples.jsonl", "events.jsonl")]
        plan = Plan(paths[0], "default", 1, server.url, server.url, "k", *paths[1:])
        plan.write(tmp_path / "plan.json")

        page = web_ui(env={VARIABLE: str(tmp_path / "plan.json")})
        wait_for(answers(page), seconds=25)

        with urllib.request.urlopen(page) as answer:
            html = answer.read().decode()
    assert "Open loop: the scenario sets when requests start." in html
    assert '"hide_common_options": true' in html.replace("&#34;", '"').replace("True", "true")


def answers(page: str) -> Callable[[], bool]:
    def it_does() -> bool:
        try:
            urllib.request.urlopen(page).close()
        except OSError:
            return False
        return True

    return it_does
