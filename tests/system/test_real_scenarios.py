"""Scenarios that need real threads, sockets or a network: each passes, and its fix with the mistake in it fails.

With retry_storm (`test_rehearsals.py`) these are six; all others, and the mistakes that are marked `long`, are left to
`make scenarios`, which runs every scenario three times.
"""

import pytest

LONG = 600.0
MISTAKES = [
    ("naive_collapse", "calls=sync", {"phases.load.seconds": 4, "load.patience": 4}, "load.goodput_ratio"),
    ("event_loop_block", "calls=sync", {"phases.steady.seconds": 2, "load.patience": 3}, "steady.throughput"),
    ("event_loop_block", "calls=threadpool", {"phases.steady.seconds": 4}, "steady.throughput"),
    ("nginx_buffering/header", "sse_headers=false", {"load.max_tokens": 250}, "steady.added_lag.p50"),
    ("silent_truncation", "require_stop=false", {}, "steady.outcomes.error_event"),
    ("network_brownout", "attempt_timeout=1", {}, "brownout.amplification"),
]
"""Scenario (and variant, where the fix has a name of its own), what makes it wrong again, what makes it shorter, the
expectation it fails."""
LONG_MISTAKES = [
    ("hundred_on_two_cores", "calls=sync", {"phases.warmup.seconds": 1, "load.patience": 5}, "steady.goodput_ratio"),
    ("connection_churn", "client=per_request", {"phases.steady.seconds": 2}, "steady.connections_per_request"),
    ("blackhole", "retry_budget=none", {}, "after.goodput_ratio"),
    ("double_proxy/passed_on", "network.nginx.1.proxy_pass_header=[]", {}, "steady.added_lag.p50"),
    ("double_proxy/http11", 'network.nginx.0.proxy_http_version="1.0"', {}, "steady.added_lag.p50"),
    ("duplicate_billing", "network.nginx.proxy_read_timeout=1", {}, "steady.goodput_ratio"),
    (
        "duplicate_billing/once",
        "network.nginx.proxy_next_upstream=[error, timeout, non_idempotent]",
        {},
        "steady.amplification",
    ),
    ("gzip_ghost/header", "sse_headers=false", {}, "steady.added_lag.p50"),
    ("gzip_ghost/plain", "network.nginx.gzip=true", {}, "steady.added_lag.p50"),
    ("gzip_ghost/unbuffered", "network.nginx.proxy_buffering=true", {}, "steady.added_lag.p50"),
    ("narrow_pipe/gzip", "network.nginx.gzip=false", {}, "steady.e2e.p50"),
    ("narrow_pipe/own_words", "load.user=messages_stream", {}, "steady.e2e.p50"),
    ("nginx_buffering/http11", 'network.nginx.proxy_http_version="1.0"', {}, "steady.added_lag.p50"),
    ("nginx_buffering/unbuffered", "network.nginx.proxy_buffering=true", {}, "steady.added_lag.p50"),
    ("read_timeout_truncation", "heartbeat=none", {}, "steady.outcomes.complete"),
    ("read_timeout_truncation/patient", "network.nginx.proxy_read_timeout=2", {}, "steady.outcomes.complete"),
    ("slow_reader", "sse_headers=true", {}, "steady.waited_ratio"),
    ("silent_truncation/http11", 'network.egress.0.proxy_http_version="1.0"', {}, "steady.outcomes.error_event"),
    (
        "sliced_events/own_words",
        "network.toxics=[{hop: claude, type: slicer, average_size: 50, delay: 20000}]",
        {},
        "steady.added_lag.p50",
    ),
    (
        "sliced_events/passed_on",
        "network.toxics=[{hop: claude, type: limit_data, bytes: 9000}]",
        {},
        "steady.outcomes.complete",
    ),
]
SHORT = {"nginx_buffering": ["--variant", "naive", "--variant", "header"]}
"""Of a scenario with many variants, those that `make test` runs."""


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
@pytest.mark.parametrize(
    "name",
    ["naive_collapse", "event_loop_block", "nginx_buffering", "silent_truncation", "network_brownout"],
)
def test_what_is_predicted_of_threads_sockets_and_networks_comes_true(loadtests, name: str):
    some = SHORT.get(name, [])

    command = run(loadtests, name, *some)

    assert command.end(0) == 0, command.output()
    summary = command.summary()
    assert summary["verdict"] == "pass"
    assert {row["status"] for row in summary["expectations"]} <= {"pass", "skipped" if some else "pass"}
    command.check_the_books()
    assert command.leftovers() == []


@pytest.mark.timeout(LONG)
@pytest.mark.parametrize(
    ("name", "mistake", "shorter", "expectation"),
    [*MISTAKES, *(pytest.param(*row, marks=pytest.mark.long) for row in LONG_MISTAKES)],
)
def test_the_fix_with_the_mistake_in_it_fails_what_the_fix_is_for(
    loadtests, name: str, mistake: str, shorter: dict[str, float], expectation: str
):
    name, _, variant = name.partition("/")
    variant = variant or "fixed"
    changes = [f"variants.{variant}.{mistake}", *(f"{key}={value}" for key, value in shorter.items())]

    command = run(loadtests, name, "--variant", variant, *(word for change in changes for word in ("--set", change)))

    assert command.end(0) == 1, command.output()
    failed = [f"{row['phase']}.{row['metric']}" for row in command.summary()["expectations"] if row["status"] == "fail"]
    assert expectation in failed, command.output()
