"""Background work: what is accepted ends, is kept, and is never processing for ever."""

import asyncio
from typing import Any

import pytest

from gateway_under_test import errors, logs, store, tasks
from gateway_under_test.tasks import Tasks


class Held:
    """What Redis is to the tasks of all workers, on the loop's clock; its real scripts are in test_redis."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[float, store.Row]] = {}
        self.leases: dict[str, float] = {}
        self.down = False

    def seen_by_another(self) -> "Held":
        another = Held()
        another.rows, another.leases = self.rows, self.leases
        return another

    async def hold(self, key: str, row: store.Row, ttl: float, lease: float) -> store.Row:
        there = self._there(key)
        if there and there["status"] != "processing":
            return there
        self.rows[key] = now() + ttl, row
        self.leases[key] = now() + lease if row["status"] == "processing" else 0
        return row

    async def look(self, key: str, left_behind: store.Row) -> store.Row | None:
        there = self._there(key)
        if there is None or there["status"] != "processing" or self.leases[key] > now():
            return there
        self.rows[key] = self.rows[key][0], left_behind
        return left_behind

    def _there(self, key: str) -> store.Row | None:
        if self.down:
            raise store.Down("down", 5)
        until, row = self.rows.get(key, (0, {}))
        return row if until > now() else None


def now() -> float:
    return asyncio.get_running_loop().time()


def request(request_id: str = "r-1") -> logs.RequestLine:
    return logs.RequestLine(request_id, "POST", "/analyze", now(), route="/analyze", tenant="key-1", priority="low")


def takes(seconds: float, **result: Any) -> tasks.Work:
    async def work(line: logs.RequestLine) -> store.Row:
        await asyncio.sleep(seconds)
        return result

    return work


def fails(error: Exception) -> tasks.Work:
    async def work(line: logs.RequestLine) -> store.Row:
        raise error

    return work


async def status(of: Tasks, task_id: str) -> str | None:
    row = await of.get(task_id)
    return row and str(row["status"])


@pytest.fixture
def held() -> Held:
    return Held()


async def test_a_task_is_processing_then_complete_then_forgotten(lines):
    worker = Tasks(60, lines)
    task_id = await worker.start(takes(5, text="done"), request())

    seen = [await worker.get(task_id)]
    await asyncio.sleep(5.1)
    seen.append(await worker.get(task_id))
    await asyncio.sleep(59.8)
    seen.append(await worker.get(task_id))
    await asyncio.sleep(0.2)
    seen.append(await worker.get(task_id))

    complete = {"task_id": task_id, "status": "complete", "result": {"text": "done"}}
    assert seen == [{"task_id": task_id, "status": "processing"}, complete, complete, None]


@pytest.mark.parametrize("task_id", ["", "0" * 32, "x" * 5000, "a:lease", "\x00"])
async def test_an_unknown_task_is_none(lines, held, task_id):
    assert await Tasks(60, lines, held).get(task_id) is None
    assert await Tasks(60, lines).get(task_id) is None


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        pytest.param(errors.Overloaded("Claude is overloaded"), "overloaded", "Claude is overloaded", id="ours"),
        pytest.param(ZeroDivisionError("secret"), "configuration", "the gateway failed; its log says why", id="a bug"),
    ],
)
async def test_what_goes_wrong_is_told_under_the_id(lines, error, kind, told):
    worker = Tasks(60, lines)

    task_id = await worker.start(fails(error), request())
    await asyncio.sleep(0.1)

    expected = {"task_id": task_id, "status": "failed", "error": {"type": kind, "message": told}}
    assert await worker.get(task_id) == expected
    assert [line["outcome"] for line in lines.of("task")] == [kind]
    assert len(lines.of("crash")) == (kind == "configuration")


async def test_a_task_has_a_line_of_its_own_that_begins_when_it_runs(lines):
    worker = Tasks(60, lines, at_once=1)
    starts = []

    async def work(line: logs.RequestLine) -> store.Row:
        starts.append((line.started, line.deadline, line.request_id, line.tenant, line.priority, line.route))
        line.attempts, line.model, line.input_tokens, line.output_tokens = 2, "haiku", 7, 3
        await asyncio.sleep(5)
        return {}

    asked = request()
    asked.deadline = 1.0  # of who asked for the task: that is answered long ago
    await worker.start(work, asked)
    second = await worker.start(work, asked)
    await asyncio.sleep(10.1)

    same = ("r-1", "key-1", "low", "/analyze")
    assert starts == [(0.0, None, *same), (5.0, None, *same)]
    assert lines.of("task")[1] == {
        "event": "task",
        "task_id": second,
        "request_id": "r-1",
        "status": "complete",
        "outcome": "complete",
        "duration_ms": 5000.0,
        "attempts": 2,
        "model": "haiku",
        "version": None,
        "cached": False,
        "input_tokens": 7,
        "output_tokens": 3,
    }
    assert asked.attempts == 0


@pytest.mark.parametrize(("at_once", "ends"), [(2, [1, 1, 2, 2]), (None, [1, 1, 1, 1])])
async def test_so_many_tasks_run_at_once_and_the_others_wait(lines, at_once, ends):
    worker = Tasks(60, lines, at_once=at_once)
    ended = []

    async def work(line: logs.RequestLine) -> store.Row:
        await asyncio.sleep(1)
        ended.append(now())
        return {}

    for _ in range(4):
        await worker.start(work, request())
    await asyncio.sleep(3)

    assert ended == pytest.approx(ends)


async def test_too_many_tasks_are_refused(lines):
    worker = Tasks(60, lines)
    for _ in range(tasks.PROCESSING):
        await worker.start(takes(1), request())

    with pytest.raises(errors.Shed) as told:
        await worker.start(takes(1), request())
    await asyncio.sleep(1.1)
    accepted = await worker.start(takes(1), request())

    assert told.value.headers() == {"retry-after": "2"}
    assert await status(worker, accepted) == "processing"


async def test_what_memory_keeps_is_bounded_and_nothing_kept_is_lost(lines):
    worker = Tasks(60, lines)
    ids = []
    with pytest.raises(errors.Shed):
        while True:
            ids.append(await worker.start(takes(0), request()))
            if len(ids) % tasks.PROCESSING == 0:
                await asyncio.sleep(0.01)

    assert len(ids) == tasks.KEPT
    assert await status(worker, ids[0]) == "complete"


async def test_every_worker_knows_a_task(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held)

    task_id = await one.start(takes(30, text="done"), request())
    early = [await status(one, task_id), await status(other, task_id)]
    await asyncio.sleep(29)
    long_after = await status(other, task_id)  # the lease was renewed
    await asyncio.sleep(1.1)

    assert (early, long_after) == (["processing", "processing"], "processing")
    assert await other.get(task_id) == await one.get(task_id)
    assert await other.get(task_id) == {"task_id": task_id, "status": "complete", "result": {"text": "done"}}
    await asyncio.sleep(60)
    assert await other.get(task_id) is await one.get(task_id) is None


async def test_a_task_whose_worker_died_reads_as_failed_when_its_lease_is_over(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held.seen_by_another())
    task_id = await one.start(takes(30), request())
    await asyncio.sleep(3)

    held.down = True  # it is not heard of any more
    await asyncio.sleep(8.9)
    at_first = await status(other, task_id)
    await asyncio.sleep(0.2)

    assert at_first == "processing"
    assert await other.get(task_id) == {
        "task_id": task_id,
        "status": "failed",
        "error": {"type": "shed", "message": "the worker that had this task is gone; ask again"},
    }


async def test_what_was_told_to_have_failed_stays_so(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held)
    at_work = await one.start(takes(30), request())
    at_its_end = await one.start(takes(0.5), request())

    for task_id in (at_work, at_its_end):  # this worker was stopped for a while, and believed dead
        held.leases[f"task:{task_id}"] = 0
        await other.get(task_id)
    await asyncio.sleep(2.1)

    assert [await status(each, task_id) for each in (one, other) for task_id in (at_work, at_its_end)] == ["failed"] * 4
    assert [line["why"] for line in lines.of("task_lost")] == ["it had been given up as left behind"]
    [told] = [line for line in lines.of("task") if line["task_id"] == at_work]
    assert (told["status"], told["duration_ms"]) == ("failed", pytest.approx(2000, abs=1))  # not worked on any longer


async def test_while_redis_is_down_no_task_is_accepted(lines, held):
    worker = Tasks(60, lines, held)
    held.down = True

    with pytest.raises(errors.Shed) as told:
        await worker.start(takes(1), request())

    assert (told.value.status, told.value.headers()) == (503, {"retry-after": "5"})
    held.down = False
    await worker.start(takes(1), request())


async def test_while_redis_is_down_a_worker_answers_for_its_own_tasks(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held)
    task_id = await one.start(takes(5, text="done"), request())
    held.down = True

    seen = [await status(one, task_id)]
    await asyncio.sleep(5.1)
    seen.append(await status(one, task_id))

    assert seen == ["processing", "complete"]
    with pytest.raises(errors.Shed) as told:
        await other.get(task_id)
    assert told.value.status == 503


async def test_an_end_is_written_as_soon_as_redis_is_back(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held)
    task_id = await one.start(takes(5, text="done"), request())
    held.down = True
    await asyncio.sleep(30)

    held.down = False
    await asyncio.sleep(1.1)

    assert await status(other, task_id) == "complete"
    assert lines.of("task_lost") == []


async def test_a_redis_that_comes_back_empty_learns_what_still_runs(lines, held):
    one, other = Tasks(60, lines, held), Tasks(60, lines, held)
    task_id = await one.start(takes(5), request())

    held.rows.clear()
    await asyncio.sleep(2.1)

    assert await status(other, task_id) == "processing"


async def test_an_end_that_cannot_be_written_is_told_in_the_log(lines, held):
    worker = Tasks(60, lines, held)
    task_id = await worker.start(takes(1), request())
    held.down = True

    await asyncio.sleep(62.1)

    assert [(line["task_id"], line["why"]) for line in lines.of("task_lost")] == [
        (task_id, "Redis was down for as long as it would have been kept")
    ]


async def test_a_short_ttl_does_not_end_a_task_that_runs(lines, held):
    one, other = Tasks(0.5, lines, held), Tasks(0.5, lines, held)

    task_id = await one.start(takes(30), request())
    await asyncio.sleep(25)

    assert await status(other, task_id) == "processing"


async def test_tasks_have_until_the_drain_ends_then_they_fail(lines, held):
    worker, other = Tasks(60, lines, held), Tasks(60, lines, held)
    async with worker.living(drain=10):
        quick = await worker.start(takes(9), request())
        slow = await worker.start(takes(30), request())
        await asyncio.sleep(1)
        worker.drain()
        with pytest.raises(errors.Shed):
            await worker.start(takes(1), request())
        await asyncio.sleep(2)  # open requests end first, in the same time
    ended = now()

    assert ended == pytest.approx(11)
    assert await status(other, quick) == "complete"
    assert await other.get(slow) == {
        "task_id": slow,
        "status": "failed",
        "error": {"type": "shed", "message": "the gateway stopped before this task had ended; ask again"},
    }


async def test_who_has_no_tasks_stops_at_once(lines):
    async with Tasks(60, lines).living(drain=10):
        pass

    assert now() == 0


async def test_tasks_that_wait_for_their_turn_fail_too_when_the_gateway_stops(lines):
    worker = Tasks(60, lines, at_once=1)
    async with worker.living(drain=0):
        ids = [await worker.start(takes(30), request()) for _ in range(3)]  # the last has not even begun

    assert [await status(worker, task_id) for task_id in ids] == ["failed"] * 3


async def test_an_end_not_written_before_the_gateway_stops_is_told_in_the_log(lines, held):
    worker, other = Tasks(60, lines, held), Tasks(60, lines, held)
    async with worker.living(drain=1):
        task_id = await worker.start(takes(30), request())
        held.down = True
    stopped = now()

    held.down = False
    await asyncio.sleep(10)

    assert stopped == pytest.approx(3)
    assert [line["why"] for line in lines.of("task_lost")] == ["the gateway stopped before Redis took its end"]
    assert await status(other, task_id) == "failed"
