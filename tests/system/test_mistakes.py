"""Each scenario knows its mistake: put back into the fix, it fails the expectation that is about it."""

import pytest

pytestmark = pytest.mark.virtual
MISTAKES = [
    ("fallback_model", "fallback_model=none", "overload.goodput_ratio"),
    ("fallback_model", "breaker=none", "overload.amplification"),
    ("layered_retries", "sdk_retries=2", "outage.amplification"),
    ("layered_retries", "retry_budget=none", "outage.amplification"),
    ("layered_retries", "load.attempts=3", "outage.amplification"),
    ("overloaded_in_stream", "attempts=1", "steady.goodput_ratio"),
    ("overloaded_in_stream", "peek=false", "steady.hidden_error_ratio"),
    ("retry_400s", "retry_on=every_status", "steady.amplification"),
    ("retry_after_herd", "backoff.jitter=none", "return.peak_attempts"),
    ("retry_after_herd", "backoff.jitter=none", "limited.goodput_ratio"),
    ("spend_cap", "breaker=none", "capped.amplification"),
    ("batch_semaphore", "batch_concurrency=none", "batch.refused_ratio"),
    ("stream_or_wait/stream", "load.user=chat", "steady.ttft.p50"),
    ("model_routing/route", "load.user=chat", "steady.e2e.mean"),
    ("prompt_cache", "prompt_cache=false", "rest.ttft.p50"),
    ("prompt_cache", "prompt_cache=false", "rest.cached_input_tokens"),
    ("zombie_generation", "cancel_upstream=false", "leaving.wasted_output_tokens"),
    ("zombie_generation/fixed_stream", "cancel_upstream=false", "leaving.wasted_output_tokens"),
    ("deep_health_check", "health_every=none", "before.attempts_per_second"),
    ("deep_health_check", "health_every=none", "brownout.goodput_ratio"),
    ("deep_health_check/shallow", "load.probe.path=/health", "brownout.goodput_ratio"),
    ("coordinated_omission", "load={}", "steady.e2e.p99"),
    ("coordinated_omission/shared", "load={}", "steady.e2e.p99"),
    ("closed_vs_open", "load={}", "slow.e2e.p50"),
    ("closed_vs_open", "load={}", "slow.goodput_ratio"),
    ("spike", "concurrency=none", "after.goodput_ratio"),
    ("spike", "concurrency=none", "spike.outcomes.shed"),
    ("ramp_to_breakpoint/slow", "load={}", "ramp.breakpoint.rate"),
    ("ramp_to_breakpoint", "concurrency=none", "ramp.goodput_rate"),
    ("steady", "concurrency.limit=8", "steady.goodput_ratio"),
    ("impatient_users", "cancel_upstream=false", "last.ttft.p50"),
    ("impatient_users", "cancel_upstream=false", "last.output_tokens"),
]
"""Scenario (and variant, where the fix has a name of its own), what makes it wrong again, the expectation it fails."""


@pytest.mark.parametrize(("name", "mistake", "expectation"), MISTAKES)
def test_the_fix_with_the_mistake_in_it_fails_what_the_fix_is_for(loadtests, name: str, mistake: str, expectation: str):
    name, _, variant = name.partition("/")
    variant = variant or "fixed"
    only = ["--clock", "virtual", "--variant", variant, "--out", "run"]

    command = loadtests("run", name, *only, "--set", f"variants.{variant}.{mistake}")

    assert command.end(90) == 1, command.output()
    failed = [f"{row['phase']}.{row['metric']}" for row in command.summary()["expectations"] if row["status"] == "fail"]
    assert expectation in failed, command.output()
