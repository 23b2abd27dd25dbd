"""POST /summarize: which prompt goes to Claude, what comes back, and what is asked only once."""

import asyncio
from pathlib import Path

import pytest

FILE = """\
summarize:
  versions:
    v1: {system: be brief, user_template: "one: {text}"}
    v9: {user_template: "nine: {text}"}
    v10: {user_template: "ten: {text}"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.yaml"
    path.write_text(FILE)
    return path


async def test_a_summary_comes_back_with_its_version_model_and_tokens(gateway, claude, file):
    claude.script = [claude.says("short", tokens=(11, 4))]

    async with gateway(prompts=str(file)) as g:
        response = await g.caller.post("/summarize", json={"text": "long"})

    assert response.status_code == 200
    assert response.json() == {
        "summary": "short",
        "version": "v10",
        "model": "claude-haiku-4-5",
        "input_tokens": 11,
        "output_tokens": 4,
        "cached": False,
    }
    [line] = g.lines.of("request")
    assert (line["version"], line["input_tokens"], line["output_tokens"]) == ("v10", 11, 4)


async def test_claude_is_asked_in_the_version_that_was_chosen(gateway, claude, file):
    ask = {"text": "a {text} in {braces}", "version": "v1", "model": "claude-opus-4-6", "max_tokens": 9}

    async with gateway(preset="naive", prompts=str(file)) as g:
        response = await g.caller.post("/summarize", json=ask)

    [body] = claude.bodies()
    assert body["messages"] == [{"role": "user", "content": "one: a {text} in {braces}"}]
    assert (body["system"], body["model"], body["max_tokens"]) == ("be brief", "claude-opus-4-6", 9)
    assert (response.json()["version"], response.json()["model"]) == ("v1", "claude-opus-4-6")


async def test_without_a_file_the_prompts_shipped_are_used(gateway, claude):
    async with gateway() as g:
        response = await g.caller.post("/summarize", json={"text": "long"})

    assert response.json()["version"] == "v2"
    assert "long" in claude.bodies()[0]["messages"][0]["content"]


async def test_an_unknown_version_is_told_with_those_there_are(gateway, claude, file):
    async with gateway(prompts=str(file)) as g:
        response = await g.caller.post("/summarize", json={"text": "long", "version": "v2"})

    assert response.status_code == 404
    error = response.json()["error"]
    assert error["type"] == "rejected"
    assert error["message"] == 'there is no version "v2" of summarize, only latest, v1, v9, v10'
    assert claude.received == []


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"text": ""},
        {"text": "x" * 100_001},
        {"text": 3},
        {"text": "x", "version": 3},
        {"text": "x", "version": "v" * 65},
        {"text": "x", "subject": ""},
        {"text": "x", "model": ""},
        {"text": "x", "max_tokens": 0},
        {"text": "x", "max_tokens": 8097},
    ],
    ids=str,
)
async def test_a_bad_ask_is_refused(gateway, claude, ask):
    async with gateway() as g:
        response = await g.caller.post("/summarize", json=ask)

    assert (response.status_code, response.json()["error"]["type"]) == (422, "rejected")
    assert claude.received == []


async def test_the_longest_text_goes_through(gateway, claude):
    async with gateway() as g:
        response = await g.caller.post("/summarize", json={"text": "x" * 100_000})

    assert response.status_code == 200


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("bad", 403)])
async def test_a_caller_needs_a_key(gateway, claude, key, status):
    async with gateway() as g:
        g.caller.headers.pop("x-api-key")
        response = await g.caller.post("/summarize", json={"text": "x"}, headers={"x-api-key": key} if key else {})

    assert response.status_code == status
    assert claude.received == []


async def test_the_key_is_named_in_the_log_and_not_shown(gateway, claude):
    async with gateway() as g:
        await g.caller.post("/summarize", json={"text": "x"})

    [line] = g.lines.of("request")
    assert line["tenant"].startswith("key-")
    assert "good" not in str(g.lines.all)


async def test_the_same_question_is_asked_once(gateway, claude, file):
    async with gateway(prompts=str(file), cache={"ttl": 10.0, "size": 5}) as g:
        first = await g.caller.post("/summarize", json={"text": "long"})
        again = await g.caller.post("/summarize", json={"text": "long"})
        other = await g.caller.post("/summarize", json={"text": "long", "version": "v9"})
        await asyncio.sleep(10)
        anew = await g.caller.post("/summarize", json={"text": "long"})

    assert [response.json()["cached"] for response in (first, again, other, anew)] == [False, True, False, False]
    assert again.json()["summary"] == first.json()["summary"]
    assert len(claude.received) == 3


async def test_callers_with_the_same_question_wait_for_one_answer(gateway, claude):
    claude.script = [claude.says("short", after=3)]

    async with gateway() as g:
        responses = await asyncio.gather(*(g.caller.post("/summarize", json={"text": "long"}) for _ in range(5)))

    assert sorted(response.json()["cached"] for response in responses) == [False, True, True, True, True]
    assert len(claude.received) == 1


async def test_without_the_cache_every_question_is_asked(gateway, claude):
    async with gateway(cache=None) as g:
        responses = await asyncio.gather(*(g.caller.post("/summarize", json={"text": "long"}) for _ in range(3)))

    assert [response.json()["cached"] for response in responses] == [False] * 3
    assert len(claude.received) == 3


async def test_a_share_of_the_subjects_gets_another_version_and_keeps_it(gateway, claude, file):
    file.write_text(FILE + "  latest: v1\n  shares: {v10: 0.5}\n")

    async def versions(g, **more) -> list[str]:
        asks = [{"text": "long", **{name: f"{value}{n}" for name, value in more.items()}} for n in range(20)]
        responses = [await g.caller.post("/summarize", json=ask) for ask in asks]
        return [response.json()["version"] for response in responses]

    async with gateway(prompts=str(file)) as g:
        subjects = [await versions(g, subject="team ") for _ in range(2)]
        nobody = await versions(g)  # each request is its own subject

    assert subjects[0] == subjects[1]
    assert set(subjects[0]) == set(nobody) == {"v1", "v10"}


async def test_a_prompt_is_rolled_back_while_the_gateway_runs(gateway, claude, file):
    async with gateway(prompts=str(file)) as g:
        before = await g.caller.post("/summarize", json={"text": "long"})
        file.write_text(FILE + "  latest: v9\n")
        await asyncio.sleep(1.1)
        after = await g.caller.post("/summarize", json={"text": "long"})

    assert [response.json()["version"] for response in (before, after)] == ["v10", "v9"]


async def test_claudes_failure_is_told_in_our_words(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        response = await g.caller.post("/summarize", json={"text": "long"})

    assert (response.status_code, response.json()["error"]["type"]) == (400, "rejected")
    assert "RAW UPSTREAM TEXT" not in response.text


async def test_who_leaves_takes_the_question_along(gateway, claude):
    claude.script = [claude.says("short", after=30)]

    async with gateway() as g:
        await g.asgi("/summarize", b'{"text": "long"}', leave_after=2)

    assert claude.let_go == 1
    [line] = g.lines.of("request")
    assert (line["outcome"], line["duration_ms"]) == ("left", pytest.approx(2000, abs=50))
