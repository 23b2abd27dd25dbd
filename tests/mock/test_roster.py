import pytest

from mockclaude import roster
from mockclaude.roster import Roster
from mockclaude.settings import ConfigError


@pytest.mark.parametrize(
    ("section", "name", "known"),
    [
        ({}, "claude-opus-5", "claude-opus-5"),
        ({}, "claude-nope", None),
        ({"only": ["claude-haiku-*"]}, "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ({"only": ["claude-haiku-4-5"]}, "claude-haiku-4-5", "claude-haiku-4-5-20251001"),
        ({"only": ["claude-haiku-*"]}, "claude-opus-5", None),
        ({"only": []}, "claude-opus-5", None),
        ({"also": {"fast": "claude-haiku-4-5"}}, "fast", "claude-haiku-4-5-20251001"),
        ({"also": {"fast": "claude-haiku-4-5"}, "only": ["claude-opus-*"]}, "fast", None),
    ],
)
def test_a_name_means_a_model_or_none(section, name, known):
    model = roster.parse(section).find(name)

    assert (model.id if model else None) == known


@pytest.mark.parametrize("parsed", [Roster(), Roster(("a*",), {"x": "claude-opus-5"}), Roster(())])
def test_what_is_shown_can_be_read_back(parsed):
    assert roster.parse(roster.as_config(parsed)) == parsed


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"also": {"x": "gpt-4"}}, "models.also.x: Claude has no model 'gpt-4'"),
        ({"only": "claude-opus-5"}, "models.only: expected a list, got 'claude-opus-5'"),
        ({"olny": []}, 'models.olny: unknown key; did you mean "only"'),
    ],
)
def test_what_makes_no_sense_is_refused(section, reason):
    with pytest.raises(ConfigError, match=reason):
        roster.parse(section)


async def test_a_model_can_be_withdrawn_for_a_while(mocked):
    timeline = [{"at": 0, "for": 5, "models": {"only": ["claude-opus-*"]}}]
    async with mocked(timeline=timeline) as claude:
        await claude.call("POST", "/_mock/reset")
        during = await claude.asked()
        listed = await claude.send("GET", "/v1/models", headers=KEY).ended()
        one = await claude.send("GET", "/v1/models/claude-haiku-4-5", headers=KEY).ended()

        assert (during.status, during.error["message"]) == (404, "model: claude-haiku-4-5")
        assert {model["line"] for model in listed.json["data"]} == {"opus"}
        assert one.status == 404
        await claude.call("PUT", "/_mock/config", {"timeline": None})
        assert (await claude.asked()).status == 200


async def test_a_name_of_ones_own_is_answered_by_the_model_it_means(mocked):
    async with mocked(models={"also": {"fast": "claude-haiku-4-5"}}) as claude:
        reply = await claude.asked(model="fast")

        assert reply.json["model"] == "claude-haiku-4-5-20251001"


KEY = {"x-api-key": "a", "anthropic-version": "2023-06-01"}
