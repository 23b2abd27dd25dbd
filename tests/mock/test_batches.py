"""Message batches through their whole life, on virtual time."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest
from starlette.requests import Request

from mockclaude.clock import Clock
from mockclaude.draw import Draw
from mockclaude.endpoints import endpoint, worker
from mockclaude.endpoints.batch import Batch, Item
from mockclaude.endpoints.worker import Worker
from mockclaude.reply import Reply
from mockclaude.wire import ApiError

KEY = {"x-api-key": "k", "anthropic-version": "2023-06-01", "host": "mock.test:8"}
DAY = 24 * 3600
HAIKU = "claude-haiku-4-5"


def params(text="hi", **fields):
    return {"model": HAIKU, "max_tokens": 10, "messages": [{"role": "user", "content": text}]} | fields


def body(*requests):
    return json.dumps({"requests": [{"custom_id": name, "params": what} for name, what in requests]}).encode()


async def call(claude, method="GET", path="", data=b""):
    return await claude.send(method, f"/v1/messages/batches{path}", data, KEY).ended()


async def created(claude, *requests):
    answer = await call(claude, "POST", data=body(*requests))
    assert answer.status == 200, answer.body
    return answer.json


async def results(claude, batch_id):
    answer = await call(claude, path=f"/{batch_id}/results")
    return {line["custom_id"]: line["result"] for line in map(json.loads, answer.body.splitlines())}


async def test_a_new_batch_is_in_progress_and_expires_a_day_later(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()), ("b", params()))

        assert batch["id"].startswith("msgbatch_01")
        assert batch["processing_status"] == "in_progress"
        assert batch["request_counts"] == dict(processing=2, succeeded=0, errored=0, canceled=0, expired=0)
        begins, expires = map(datetime.fromisoformat, (batch["created_at"], batch["expires_at"]))
        assert expires - begins == timedelta(days=1)
        absent = ("ended_at", "archived_at", "cancel_initiated_at", "results_url")
        assert [batch[name] for name in absent] == [None] * 4


async def test_it_takes_the_time_its_replies_would_take(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()), ("b", params(max_tokens=30)))

        await asyncio.sleep(3.9)
        waiting = await call(claude, path=f"/{batch['id']}")
        await asyncio.sleep(0.2)
        ended = (await call(claude, path=f"/{batch['id']}")).json

        assert waiting.json["request_counts"]["processing"] == 2  # one has ended, but its batch has not
        assert waiting.headers["retry-after"] == "10"
        assert ended["processing_status"] == "ended"
        assert ended["request_counts"] == dict(processing=0, succeeded=2, errored=0, canceled=0, expired=0)
        assert ended["results_url"] == f"http://mock.test:8/v1/messages/batches/{batch['id']}/results"


async def test_a_result_is_a_message_of_the_batch_tier(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()))
        await asyncio.sleep(2.1)
        answer = await call(claude, path=f"/{batch['id']}/results")

        assert answer.headers["content-type"] == "application/x-jsonl"
        message = (await results(claude, batch["id"]))["a"]["message"]
        assert message["usage"]["service_tier"] == "batch"
        assert message["usage"]["output_tokens"] == 10
        assert message["content"][0]["text"]


async def test_as_many_run_at_once_as_there_are_slots_and_live_requests_keep_theirs(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 2, "queue": 0}) as claude:
        batch = await created(claude, *((f"r{k}", params()) for k in range(5)))
        live = await asyncio.gather(claude.asked("x"), claude.asked("y"))
        await asyncio.sleep(3.9)
        waiting = (await call(claude, path=f"/{batch['id']}")).json
        await asyncio.sleep(0.2)

        assert [answer.status for answer in live] == [200, 200]
        assert waiting["processing_status"] == "in_progress"  # five by twos, at two seconds each: six seconds
        assert (await call(claude, path=f"/{batch['id']}")).json["processing_status"] == "ended"
        assert len(await claude.journal()) == 2


async def test_batches_take_turns(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        large = await created(claude, *((f"r{k}", params()) for k in range(10)))
        small = await created(claude, ("a", params()))
        await asyncio.sleep(6.1)

        assert (await call(claude, path=f"/{small['id']}")).json["processing_status"] == "ended"
        assert (await call(claude, path=f"/{large['id']}")).json["processing_status"] == "in_progress"


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [
        ({"model": "claude-nope-1"}, "not_found_error", "model: claude-nope-1"),
        ({"stream": True}, "invalid_request_error", '"stream=True" is not supported in the Message Batches API'),
        ({"max_tokens": 0}, "invalid_request_error", "max_tokens: must be greater than or equal to 1"),
        ({"foo": 1}, "invalid_request_error", "foo: Extra inputs are not permitted"),
    ],
    ids=["model", "stream", "max_tokens", "field"],
)
async def test_a_bad_request_is_an_errored_result_and_no_harm_to_the_others(mocked, steady, wrong, kind, said):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("bad", params(**wrong)), ("good", params()))
        await asyncio.sleep(2.1)
        lines = await results(claude, batch["id"])

        assert lines["good"]["type"] == "succeeded"
        details = {"error_visibility": "user_facing"}
        error = {"details": details, "type": kind, "message": said}
        assert lines["bad"] == {"type": "errored", "error": {"type": "error", "error": error, "request_id": None}}


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"{}", "requests: Field required"),
        (b"[]", "Input should be a valid dictionary"),
        (b'{"requests": []}', "requests: List should have at least 1 item after validation, not 0"),
        (b'{"requests": [{"params": {}}]}', "requests.0.custom_id: Field required"),
        (b'{"requests": [{"custom_id": "a"}]}', "requests.0.params: Field required"),
        (body(("a b", {})), "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"),
        (body(("a" * 65, {})), "requests.0.custom_id: String should have at most 64 characters"),
        (
            body(("a", {}), ("a", {})),
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: a",
        ),
        (b'{"requests": 1, "x": 2}', "requests: Input should be a valid list"),
        (b"{", "The request body is not valid JSON: unexpected end of data: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "The request body is not valid JSON: "),
        (b"\xff", "The request body is not valid JSON: str is not valid UTF-8"),
        (
            body(("a", {"b": json.loads("[" * 300 + "]" * 300)})),
            "The request body is not valid JSON: depth limit exceeded",
        ),
    ],
)
async def test_the_outer_shape_is_judged_at_once(mocked, sent, said):
    async with mocked() as claude:
        refused = await call(claude, "POST", data=sent)

        assert refused.status == 400
        assert refused.error["message"].startswith(said)
        assert (await call(claude)).json["data"] == []


class Sending(Request):
    """A request whose body comes in parts."""

    def __init__(self, *parts):
        super().__init__({"type": "http", "headers": []}, self._next)
        self._parts = list(parts)
        self.read = 0

    async def _next(self):
        part = self._parts.pop(0)
        self.read += len(part)
        return {"type": "http.request", "body": part, "more_body": bool(self._parts)}


async def test_a_body_at_the_limit_is_read_and_one_over_it_is_refused_when_all_of_it_has_come():
    fits, over = Sending(b"abc", b"de"), Sending(b"abc", b"def", b"g")

    assert await endpoint.body(fits, 5) == b"abcde"
    with pytest.raises(ApiError) as refused:
        await endpoint.body(over, 5)

    assert refused.value.status == 413
    assert over.read == 7


async def test_cancel_ends_it_soon_and_keeps_what_had_finished(mocked, steady):
    async with mocked(latency=steady, capacity={"slots": 2}) as claude:
        batch = await created(claude, ("a", params()), ("b", params(max_tokens=90)), ("c", params()), ("d", params()))
        await asyncio.sleep(2.5)
        canceling = await call(claude, "POST", f"/{batch['id']}/cancel")
        again = await call(claude, "POST", f"/{batch['id']}/cancel")
        await asyncio.sleep(worker.WINDING_DOWN + 0.1)
        ended = (await call(claude, path=f"/{batch['id']}")).json

        assert canceling.json["processing_status"] == again.json["processing_status"] == "canceling"
        assert canceling.json["cancel_initiated_at"] == again.json["cancel_initiated_at"]
        assert canceling.json["request_counts"]["processing"] == 4
        assert ended["processing_status"] == "ended"
        assert ended["request_counts"] == dict(processing=0, succeeded=1, errored=0, canceled=3, expired=0)
        assert (await results(claude, batch["id"]))["d"] == {"type": "canceled"}


async def test_what_ends_while_it_is_canceled_still_succeeds(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()))
        await asyncio.sleep(1.5)
        await call(claude, "POST", f"/{batch['id']}/cancel")
        await asyncio.sleep(0.6)

        assert (await call(claude, path=f"/{batch['id']}")).json["request_counts"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/results", 404, "Message Batch {id} has no available results."),
        ("DELETE", "", 400, "In progress batches cannot be deleted. Consider canceling the batch instead."),
    ],
    ids=["results", "delete"],
)
async def test_a_batch_in_progress_has_no_results_and_cannot_be_deleted(mocked, steady, method, path, status, said):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()))
        refused = await call(claude, method, f"/{batch['id']}{path}")

        assert refused.status == status
        assert refused.error["message"] == said.format(id=batch["id"])


async def test_an_ended_batch_can_be_deleted_but_not_canceled(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()))
        await asyncio.sleep(2.1)
        canceled = await call(claude, "POST", f"/{batch['id']}/cancel")
        deleted = await call(claude, "DELETE", f"/{batch['id']}")
        gone = await call(claude, path=f"/{batch['id']}")

        assert canceled.status == 400
        assert deleted.json == {"id": batch["id"], "type": "message_batch_deleted"}
        assert gone.error == {"type": "not_found_error", "message": f"Message Batch {batch['id']} not found."}


async def test_the_list_is_newest_first_in_pages(mocked):
    async with mocked() as claude:
        ids = [(await created(claude, ("a", params())))["id"] for _ in range(5)]
        first = (await call(claude, path="?limit=2")).json
        second = (await call(claude, path=f"?limit=3&after_id={first['last_id']}")).json

        assert len(set(ids)) == 5
        assert [batch["id"] for batch in first["data"] + second["data"]] == ids[::-1]
        assert (first["has_more"], second["has_more"]) == (True, False)


async def test_a_reset_cancels_and_forgets_batches(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, ("a", params()))
        await claude.call("POST", "/_mock/reset")
        await asyncio.sleep(3)

        assert (await call(claude)).json["data"] == []
        assert (await created(claude, ("a", params())))["id"] == batch["id"]  # the same run again


async def test_the_same_seed_gives_the_same_results(mocked, steady):
    async def said(slots):
        async with mocked(latency=steady, seed=5, capacity={"slots": slots}) as claude:
            batch = await created(claude, *((f"r{k}", params("same")) for k in range(4)))
            await asyncio.sleep(9)
            return await results(claude, batch["id"])

    one, many = await said(1), await said(4)

    assert one == many
    assert len({result["message"]["id"] for result in one.values()}) == 4


async def test_faults_and_limits_do_not_apply(mocked, steady):
    fault = {"name": "status", "code": 529}
    async with mocked(latency=steady, faults=[fault], limits={"requests_per_minute": 1, "burst": 1}) as claude:
        batch = await created(claude, *((f"r{k}", params()) for k in range(3)))
        await asyncio.sleep(2.1)

        assert {result["type"] for result in (await results(claude, batch["id"])).values()} == {"succeeded"}


async def test_a_large_batch_does_not_hold_up_the_loop(mocked, steady):
    async with mocked(latency=steady) as claude:
        batch = await created(claude, *((f"r{k}", params()) for k in range(300)))
        turns = 0
        while len(claude.state.batches.find(batch["id"]).waiting) > 0:
            turns += 1
            await asyncio.sleep(0)

        assert turns >= 300 / worker.AT_ONCE - 1


class StoodStill:
    def __init__(self):
        self.time = 0.0

    def now(self):
        return self.time


def a_batch(n, size=1, now=0.0):
    return Batch(Draw(1, b"%d" % n, 0), KEY, [Item(f"r{k}", b"{}") for k in range(size)], now, 0.0)


def refuse(ask, draw):
    raise AssertionError("nothing should run")


async def test_too_much_in_the_queue_is_a_429_and_nothing_of_it_is_kept():
    full = Worker(StoodStill(), lambda: 1, refuse)
    full.create(a_batch(1, worker.QUEUE))

    with pytest.raises(ApiError) as refused:
        full.create(a_batch(2))

    assert refused.value.status == 429
    assert len(full.newest()) == 1
    full.clear()


async def test_the_oldest_ended_batch_makes_room_for_the_newest():
    kept = Worker(StoodStill(), lambda: 1, refuse)
    for n in range(worker.KEPT):
        kept.create(a_batch(n))
    with pytest.raises(ApiError, match="queue"):
        kept.create(a_batch(-1))

    await asyncio.sleep(0.1)  # each fails: its request is no request
    kept.create(a_batch(-1))

    assert len(kept.newest()) == worker.KEPT
    assert a_batch(0).id not in {batch.id for batch in kept.newest()}
    kept.clear()


async def test_results_of_the_oldest_are_archived_when_all_are_too_large():
    kept = Worker(StoodStill(), lambda: 1, refuse, result_bytes=500)
    for n in range(3):
        kept.create(a_batch(n))
    await asyncio.sleep(0.1)

    newest, _, oldest = kept.newest()
    assert newest.results(0.0)
    with pytest.raises(ApiError, match="no available results"):
        oldest.results(0.0)
    kept.clear()


async def test_what_is_not_finished_after_a_day_expires():
    def never(ask, draw):
        return Reply(1e9, 1.0, 1, iter(()))

    clock = Clock()
    slow = Worker(clock, lambda: 1, never)
    asked = [Item(name, json.dumps(params()).encode()) for name in "ab"]
    batch = Batch(Draw(1, b"", 0), KEY, asked, clock.now(), 0.0)
    slow.create(batch)

    await asyncio.sleep(DAY - 1)
    assert batch.shown(clock.now(), "")["processing_status"] == "in_progress"
    assert batch.running == {"a"}
    await asyncio.sleep(2)

    shown = batch.shown(clock.now(), "")
    assert shown["request_counts"] == dict(processing=0, succeeded=0, errored=0, canceled=0, expired=2)
    assert shown["ended_at"] == shown["expires_at"] == "1970-01-02T00:00:00.000000Z"
    assert json.loads(batch.results(clock.now())[0]) == {"custom_id": "b", "result": {"type": "expired"}}


def test_results_are_gone_after_29_days():
    batch = a_batch(1)
    batch.stop("canceled", 5.0)

    assert batch.results(29 * DAY - 1)
    with pytest.raises(ApiError, match=f"Message Batch {batch.id} has no available results."):
        batch.results(29 * DAY)
    shown = batch.shown(29 * DAY, "")
    assert (shown["archived_at"], shown["results_url"]) == ("1970-01-30T00:00:00.000000Z", None)


def test_counts_always_add_up():
    batch = a_batch(1, 4)
    items = [batch.take() for _ in range(3)]
    batch.succeed(items[0], b"{}", 1.0)
    batch.fail(items[1], ApiError(400, "no"), 2.0)
    unfinished = batch.shown(2.0, "")["request_counts"]
    batch.stop("expired", 3.0)

    assert unfinished["processing"] == 4
    assert batch.shown(3.0, "")["request_counts"] == dict(processing=0, succeeded=1, errored=1, canceled=0, expired=2)
    assert len(batch.results(3.0)) == 4


async def test_its_requests_know_the_models_that_the_mock_knows(mocked, steady):
    models = {"only": ["claude-haiku-*"], "also": {"fast": HAIKU}}
    async with mocked(latency=steady, models=models) as claude:
        asked = {"own": "fast", "withdrawn": "claude-opus-5"}
        batch = await created(claude, *((name, params(model=model)) for name, model in asked.items()))
        await asyncio.sleep(5)

        told = await results(claude, batch["id"])
        assert {name: result["type"] for name, result in told.items()} == {"own": "succeeded", "withdrawn": "errored"}
        assert told["withdrawn"]["error"]["error"]["message"] == "model: claude-opus-5"
