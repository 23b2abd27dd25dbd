"""A run of several load processes, seen and steered from the control room of their master."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from loadtests.record.rundir import RunDir

SCENARIO = """\
about: Ten short answers a second, from two processes.
load: {user: chat, arrivals: constant, rate: 10, patience: 4, max_tokens: 20}
phases: [{name: all, seconds: 60}]
mock: {latency: {ttft: {p50: 0.05, p95: 0.1}, tokens_per_second: 200}}
variants: {plain: {preset: production}}
"""


def test_both_workers_are_seen_and_follow_a_changed_rate(loadtests, tmp_path: Path):
    scenario = tmp_path / "both.yaml"
    scenario.write_text(SCENARIO, encoding="utf-8")
    command = loadtests("ui", str(scenario), "--port", "0", "--out", "run", "--workers", "2")
    command.wait_for(lambda: "control room: " in command.output(), seconds=60)
    page = re.findall(r"control room: (\S+)", command.output())[0]

    def until(condition: Callable[[Any], object]) -> Any:
        deadline = time.monotonic() + 40
        while not condition(seen := requests.get(f"{page}seen", timeout=10).json()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.2)
        return seen

    def do(name: str, **body: object) -> None:
        assert requests.post(f"{page}do/{name}", json=body, timeout=20).status_code == 200

    do("start")
    until(lambda seen: seen["t"] > 3)
    do("rate", factor=3)
    changed = until(lambda seen: seen["marks"])["marks"][0]["at"]
    seen = until(lambda seen: seen["t"] > changed + 4)
    do("stop")

    lines = seen["lines"]
    after = [number for number, t in enumerate(lines["t"]) if t > changed][:2]
    assert [lines["offered"][number] for number in after] == [30, 30]
    assert sum(lines["attempts"][number] for number in after) > 40  # 20 before
    asked = [sample.request_id for sample in RunDir(command.run).samples_of("plain")]
    assert len(asked) == len(set(asked)) > 70
