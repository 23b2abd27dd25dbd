"""POST /batch and POST /fanout: many prompts in one request, in order, errors as values."""

import asyncio
import json

import pytest

PROMPTS = [f"question {n}" for n in range(6)]


def by_prompt(claude, steps):
    """Each prompt has its own step; another is echoed."""

    async def step(request):
        text = json.loads(request.content)["messages"][0]["content"]
        return await steps.get(text, claude.says(f"re: {text}"))(request)

    return step


async def batch(g, prompts, **more):
    return await g.caller.post("/batch", json={"prompts": prompts, **more})


async def fanout(g, prompts, **more):
    return await g.caller.post("/fanout", json={"prompts": prompts, **more})


async def test_results_stand_in_the_order_of_the_prompts(gateway, claude):
    slow = {prompt: claude.says(f"re: {prompt}", after=9.0 - n, tokens=(n, 1)) for n, prompt in enumerate(PROMPTS)}
    claude.script = [by_prompt(claude, slow)]

    async with gateway() as g:
        response = await batch(g, PROMPTS)

    assert response.status_code == 200
    assert response.json() == {
        "results": [{"text": f"re: {p}", "input_tokens": n, "output_tokens": 1} for n, p in enumerate(PROMPTS)],
        "input_tokens": sum(range(6)),
        "output_tokens": 6,
        "failed": 0,
    }


async def test_an_error_is_a_value_among_the_results(gateway, claude):
    claude.script = [by_prompt(claude, {"bad": claude.fails(400)})]

    async with gateway() as g:
        response = await batch(g, ["one", "bad", "two"])

    first, failed, last = response.json()["results"]
    assert response.status_code == 200
    assert (first["text"], last["text"]) == ("re: one", "re: two")
    assert failed == {"error": {"type": "rejected", "message": "Claude does not accept the request (its status 400)"}}
    assert (response.json()["input_tokens"], response.json()["output_tokens"]) == (14, 6)
    assert response.json()["failed"] == 1
    assert g.lines.of("request")[0]["outcome"] == "complete"


async def test_a_batch_of_which_all_failed_is_still_a_200(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        response = await batch(g, ["one", "two"])

    assert (response.status_code, response.json()["failed"]) == (200, 2)


@pytest.mark.parametrize(("at_once", "most", "seconds"), [(2, 2, 3.0), (None, 6, 1.0)], ids=["two", "all"])
async def test_only_so_many_prompts_of_a_batch_are_asked_at_once(gateway, claude, at_once, most, seconds):
    claude.script = [claude.says("slow", after=1.0)]

    async with gateway(batch_concurrency=at_once) as g:
        response = await batch(g, PROMPTS)

    assert response.json()["failed"] == 0
    assert claude.most_inflight == most
    assert asyncio.get_running_loop().time() == pytest.approx(seconds, abs=0.1)


async def test_what_has_no_turn_within_the_deadline_is_a_timeout(gateway, claude):
    claude.script = [claude.says("slow", after=2.0)]

    async with gateway(batch_concurrency=2, deadline=3.0, attempts=1) as g:
        response = await batch(g, PROMPTS)

    kinds = [each.get("error", {}).get("type") for each in response.json()["results"]]
    assert kinds == [None, None, "timeout", "timeout", "timeout", "timeout"]
    assert asyncio.get_running_loop().time() <= 3.1


async def test_all_prompts_have_what_they_were_wished(gateway, claude):
    async with gateway(prompt_cache=False) as g:
        await batch(g, ["one", "two"], model="claude-opus-4-6", max_tokens=9, system_prompt="be brief")

    said = [(body["model"], body["max_tokens"], body["system"]) for body in claude.bodies()]
    assert said == [("claude-opus-4-6", 9, "be brief")] * 2


async def test_the_line_of_a_batch_has_all_its_attempts(gateway, claude):
    async with gateway() as g:
        await batch(g, ["one", "two", "three"])

    [line] = g.lines.of("request")
    assert (line["attempts"], line["input_tokens"], line["output_tokens"]) == (3, 21, 9)
    assert sorted(each["attempt"] for each in g.lines.attempts) == [1, 2, 3]
    assert len(set(claude.ids)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompts"),
        ({"prompts": []}, "prompts"),
        ({"prompts": ["x"] * 101}, "prompts"),
        ({"prompts": ["x", ""]}, "prompts.1"),
        ({"prompts": ["x" * 10_001]}, "prompts.0"),
        ({"prompts": "x"}, "prompts"),
        ({"prompts": ["x", 5]}, "prompts.1"),
        ({"prompts": ["x"], "max_tokens": 0}, "max_tokens"),
    ],
    ids=["missing", "none", "too many", "empty", "long", "a text", "a number", "no tokens"],
)
async def test_a_bad_batch_is_rejected_whole(gateway, claude, body, field):
    async with gateway() as g:
        response = await g.caller.post("/batch", json=body)

    assert (response.status_code, claude.received) == (422, [])
    assert f"body.{field}:" in response.json()["error"]["message"]


async def test_the_largest_batch_passes(gateway):
    async with gateway() as g:
        response = await batch(g, [f"question {n}" for n in range(100)])

    assert (response.status_code, response.json()["failed"]) == (200, 0)


async def test_a_fan_out_takes_as_long_as_its_slowest(gateway, claude):
    claude.script = [by_prompt(claude, {p: claude.says(f"re: {p}", after=1.0 + n) for n, p in enumerate(PROMPTS)})]

    async with gateway(batch_concurrency=2) as g:
        response = await fanout(g, {f"view {n}": prompt for n, prompt in enumerate(PROMPTS)})

    assert claude.most_inflight == 6
    assert asyncio.get_running_loop().time() == pytest.approx(6.0, abs=0.1)
    assert response.status_code == 200
    assert {name: each["text"] for name, each in response.json()["results"].items()} == {
        f"view {n}": f"re: {prompt}" for n, prompt in enumerate(PROMPTS)
    }
    assert (response.json()["input_tokens"], response.json()["output_tokens"], response.json()["failed"]) == (42, 18, 0)


async def test_what_fails_in_a_fan_out_is_a_value_while_something_succeeds(gateway, claude):
    claude.script = [by_prompt(claude, {"bad": claude.fails(400)})]

    async with gateway() as g:
        response = await fanout(g, {"broken": "bad", "whole": "one"})

    results = response.json()["results"]
    assert (response.status_code, response.json()["failed"]) == (200, 1)
    assert (list(results), results["whole"]["text"]) == (["broken", "whole"], "re: one")
    assert results["broken"]["error"]["type"] == "rejected"


async def test_a_fan_out_of_which_all_failed_is_the_first_error(gateway, claude):
    late = claude.fails(529, after=2.0, retry_after="7")
    claude.script = [by_prompt(claude, {"one": late, "two": claude.fails(400)})]

    async with gateway(attempts=1, fallback_model=None) as g:
        response = await fanout(g, {"first": "one", "second": "two"})

    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded")
    assert response.headers["retry-after"] == "7"
    assert g.lines.of("request")[0]["outcome"] == "overloaded"


@pytest.mark.parametrize(
    "prompts",
    [{}, {f"view {n}": "x" for n in range(21)}, {"view": ""}, {"": "x"}, {"v" * 101: "x"}, {"view": 5}, ["x"]],
    ids=["none", "too many", "empty", "without a name", "a long name", "a number", "a list"],
)
async def test_a_bad_fan_out_is_rejected_whole(gateway, claude, prompts):
    async with gateway() as g:
        response = await fanout(g, prompts)

    assert (response.status_code, claude.received) == (422, [])
    assert "body.prompts" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/batch", "/fanout"])
async def test_a_caller_without_a_good_key_is_rejected(gateway, claude, path):
    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        response = await g.caller.post(path, json={"prompts": ["x"]})

    assert (response.status_code, claude.received) == (401, [])
