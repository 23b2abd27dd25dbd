"""What becomes of attempts that wait: in the order configured, for as long as they may, at the pace of the load."""

import asyncio
import itertools

import pytest

from mockclaude.capacity import Capacity, Size, State
from mockclaude.clock import Clock
from mockclaude.journal import Journal
from mockclaude.reply import Reply
from mockclaude.slot import Slot

STEADY = {"ttft": {"p50": 1.0, "p95": 1.0}, "tokens_per_second": 10, "tokens_per_delta": 1, "prefill": False}


async def staggered(claude, count, **headers):
    """`count` requests, a tenth of a second apart; two seconds of work each."""
    replies = []
    for k in range(count):
        replies.append(claude.ask(f"request {k}", headers))
        await asyncio.sleep(0.1)
    return await asyncio.gather(*(reply.ended() for reply in replies))


async def ended(claude):
    return {record["n"]: record["ended"] for record in await claude.journal()}


@pytest.mark.parametrize(("order", "last"), [("fifo", 3), ("lifo", 2)])
async def test_the_queue_is_served_in_the_order_configured(mocked, order, last):
    async with mocked(latency=STEADY, capacity={"slots": 1, "order": order}) as claude:
        await staggered(claude, 3)

        times = await ended(claude)
        assert max(times, key=times.get) == last


async def test_by_deadline_a_request_that_cannot_be_done_in_time_gets_a_529_when_its_turn_comes(mocked):
    async with mocked(latency=STEADY, capacity={"slots": 1, "order": "deadline"}) as claude:
        running = claude.ask("a")
        hopeless = claude.ask("b", {"x-request-deadline": "3.5"})
        hopeful = claude.ask("c", {"x-request-deadline": "4.5"})
        replies = await asyncio.gather(running.ended(), hopeless.ended(), hopeful.ended())

        assert [reply.status for reply in replies] == [200, 529, 200]
        record = next(one for one in await claude.journal() if one["n"] == 2)
        assert (record["outcome"], record["queued"]) == ("turned_away", pytest.approx(2.0))
        assert (await claude.call("GET", "/_mock/stats"))["turned_away"] == 1


@pytest.mark.parametrize("value", ["soon", "nan", ""])
async def test_a_deadline_that_is_no_number_is_none(mocked, value):
    async with mocked(latency=STEADY, capacity={"slots": 1, "order": "deadline"}) as claude:
        replies = await asyncio.gather(*(claude.asked(text, {"x-request-deadline": value}) for text in "ab"))

        assert [reply.status for reply in replies] == [200, 200]


async def test_who_waited_as_long_as_any_may_gets_a_529_at_that_moment(mocked):
    async with mocked(latency=STEADY, capacity={"slots": 1, "max_queue_wait": 0.5}) as claude:
        first, second = await asyncio.gather(claude.asked("a"), claude.asked("b"))

        assert (first.status, second.status) == (200, 529)
        record = next(one for one in await claude.journal() if one["n"] == 2)
        assert (record["ended"], record["queued"]) == (pytest.approx(0.5), pytest.approx(0.5))
        assert second.headers["x-should-retry"] == "true"
        assert "retry-after" not in second.headers


async def test_a_slot_that_comes_in_time_ends_the_wait(mocked):
    async with mocked(latency=STEADY, capacity={"slots": 1, "max_queue_wait": 2.5}) as claude:
        replies = await asyncio.gather(claude.asked("a"), claude.asked("b"))

        assert [reply.status for reply in replies] == [200, 200]


@pytest.mark.parametrize(("on_full", "status"), [(529, 529), (429, 429), ("wait", 200)])
async def test_what_a_full_queue_says_can_be_chosen(mocked, on_full, status):
    async with mocked(latency=STEADY, capacity={"slots": 1, "queue": 0, "on_full": on_full}) as claude:
        _, second = await asyncio.gather(claude.asked("a"), claude.asked("b"))

        assert second.status == status


@pytest.mark.parametrize(("policy", "cancelled", "wasted"), [("skip_if_queued", 1, 10), ("finish", 0, 20)])
async def test_work_whose_client_has_left_is_skipped_only_while_it_waits(mocked, policy, cancelled, wasted):
    async with mocked(latency=STEADY, capacity={"slots": 1, "on_disconnect": policy}) as claude:
        running, waiting = claude.ask("a"), claude.ask("b")
        await asyncio.sleep(0.5)
        await asyncio.gather(running.leave(), waiting.leave())
        await asyncio.sleep(5)

        records = await claude.journal()
        assert (await claude.call("GET", "/_mock/stats"))["cancelled"] == cancelled
        assert sum(record["wasted_tokens"] for record in records) == wasted


async def test_a_stream_slows_down_when_another_joins_and_is_quick_again_when_it_leaves(mocked):
    async with mocked(latency=STEADY, capacity={"slots": 2, "slowdown": 2}) as claude:
        first = claude.ask("a", stream=True)
        await asyncio.sleep(1.05)
        second = claude.ask("b", stream=True)
        await asyncio.sleep(0.4)
        await second.leave()
        await first.ended()

        times = first.delta_times()
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert gaps == pytest.approx([0.15, 0.2, 0.15, *[0.1] * 6], abs=0.0055)
        assert times[-1] - times[0] == pytest.approx(0.9 + 0.2, abs=0.0055)


async def test_work_that_runs_on_without_its_client_is_slowed_down_too(mocked):
    config = {"slots": 2, "slowdown": 2, "on_disconnect": "finish"}
    async with mocked(latency=STEADY, capacity=config) as claude:
        gone, stays = claude.ask("a"), claude.ask("b")
        await asyncio.sleep(0.5)
        await gone.leave()
        await stays.ended()
        await asyncio.sleep(0.1)

        times = await ended(claude)
        assert times == {1: pytest.approx(4.0, abs=0.0055), 2: pytest.approx(4.0, abs=0.0055)}


class Keeper:
    """Who has one slot, and gives it to the next in line."""

    def __init__(self):
        self.capacity = Capacity(Size(slots=1, queue=None))
        self.clock = Clock()
        self.journal = Journal("test")
        self.slots = {}

    def offer(self, plan):
        now = self.clock.now()
        ticket = self.capacity.offer(now)
        slot = self.slots[ticket] = Slot(self, ticket, self.journal.open({}, now, 0.0), plan)
        if ticket.state is State.RUNNING:
            slot.start(now)
        return slot

    def release(self, ticket, now, completed):
        del self.slots[ticket]
        for admitted in (self.capacity.leave if completed else self.capacity.abandon)(ticket, now):
            self.slots[admitted].start(now)

    def expire(self, ticket, now):
        raise AssertionError("none of them may wait too long")


async def test_what_cannot_be_planned_is_a_500_and_gives_its_slot_to_the_next(caplog):
    keeper = Keeper()
    first = keeper.offer(lambda: Reply(0.0, 0.0, 0, iter(())))
    broken = [keeper.offer(lambda: 1 / 0) for _ in range(500)]
    last = keeper.offer(lambda: Reply(0.0, 0.0, 0, iter(())))

    first.complete()
    await asyncio.wait_for(last.granted, 1)

    assert {slot.refused.status for slot in broken if slot.granted.done()} == {500}
    assert (keeper.capacity.running, keeper.capacity.queued, keeper.capacity.cancelled) == (1, 0, 500)
    assert len(keeper.journal.open_attempts) == 1
    assert "attempt 2: the mock itself failed" in caplog.text
