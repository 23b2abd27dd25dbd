"""POST /route: Haiku says one word, and the model for that answers."""

import asyncio

import pytest

from gateway_under_test.routes.route import route_of, word_of


async def ask(g, message="why?", **more):
    return await g.caller.post("/route", json={"message": message, **more})


@pytest.mark.parametrize(
    ("said", "word", "route", "model"),
    [
        ("simple", "simple", "simple", "claude-haiku-4-5"),
        ("Medium.", "medium", "medium", "claude-sonnet-4-6"),
        ("**complex**\n", "complex", "complex", "claude-opus-4-6"),
        ("banana", "banana", "medium", "claude-sonnet-4-6"),
    ],
    ids=["simple", "medium", "complex", "unclear"],
)
async def test_the_word_chooses_the_model(gateway, claude, said, word, route, model):
    claude.script = [claude.says(said, tokens=(50, 2)), claude.says("because", tokens=(10, 30))]

    async with gateway(prompt_cache=False) as g:
        response = await ask(g, system_prompt="be brief", max_tokens=99)

    assert response.status_code == 200
    answer = {key: value for key, value in response.json().items() if key != "model"}
    assert answer == {
        "text": "because",
        "route": route,
        "classified": word,
        "input_tokens": 60,
        "output_tokens": 32,
    }
    first, second = claude.bodies()
    assert (first["model"], first["max_tokens"]) == ("claude-haiku-4-5", 8)
    assert "one word" in first["system"]
    assert (second["model"], second["max_tokens"], second["system"]) == (model, 99, "be brief")
    assert first["messages"] == second["messages"] == [{"role": "user", "content": "why?"}]
    assert g.lines.of("request")[0]["model"] == model
    assert response.json()["model"] == model


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("simple", "simple"),
        (" Simple, I think", "simple"),
        ('"COMPLEX"', "complex"),
        ("It is simple", "it"),
        ("simpleton", "simpleton"),
        ("", ""),
        ("?!", ""),
        ("x" * 99, "x" * 40),
    ],
    ids=["a word", "a sentence", "quoted", "another first", "longer", "nothing", "signs", "endless"],
)
def test_the_first_word_counts(text, word):
    assert word_of(text) == word


@pytest.mark.parametrize("word", ["it", "", "simpleton", "SIMPLE", "medium"])
def test_every_other_word_leads_to_the_middle(word):
    assert route_of(word) == "medium"


async def test_a_classifier_that_fails_is_an_error(gateway, claude):
    claude.script = [claude.fails(400)]

    async with gateway() as g:
        response = await ask(g)

    assert (response.status_code, response.json()["error"]["type"]) == (400, "rejected")
    assert len(claude.received) == 1


async def test_both_calls_share_the_deadline(gateway, claude):
    claude.script = [claude.says("simple", after=2.0), claude.says("late", after=9.0)]

    async with gateway(deadline=5.0, attempts=1) as g:
        response = await ask(g)

    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout")
    assert asyncio.get_running_loop().time() == pytest.approx(5.0, abs=0.1)


@pytest.mark.parametrize("body", [{}, {"message": ""}, {"message": "x" * 10_001}, {"message": "x", "max_tokens": 0}])
async def test_a_bad_question_is_rejected(gateway, claude, body):
    async with gateway() as g:
        response = await g.caller.post("/route", json=body)

    assert (response.status_code, claude.received) == (422, [])


async def test_a_caller_without_a_good_key_is_rejected(gateway, claude):
    async with gateway() as g:
        del g.caller.headers["x-api-key"]
        response = await ask(g)

    assert (response.status_code, claude.received) == (401, [])
