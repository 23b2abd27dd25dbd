"""POST /analyze and GET /analyze/{task_id}: accepted at once, done later, with its tokens and its lines."""

import asyncio
from typing import Any

import pytest


async def start(g: Any, text: str = "long", **more: Any) -> str:
    response = await g.caller.post("/analyze", json={"text": text, **more}, headers={"x-request-id": "r-1"})
    assert response.status_code == 202, response.text
    body = response.json()
    assert set(body) == {"task_id", "status"} and body["status"] == "processing"
    return str(body["task_id"])


async def test_a_task_is_accepted_at_once_and_done_later(gateway, claude):
    claude.script = [claude.says("deep", after=5, tokens=(11, 4))]

    async with gateway() as g:
        task_id = await start(g)
        accepted_at = asyncio.get_running_loop().time()
        early = await g.caller.get(f"/analyze/{task_id}")
        await asyncio.sleep(5.1)
        late = await g.caller.get(f"/analyze/{task_id}")

    assert accepted_at < 0.01
    assert (early.status_code, early.json()) == (200, {"task_id": task_id, "status": "processing"})
    assert late.json() == {
        "task_id": task_id,
        "status": "complete",
        "result": {
            "analysis": "deep",
            "version": "v1",
            "model": "claude-haiku-4-5",
            "input_tokens": 11,
            "output_tokens": 4,
            "cached": False,
        },
    }


async def test_its_attempts_and_its_end_are_in_the_log_under_the_requests_id(gateway, claude):
    claude.script = [claude.fails(529), claude.says("deep", after=5, tokens=(11, 4))]

    async with gateway(preset="naive", attempts=3) as g:
        task_id = await start(g)
        await asyncio.sleep(10)

    [request] = [line for line in g.lines.of("request") if line["method"] == "POST"]
    assert (request["status_code"], request["attempts"], request["outcome"]) == (202, 0, "complete")
    assert [(line["request_id"], line["attempt"]) for line in g.lines.attempts] == [("r-1", 1), ("r-1", 2)]
    [task] = g.lines.of("task")
    told = {name: task[name] for name in ("task_id", "request_id", "status", "attempts", "model", "version")}
    assert told == {
        "task_id": task_id,
        "request_id": "r-1",
        "status": "complete",
        "attempts": 2,
        "model": "claude-haiku-4-5",
        "version": "v1",
    }
    assert (task["input_tokens"], task["output_tokens"]) == (11, 4)
    assert claude.ids == ["r-1", "r-1"]


async def test_a_task_that_fails_says_so_under_its_id(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        task_id = await start(g)
        await asyncio.sleep(0.1)
        response = await g.caller.get(f"/analyze/{task_id}")

    assert response.status_code == 200
    body = response.json()
    assert (body["task_id"], body["status"], body["error"]["type"]) == (task_id, "failed", "rejected")
    assert "RAW UPSTREAM TEXT" not in response.text
    assert [line["outcome"] for line in g.lines.of("task")] == ["rejected"]


async def test_the_deadline_of_a_task_begins_when_it_runs(gateway, claude):
    claude.script = [claude.says("deep", after=6)]

    async with gateway(deadline=10.0, batch_concurrency=1, cache=None) as g:
        ids = [await start(g, f"text {n}") for n in range(3)]
        await asyncio.sleep(20)
        rows = [(await g.caller.get(f"/analyze/{task_id}")).json() for task_id in ids]

    assert [row["status"] for row in rows] == ["complete"] * 3
    assert claude.at == pytest.approx([0, 6, 12], abs=0.1)


async def test_the_deadline_of_who_asked_is_not_that_of_the_task(gateway, claude):
    claude.script = [claude.says("deep", after=6)]

    async with gateway() as g:
        response = await g.caller.post("/analyze", json={"text": "long"}, headers={"x-request-deadline": "1"})
        await asyncio.sleep(7)
        row = (await g.caller.get(f"/analyze/{response.json()['task_id']}")).json()

    assert row["status"] == "complete"


@pytest.mark.parametrize(("at_once", "most"), [(2, 2), (None, 6)])
async def test_so_many_tasks_run_at_once(gateway, claude, at_once, most):
    claude.script = [claude.says("deep", after=1)]

    async with gateway(preset="naive", batch_concurrency=at_once) as g:
        for n in range(6):
            await start(g, f"text {n}")
        await asyncio.sleep(5)

    assert (len(claude.received), claude.most_inflight) == (6, most)


async def test_the_end_of_a_task_is_kept_for_its_time(gateway, claude):
    async with gateway(task_ttl=100.0) as g:
        task_id = await start(g)
        await asyncio.sleep(99)
        kept = await g.caller.get(f"/analyze/{task_id}")
        await asyncio.sleep(2)
        gone = await g.caller.get(f"/analyze/{task_id}")

    assert kept.json()["status"] == "complete"
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "rejected")


@pytest.mark.parametrize("task_id", ["0" * 32, "nonsense", "%00", "x" * 3000])
async def test_an_unknown_task_is_not_found(gateway, claude, task_id):
    async with gateway() as g:
        response = await g.caller.get(f"/analyze/{task_id}")

    assert (response.status_code, response.json()["error"]["type"]) == (404, "rejected")


async def test_an_unknown_version_is_refused_before_anything_is_accepted(gateway, claude):
    async with gateway() as g:
        response = await g.caller.post("/analyze", json={"text": "long", "version": "v77"})

    assert response.status_code == 404
    assert g.lines.of("task") == claude.received == []


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("bad", 403)])
async def test_a_caller_needs_a_key(gateway, claude, key, status):
    async with gateway() as g:
        task_id = await start(g)
        g.caller.headers.pop("x-api-key")
        headers = {"x-api-key": key} if key else {}
        responses = [
            await g.caller.post("/analyze", json={"text": "x"}, headers=headers),
            await g.caller.get(f"/analyze/{task_id}", headers=headers),
        ]

    assert [response.status_code for response in responses] == [status] * 2


async def test_several_workers_that_share_nothing_accept_no_task(gateway, claude):
    async with gateway(workers=2) as g:
        response = await g.caller.post("/analyze", json={"text": "long"})

    assert (response.status_code, response.json()["error"]["type"]) == (500, "configuration")
    assert "REDIS_URL" in response.json()["error"]["message"]


@pytest.mark.parametrize(("drain", "status", "let_go"), [(10.0, "complete", 0), (2.0, "failed", 1)])
async def test_a_task_has_until_the_drain_ends(gateway, claude, drain, status, let_go):
    claude.script = [claude.says("deep", after=5)]

    async with gateway(drain=drain) as g:
        await start(g)
        await asyncio.sleep(0.1)

    assert [line["status"] for line in g.lines.of("task")] == [status]
    assert asyncio.get_running_loop().time() == pytest.approx(min(5, drain + 0.1), abs=0.1)
    assert claude.let_go == let_go
    assert len(g.lines.attempts) == 1


async def test_the_endpoints_are_described(gateway, claude):
    async with gateway() as g:
        paths = (await g.caller.get("/openapi.json")).json()["paths"]

    for path, method in (("/summarize", "post"), ("/analyze", "post"), ("/analyze/{task_id}", "get")):
        told = paths[path][method]
        assert told["summary"] and told["description"]
        assert {"404", "401", "503"} <= set(told["responses"])
