"""The list of models, in pages, and one of them."""

import pytest

from mockclaude import catalog
from mockclaude.endpoints import models, paging
from mockclaude.wire import ApiError

KEY = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
HAIKU = "claude-haiku-4-5-20251001"


async def got(claude, path):
    return await claude.send("GET", path, headers=KEY).ended()


async def test_the_newest_come_first_twenty_to_a_page(mocked):
    async with mocked() as claude:
        page = (await got(claude, "/v1/models")).json

        days = [model["created_at"] for model in page["data"]]
        assert days == sorted(days, reverse=True)
        assert [model["id"] for model in page["data"]] == list(catalog.RELEASED)[:20]
        assert list(page) == ["data", "has_more", "first_id", "last_id"]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])


async def test_pages_forward_and_backward_cover_the_list_once(mocked):
    async with mocked() as claude:
        whole = [model["id"] for model in (await got(claude, "/v1/models")).json["data"]]
        forward, page = [], {"has_more": True, "last_id": None}
        while page["has_more"]:
            after = f"&after_id={page['last_id']}" if page["last_id"] else ""
            page = (await got(claude, f"/v1/models?limit=7{after}")).json
            forward += [model["id"] for model in page["data"]]
        before = (await got(claude, f"/v1/models?limit=7&before_id={whole[9]}")).json

        assert forward == whole
        assert [model["id"] for model in before["data"]] == whole[2:9]
        assert before["has_more"]


async def test_retired_models_are_listed_only_when_asked_for(mocked):
    async with mocked() as claude:
        usual = (await got(claude, "/v1/models?limit=1000")).json["data"]
        retired = (await got(claude, "/v1/models?lifecycle[]=retired")).json["data"]

        assert {model["lifecycle"] for model in usual} == {"active", "deprecated"}
        assert [model["id"] for model in retired] == list(catalog.PAST)
        assert all(model["retires_at"] for model in retired)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=1001", "limit: Input should be less than or equal to 1000"),
        ("limit=0", "limit: Input should be greater than or equal to 1"),
        ("limit=x", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("lifecycle[]=old", "lifecycle.0: Input should be 'active', 'deprecated' or 'retired'"),
        ("after_id=claude-nope", "after_id: Invalid cursor"),
        ("after_id=a&before_id=b", "Only one of `after_id` and `before_id` may be provided."),
    ],
)
async def test_a_bad_query_is_a_400_in_claudes_words(mocked, query, said):
    async with mocked() as claude:
        refused = await got(claude, f"/v1/models?{query}")

        assert refused.status == 400
        assert refused.error == {"type": "invalid_request_error", "message": said}


async def test_one_model_answers_to_its_alias_too(mocked):
    async with mocked() as claude:
        by_id, by_alias = await got(claude, f"/v1/models/{HAIKU}"), await got(claude, "/v1/models/claude-haiku-4-5")

        assert by_alias.json == by_id.json
        assert by_id.json["id"] == HAIKU
        assert by_id.json["display_name"] == "Claude Haiku 4.5"
        assert by_id.json["created_at"] == "2025-10-15T00:00:00Z"
        assert (by_id.json["max_input_tokens"], by_id.json["max_tokens"]) == (200_000, 64_000)


async def test_an_unknown_model_is_not_found(mocked):
    async with mocked() as claude:
        refused = await got(claude, "/v1/models/gpt-9")

        assert refused.status == 404
        assert refused.error == {"type": "not_found_error", "message": "model: gpt-9"}


def test_a_model_nobody_has_heard_of_yet_came_out_at_the_epoch():
    shown = models.described(catalog.find("claude-opus-9"))

    assert (shown["created_at"], shown["lifecycle"]) == ("1970-01-01T00:00:00Z", "active")


def supported(model, *path):
    found = models.described(catalog.find(model))["capabilities"]
    for step in path:
        found = found[step]
    return found["supported"]


@pytest.mark.parametrize(
    ("path", "haiku", "sonnet", "opus"),
    [
        (("code_execution",), False, True, True),
        (("context_management", "compact_20260112"), False, True, True),
        (("context_management",), True, True, True),
        (("effort",), False, True, True),
        (("effort", "max"), False, True, True),
        (("effort", "xhigh"), False, False, True),
        (("structured_outputs",), True, True, True),
        (("thinking", "types", "adaptive"), False, True, True),
        (("thinking", "types", "enabled"), True, True, False),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None,
)
def test_capabilities_are_those_that_claude_has_told_of_three_models(path, haiku, sonnet, opus):
    named = ("claude-haiku-4-5", "claude-sonnet-4-6", "claude-opus-4-8")

    assert [supported(model, *path) for model in named] == [haiku, sonnet, opus]


def test_every_listed_model_says_the_same_things_about_itself():
    shapes = {str(_shape(models.described(model))) for model in catalog.listed()}

    assert len(shapes) == 1


def _shape(value):
    return {name: _shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None


class Numbered:
    def __init__(self, n):
        self.n = n


def test_a_page_cursor_outlives_what_it_points_at():
    newest = [Numbered(n) for n in (5, 4, 3, 2, 1)]
    first = paging.behind(newest, paging.Behind(limit=2))
    cursor = paging.with_cursor(first, [])["next_page"]

    second = paging.behind(newest[2:], paging.Behind(limit=2, page=cursor))

    assert cursor.startswith("page_")
    assert [item.n for item in second.items] == [3, 2]
    assert paging.with_cursor(paging.behind(newest, paging.Behind(limit=5)), [])["next_page"] is None


@pytest.mark.parametrize("cursor", ["page_!", "x", "", "page_é", "page_eHh4"])
def test_a_cursor_of_somebody_else_is_refused(cursor):
    with pytest.raises(ApiError, match="page: Invalid cursor"):
        paging.behind([Numbered(1)], paging.Behind(page=cursor))


def test_a_model_with_a_name_of_megabytes_is_unknown_and_forgotten():
    looked_up = catalog._found.cache_info().misses

    assert catalog.find("claude-opus-5" + "-" * 1_000_000) is None
    assert catalog._found.cache_info().misses == looked_up
