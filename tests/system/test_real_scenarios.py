"""The scenarios that need real threads and sockets: each passes, and its fix with the mistake in it fails."""

import pytest

LONG = 600.0
MISTAKES = [
    ("naive_collapse", "calls=sync", {"phases.load.seconds": 4, "load.patience": 4}, "load.goodput_ratio"),
    ("event_loop_block", "calls=sync", {"phases.steady.seconds": 2, "load.patience": 3}, "steady.throughput"),
    ("event_loop_block", "calls=threadpool", {"phases.steady.seconds": 4}, "steady.throughput"),
    ("connection_churn", "client=per_request", {"phases.steady.seconds": 2}, "steady.connections_per_request"),
    ("hundred_on_two_cores", "calls=sync", {"phases.warmup.seconds": 1, "load.patience": 5}, "steady.goodput_ratio"),
]


def run(loadtests, *arguments: str):
    """One run to its end; another if the machine itself stood still in the first, which says nothing of the product."""
    command = loadtests("run", *arguments, "--out", "run")
    if command.end(LONG / 2) == 3 and all(
        "stood still" in reason or "late" in reason for reason in command.summary()["reasons"]
    ):
        command = loadtests("run", *arguments, "--out", "run")
        command.end(LONG / 2)
    return command


@pytest.mark.timeout(LONG)
@pytest.mark.parametrize("name", ["naive_collapse", "event_loop_block", "connection_churn", "hundred_on_two_cores"])
def test_what_is_predicted_of_threads_and_sockets_comes_true(loadtests, name: str):
    command = run(loadtests, name)

    assert command.end(0) == 0, command.output()
    summary = command.summary()
    assert summary["verdict"] == "pass"
    assert {row["status"] for row in summary["expectations"]} == {"pass"}
    command.check_the_books()
    assert command.leftovers() == []


@pytest.mark.timeout(LONG)
@pytest.mark.parametrize(("name", "mistake", "shorter", "expectation"), MISTAKES)
def test_the_fix_with_the_mistake_in_it_fails_what_the_fix_is_for(
    loadtests, name: str, mistake: str, shorter: dict[str, float], expectation: str
):
    changes = [f"variants.fixed.{mistake}", *(f"{key}={value}" for key, value in shorter.items())]

    command = run(loadtests, name, "--variant", "fixed", *(word for change in changes for word in ("--set", change)))

    assert command.end(0) == 1, command.output()
    failed = [f"{row['phase']}.{row['metric']}" for row in command.summary()["expectations"] if row["status"] == "fail"]
    assert expectation in failed, command.output()
