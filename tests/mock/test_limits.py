import asyncio
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import catalog
from mockclaude.limits import GRAIN, Account, Charge, Claim, Limits
from mockclaude.terms import Rate, Spend, Terms


def everywhere(*rate, **terms):
    return Terms(dict.fromkeys(catalog.FAMILIES, Rate(*rate)), **terms)


def claim(key="a", tokens=0, model="claude-haiku-4-5", workspace=""):
    return Claim(key, catalog.find(model), tokens, workspace)


def granted(quota):
    return quota is not None and quota.over is None


def settled(held, asked, now, cached=0, produced=0):
    """An attempt that passes, is read at once and has produced at once."""
    assert granted(held.take(asked, now))
    charge = Charge(held, asked)
    charge.read(cached, now)
    charge.close(produced, now)


GAPS = st.lists(st.fractions(0, 2, max_denominator=50), max_size=80)


@given(burst=st.integers(1, 20), per_minute=st.integers(1, 600), gaps=GAPS)
def test_no_window_ever_sees_more_requests_than_burst_and_refill(burst, per_minute, gaps):
    held, now, passed = Limits(everywhere(per_minute, burst), Fraction(0)), Fraction(0), []

    for gap in gaps:
        now += gap
        if granted(held.take(claim(), now)):
            passed.append(now)

    rate = Fraction(per_minute, 60)
    for first, begins in enumerate(passed):
        for last in range(first, len(passed)):
            window = passed[last] - begins
            assert last - first + 1 <= burst + rate * (window + Fraction(GRAIN))


@given(
    per_minute=st.integers(100, 5000),
    prompts=st.lists(st.tuples(st.fractions(0, 20, max_denominator=9), st.integers(1, 900)), max_size=60),
)
def test_no_window_ever_sees_more_input_tokens_than_a_minutes_worth_and_refill(per_minute, prompts):
    held, now, passed = Limits(everywhere(None, None, per_minute), Fraction(0)), Fraction(0), []

    for gap, tokens in prompts:
        now += gap
        if granted(held.take(claim(tokens=tokens), now)):
            passed.append((now, tokens))

    rate = Fraction(per_minute, 60)
    for first, (begins, _) in enumerate(passed):
        used = 0
        for at, tokens in passed[first:]:
            used += tokens
            assert used <= per_minute + rate * (at - begins + Fraction(GRAIN))


@given(burst=st.integers(1, 20), per_minute=st.integers(1, 120), seconds=st.integers(1, 6))
def test_under_pressure_a_bucket_accepts_exactly_the_least_of_what_came_and_what_it_holds(burst, per_minute, seconds):
    held = Limits(everywhere(per_minute, burst), Fraction(0))
    arrivals = [Fraction(k, per_minute) for k in range(seconds * per_minute + 1)]  # 60 times what the bucket refills

    accepted = sum(granted(held.take(claim(), now)) for now in arrivals)

    last = arrivals[-1]
    assert accepted == min(len(arrivals), burst + math.floor(Fraction(per_minute, 60) * last))


STEPS = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.integers(1, 1200),  # the prompt
        st.floats(0, 1),  # how much of it is cached
        st.integers(0, 800),  # what is produced
        st.sampled_from(["read", "never read", "still open"]),
    ),
    max_size=40,
)


@given(steps=STEPS, ins=st.integers(50, 2000), outs=st.integers(1, 1000), ramp=st.none() | st.integers(100, 2000))
def test_the_wait_is_enough_and_no_more_than_needed(steps, ins, outs, ramp):
    rate = (20, 3, ins, outs)
    held, again, early = (Limits(everywhere(*rate, ramp=ramp)) for _ in range(3))
    now = 1e5

    for gap, tokens, cached, produced, ending in steps:
        now += gap
        asked = claim(tokens=tokens)
        quotas = [one.take(asked, now) for one in (held, again, early)]
        quota = quotas[0]
        if quota.over is None:
            for one in (held, again, early):
                finish(one, asked, now, int(cached * tokens), produced, ending)
        elif quota.wait == math.inf:
            assert not granted(again.take(asked, now + 1e6))
            return
        else:
            assert not granted(early.take(asked, now + max(0, quota.wait - 3 * GRAIN)))
            assert granted(again.take(asked, now + quota.wait))
            return


def finish(held, asked, now, cached, produced, ending):
    charge = Charge(held, asked)
    if ending == "read":
        charge.read(cached, now)
    if ending != "still open":
        charge.close(produced, now)


@given(steps=STEPS)
def test_every_token_is_accounted_for(steps):
    """What is missing from the buckets is what was used, as long as no refill could reach the brim."""
    held, now = Limits(everywhere(None, None, 10**6, 10**6), Fraction(0)), Fraction(0)
    used, produced_in_all = 10**5, 10**5
    settled(held, claim(tokens=used), now, produced=produced_in_all)
    spent = used + produced_in_all

    for _, tokens, cached, produced, ending in steps:
        asked = claim(tokens=tokens)
        assert granted(held.take(asked, now))
        free = int(cached * tokens)
        finish(held, asked, now, free, produced, ending)
        charged = {"read": tokens - free, "never read": 0, "still open": tokens}[ending]
        made = 0 if ending == "still open" else produced
        used, produced_in_all = used + charged, produced_in_all + made
        spent += 0 if ending == "still open" else charged + made

    levels = held.take(claim(), now).levels
    assert levels["input tokens"].remaining == 10**6 - used
    assert levels["output tokens"].remaining == 10**6 - produced_in_all
    assert held.spent == spent


def test_whoever_waits_as_long_as_told_is_served():
    tight = Limits(everywhere(7, 1))
    tight.take(claim(), 0.0)

    refused = tight.take(claim(), 1.0)

    assert refused.over == "requests"
    assert refused.wait == pytest.approx(60 / 7 - 1)
    assert granted(tight.take(claim(), 1.0 + refused.wait))


def test_a_refused_attempt_costs_nothing():
    tight = Limits(everywhere(60, 1, 1000))
    tight.take(claim(tokens=400), 0.0)

    for now in (0.2, 0.4, 0.6, 0.8):
        assert not granted(tight.take(claim(tokens=500), now))

    assert granted(tight.take(claim(tokens=500), 1.0))


def test_of_several_limits_the_one_that_refuses_longest_is_told():
    tight = Limits(everywhere(60, 1, 600))
    tight.take(claim(tokens=600), 0.0)

    few, many = tight.take(claim(tokens=5), 0.0), tight.take(claim(tokens=60), 0.0)

    assert (few.over, few.wait) == ("requests", 1.0)
    assert (many.over, many.wait, many.limit) == ("input tokens", 6.0, 600)


def test_a_prompt_larger_than_the_bucket_never_passes_and_no_wait_is_told():
    small = Limits(everywhere(None, None, 1000))

    quota = small.take(claim(tokens=1001), 0.0)

    assert (quota.over, quota.wait) == ("input tokens", math.inf)
    assert "retry-after" not in quota.headers(0.0)


def test_what_the_prompt_cache_held_is_given_back_when_the_prompt_is_read():
    held, asked = Limits(everywhere(None, None, 1000)), claim(tokens=900)
    held.take(asked, 0.0)
    assert not granted(held.take(asked, 0.0))

    Charge(held, asked).read(800, 0.0)

    assert granted(held.take(asked, 0.0))


def test_a_prompt_that_nobody_read_is_given_back_at_the_end():
    held, asked = Limits(everywhere(None, None, 1000)), claim(tokens=900)
    held.take(asked, 0.0)

    Charge(held, asked).close(0, 0.0)

    assert granted(held.take(asked, 0.0))
    assert held.spent == 0


def test_output_is_taken_as_produced_and_the_bucket_may_fall_below_zero():
    held = Limits(everywhere(None, None, None, 600))
    settled(held, claim(), 0.0, produced=1500)

    quota = held.take(claim(), 0.0)

    assert (quota.over, quota.limit) == ("output tokens", 600)
    assert quota.wait == pytest.approx(90.1)  # 900 too many at 10 a second, and one that is there
    assert quota.levels["output tokens"].remaining == -900
    assert granted(held.take(claim(), quota.wait))


SHARED = {
    "the same key": ("key", claim("a"), claim("a", workspace="w"), True),
    "another key": ("key", claim("a"), claim("b"), False),
    "another workspace": ("workspace", claim("a", workspace="v"), claim("a", workspace="w"), False),
    "another key of a workspace": ("workspace", claim("a", workspace="w"), claim("b", workspace="w"), True),
    "anybody": ("organization", claim("a", workspace="v"), claim("b", workspace="w"), True),
    "another family": ("organization", claim(), claim(model="claude-opus-4-5"), False),
    "a sibling of 4.x": ("key", claim(model="claude-opus-4-5"), claim(model="claude-opus-4-8"), True),
    "a version from 5 on": ("key", claim(model="claude-opus-4-8"), claim(model="claude-opus-5"), False),
    "the next version": ("key", claim(model="claude-opus-5"), claim(model="claude-opus-5-5"), False),
    "all fables": ("key", claim(model="claude-fable-5"), claim(model="claude-fable-5-1"), True),
    "a mythos": ("key", claim(model="claude-fable-5"), claim(model="claude-mythos-5"), False),
}


@pytest.mark.parametrize(("scope", "one", "other", "shared"), SHARED.values(), ids=SHARED)
def test_who_shares_a_bucket(scope, one, other, shared):
    tight = Limits(everywhere(60, 1, scope=scope))
    tight.take(one, 0.0)

    assert granted(tight.take(other, 0.0)) is not shared


def test_each_family_has_its_own_rate():
    rates = dict.fromkeys(catalog.FAMILIES, Rate()) | {"opus": Rate(60, 1)}
    held = Limits(Terms(rates))

    assert held.take(claim(), 0.0) is None
    assert held.take(claim(model="claude-opus-5"), 0.0).levels["requests"].limit == 60


def test_without_limits_there_is_no_quota_and_nobody_is_remembered():
    free = Limits(Terms())

    assert free.take(claim(), 0.0) is None
    Charge(free, claim(tokens=9)).close(5, 1.0)
    assert len(free) == 0


def test_the_ramp_lets_a_minutes_input_exceed_the_one_before_by_so_much():
    steep, used = Limits(Terms(ramp=1000)), []

    for minute in range(5):
        taken = 0
        while granted(steep.take(claim(tokens=100), minute * 60.0 + taken / 1000)):
            taken += 100
        used.append(taken)

    assert used == [1000, 2000, 3000, 4000, 5000]


def test_after_a_minute_of_silence_the_ramp_begins_again():
    steep = Limits(Terms(ramp=1000))
    for now, tokens in ((0.0, 1000), (60.0, 2000), (180.0, 1000)):
        assert granted(steep.take(claim(tokens=tokens), now))

    assert not granted(steep.take(claim(tokens=1), 181.0))


def test_a_ramp_too_steep_says_what_is_allowed_now_and_in_the_next_minute():
    steep = Limits(Terms(ramp=10_000), zero=30.0)
    steep.take(claim(tokens=58_276 - 48_276), 60.0)

    quota = steep.take(claim(tokens=1), 70.0)

    assert (quota.over, quota.limit, quota.rises_to) == ("ramp", 10_000, 20_000)
    assert quota.wait == 20.0  # minutes are counted from 30
    assert granted(steep.take(claim(tokens=1), 90.0))


def test_a_prompt_steeper_than_the_next_minute_allows_is_not_told_to_wait():
    steep = Limits(Terms(ramp=1000))

    assert steep.take(claim(tokens=1001), 0.0).wait == math.inf


def test_a_bucket_that_takes_minutes_and_a_ramp_that_falls_meanwhile_together_never_let_it_pass():
    both = Limits(everywhere(None, None, None, 1, ramp=100))
    settled(both, claim(tokens=50), 0.0, produced=2)

    quota = both.take(claim(tokens=101), 0.0)

    assert (quota.over, quota.wait) == ("output tokens", math.inf)


@pytest.mark.parametrize("kind", ["tier", "user"])
def test_the_spend_limit_is_reached_by_what_all_callers_used(kind):
    capped = Limits(Terms(spend=Spend(1000, kind)))
    for key in ("a", "b"):
        asked = claim(key, tokens=600)
        assert capped.take(asked, 0.0) is None
        charge = Charge(capped, asked)
        charge.read(500, 0.0)
        charge.close(400, 0.0)

    quota = capped.take(claim("c"), 1e9)

    assert (capped.spent, quota.over, quota.wait) == (1000, kind, math.inf)


def test_headers_can_be_switched_off_but_not_the_wait():
    quiet = Limits(everywhere(60, 1, 1000, headers=False))

    served, refused = quiet.take(claim(), 0.0), quiet.take(claim(), 0.0)

    assert served.headers(0.0) == {}
    assert refused.headers(0.0) == {"retry-after": "1"}


def test_a_change_keeps_what_was_spent_and_spills_what_no_longer_fits():
    changing = Limits(everywhere(60, 10))
    changing.take(claim(), 0.0)

    changing.change(everywhere(60, 2), 0.0)

    assert [granted(changing.take(claim(), 0.0)) for _ in range(3)] == [True, True, False]


def test_a_change_fills_at_the_old_rate_until_now():
    changing = Limits(everywhere(60, 10))
    for _ in range(10):
        changing.take(claim(), 0.0)

    changing.change(everywhere(600, 10), 2.0)

    assert changing.take(claim(), 2.0).levels["requests"].remaining == 1


def test_a_debt_of_output_outlives_a_change():
    changing = Limits(everywhere(None, None, None, 600))
    settled(changing, claim(), 0.0, produced=700)

    changing.change(everywhere(None, None, None, 6000), 0.0)

    assert changing.take(claim(), 0.0).levels["output tokens"].remaining == -100


def test_switching_limits_off_and_on_begins_with_full_buckets():
    changing = Limits(everywhere(60, 1))
    changing.take(claim(), 0.0)

    changing.change(Terms(), 1.0)
    changing.change(everywhere(60, 1), 1.0)

    assert granted(changing.take(claim(), 1.0))


def test_another_scope_begins_with_full_buckets_and_the_old_one_is_remembered():
    changing = Limits(everywhere(60, 1))
    changing.take(claim(), 0.0)

    changing.change(everywhere(60, 1, scope="organization"), 0.0)
    assert granted(changing.take(claim(), 0.0))

    changing.change(everywhere(60, 1), 0.0)
    assert not granted(changing.take(claim(), 0.0))


def test_what_is_given_back_does_not_overfill():
    held, asked = Limits(everywhere(None, None, 1000)), claim(tokens=900)
    held.take(asked, 0.0)

    Charge(held, asked).close(0, 50.0)

    assert held.take(claim(), 50.0).levels["input tokens"].remaining == 1000


def test_what_was_taken_before_limits_were_switched_on_ends_without_harm():
    changing, asked = Limits(Terms()), claim(tokens=500)
    charge = Charge(changing, asked)

    changing.change(everywhere(None, None, 1000, 1000), 0.0)
    charge.close(300, 0.0)

    levels = changing.take(claim(), 0.0).levels
    assert (levels["input tokens"].remaining, levels["output tokens"].remaining) == (1000, 700)


def test_rested_callers_are_forgotten():
    many = Limits(everywhere(60, 1, 600, 600, ramp=100))

    for k in range(10_000):
        settled(many, claim(f"key {k}", tokens=6), k / 10, produced=6)

    assert len(many) <= 2 * 60 * 10 + 10  # ten new ones a second; the ramp remembers two minutes


def test_a_forgotten_caller_is_one_who_has_rested():
    tight = Limits(everywhere(1, 1))
    tight.take(claim("first"), 0.0)

    for k in range(1000):
        tight.take(claim(f"key {k}"), k / 100)

    assert not granted(tight.take(claim("first"), 59.0))


def test_a_caller_whose_minute_is_steep_has_not_rested():
    steep = Limits(Terms(ramp=1000))
    steep.take(claim("first", 1000), 0.0)

    for k in range(100):
        steep.take(claim(f"key {k}"), k / 100)

    assert not granted(steep.take(claim("first", 1), 59.0))


def test_of_too_many_callers_one_who_keeps_asking_is_not_forgotten():
    slow = Limits(everywhere(0.001, 1), kept=100)
    slow.take(claim("first"), 0.0)

    for k in range(1000):
        slow.take(claim(f"key {k}"), 0.0)
        assert not granted(slow.take(claim("first"), 0.0))


def test_of_too_many_callers_the_longest_silent_is_forgotten():
    slow = Limits(everywhere(0.001, 1), kept=100)

    for k in range(1000):
        slow.take(claim(f"key {k}"), 0.0)

    assert len(slow) == 100
    assert not granted(slow.take(claim("key 999"), 0.0))


def test_the_lowest_level_is_the_emptiest_callers():
    held = Limits(everywhere(10, None, 1000, 1000))
    settled(held, claim("a", tokens=500), 0.0, produced=1200)
    settled(held, claim("b", tokens=100), 0.0)

    assert [held.lowest(kind, 0.0) for kind in ("requests", "input tokens", "output tokens")] == [0.9, 0.5, -0.2]
    assert held.lowest("output tokens", 30.0) == pytest.approx(0.3)
    assert held.lowest("requests", 600.0) == 1.0
    assert Limits(Terms()).lowest("requests", 0.0) == 1.0


def test_a_minute_does_not_turn_back():
    account = Account("haiku")
    account.turn(5)
    account.take(7)

    account.turn(4)

    assert (account.minute, account.used) == (5, 7)


WORD = "word " * 400  # 400 words, some 570 tokens
CACHED = [{"type": "text", "text": "word " * 6000, "cache_control": {"type": "ephemeral"}}]


def remaining(reply, kind):
    return int(reply.headers[f"anthropic-ratelimit-{kind}-remaining"])


async def test_a_reply_tells_how_every_bucket_stands(mocked, steady):
    rates = {"requests_per_minute": 50, "input_tokens_per_minute": 30_000, "output_tokens_per_minute": 8000}
    async with mocked(latency=steady, limits=rates) as claude:
        reply = await claude.asked("word " * 1400)

        shown = {kind: remaining(reply, kind) for kind in ("requests", "input-tokens", "output-tokens", "tokens")}
        assert shown == {"requests": 49, "input-tokens": 28_000, "output-tokens": 8000, "tokens": 36_000}


async def test_what_a_reply_has_produced_counts_from_its_end_and_max_tokens_never(mocked, steady):
    latency = steady | {"output_tokens": 30}
    async with mocked(latency=latency, limits={"output_tokens_per_minute": 20}) as claude:
        first, second = claude.ask(max_tokens=4000), claude.ask(max_tokens=4000)
        assert [(await first.ended()).status, (await second.ended()).status] == [200, 200]

        refused = await claude.asked()

        assert "rate limit of 20 output tokens per minute" in refused.error["message"]
        assert refused.headers["retry-after"] == "123"  # 60 of 20: 40 too many, one wanted, a third of one a second


async def test_a_cached_prompt_is_free_once_it_is_read(mocked, steady):
    async with mocked(latency=steady, limits={"input_tokens_per_minute": 10_000}) as claude:
        written = await claude.asked(system=CACHED)
        assert written.json["usage"]["cache_creation_input_tokens"] > 8000
        await asyncio.sleep(60)

        read = [(await claude.asked(system=CACHED)).json.get("usage", {}) for _ in range(3)]
        new = [(await claude.asked("other " * 5000)).status for _ in range(2)]

        assert all(usage["cache_read_input_tokens"] > 8000 for usage in read)
        assert new == [200, 429]


async def test_a_request_turned_away_costs_a_request_but_no_tokens(mocked, steady):
    rates = {"requests_per_minute": 10, "input_tokens_per_minute": 600}
    full = {"slots": 0, "queue": 0}
    async with mocked(latency=steady, capacity=full, limits=rates) as claude:
        statuses = [(await claude.asked(WORD)).status for _ in range(11)]

        assert statuses == [529] * 10 + [429]


async def test_a_fault_instead_of_a_reply_costs_a_request_but_no_tokens(mocked, steady):
    rates = {"requests_per_minute": 3, "input_tokens_per_minute": 600}
    async with mocked(latency=steady, faults=[{"name": "status", "code": 500}], limits=rates) as claude:
        assert [(await claude.asked(WORD)).status for _ in range(4)] == [500, 500, 500, 429]


async def test_a_client_that_leaves_pays_for_what_was_produced(mocked, steady):
    rates = {"output_tokens_per_minute": 60}
    async with mocked(latency=steady, capacity={"on_disconnect": "finish"}, limits=rates) as claude:
        leaving = claude.ask(max_tokens=100, stream=True)
        await asyncio.sleep(2)
        await leaving.leave()
        await asyncio.sleep(10)  # a second ago it had produced a hundred tokens, 40 more than there were

        refused = await claude.asked()

        assert refused.status == 429
        assert refused.headers["retry-after"] == "40"


async def test_workspaces_are_told_apart_by_their_header(mocked, steady):
    rates = {"requests_per_minute": 1, "scope": "workspace"}
    async with mocked(latency=steady, limits=rates) as claude:
        spaces = ["wrkspc_a", "wrkspc_b", "wrkspc_a"]

        replies = [await claude.asked(headers={"anthropic-workspace-id": space}) for space in spaces]

        assert [reply.status for reply in replies] == [200, 200, 429]


async def test_a_spend_limit_holds_until_the_reset(mocked, steady):
    async with mocked(latency=steady, limits={"spend": {"tokens": 10, "kind": "user"}}) as claude:
        spent = [(await claude.asked()).status for _ in range(3)]
        await claude.call("POST", "/_mock/reset")

        assert spent == [200, 400, 400]
        assert (await claude.asked()).status == 200


async def test_the_ramps_minutes_begin_with_the_reset(mocked, steady):
    async with mocked(latency=steady, limits={"ramp": 1000}) as claude:
        await asyncio.sleep(45)
        await claude.call("POST", "/_mock/reset")

        replies = [await claude.asked("word " * 500) for _ in range(2)]

        assert [reply.status for reply in replies] == [200, 429]
        assert replies[1].headers["retry-after"] == "58"


async def test_a_timeline_can_lift_the_limits_and_put_them_back(mocked, steady):
    lifted = {"at": 5, "for": 20, "limits": {"preset": "none"}}
    async with mocked(latency=steady, limits={"requests_per_minute": 1}, timeline=[lifted]) as claude:
        before = [(await claude.asked()).status for _ in range(2)]
        await asyncio.sleep(5)
        during = [(await claude.asked()).status for _ in range(2)]
        await asyncio.sleep(20)

        assert (before, during) == ([200, 429], [200, 200])
        assert [(await claude.asked()).status for _ in range(2)] == [200, 429]


async def test_the_metrics_show_how_much_the_emptiest_bucket_holds(mocked, steady):
    async with mocked(latency=steady, limits={"requests_per_minute": 0.01, "burst": 4}) as claude:
        await claude.asked()

        text = (await claude.send("GET", "/metrics").ended()).body.decode()

        assert "mockclaude_limit_left_requests_ratio 0.75" in text
        assert "mockclaude_limit_left_output_tokens_ratio 1.0" in text
