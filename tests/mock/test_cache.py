import asyncio
import base64
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockclaude import cache, catalog, tokens

SONNET = catalog.find("claude-sonnet-4-5")
MINIMUM = SONNET.cache_minimum
FIVE_MINUTES = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
READ_ALL = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 10_000}
WRITE_ALL = {"cache_creation_input_tokens": 10_000, "cache_read_input_tokens": 0}


def text(size, said="x", control=None):
    """A block of `size` tokens."""
    block = {"type": "text", "text": (said * tokens.fitting(size))[: tokens.fitting(size)]}
    return block if control is None else block | {"cache_control": control}


def body(*content, **fields):
    return {"messages": [{"role": "user", "content": list(content)}], **fields}


class Caller:
    """One who asks one cache, at a time of the test's choice."""

    def __init__(self, known=None):
        self.known = cache.Cache() if known is None else known

    def read(self, asked, now=0.0, model=SONNET, key="key"):
        """(read, written for five minutes, written for an hour)"""
        return tuple(self.known.read(cache.marks(asked, model, key), model.cache_minimum, now))


SYSTEM = [text(4_000, "s", FIVE_MINUTES)]
TALK = body(text(10, "a"), system=SYSTEM)


def test_a_prompt_without_a_breakpoint_is_not_worth_a_digest():
    assert cache.marks(body(text(9_999)), SONNET, "key") == []
    assert Caller().read(body(text(9_999))) == (0, 0, 0)


def test_what_was_written_is_read_the_next_time():
    caller = Caller()

    assert caller.read(TALK) == (0, 4_000, 0)
    assert caller.read(TALK) == (4_000, 0, 0)


def test_another_question_after_the_breakpoint_reads_the_same():
    caller = Caller()
    caller.read(TALK)

    assert caller.read(body(text(10, "b"), system=SYSTEM)) == (4_000, 0, 0)


@pytest.mark.parametrize(
    "other",
    [
        {"key": "another"},
        {"model": catalog.find("claude-sonnet-4-6")},
    ],
    ids=["key", "model"],
)
def test_nobody_reads_what_another_key_or_model_wrote(other):
    caller = Caller()
    caller.read(TALK)

    assert caller.read(TALK, **other)[0] == 0


@pytest.mark.parametrize(
    ("control", "ttl"), [(FIVE_MINUTES, 300), (FIVE_MINUTES | {"ttl": "5m"}, 300), (HOUR, 3600)], ids=["", "5m", "1h"]
)
def test_an_entry_lives_as_long_as_it_was_written_for(control, ttl):
    asked = body(text(10), system=[text(4_000, "s", control)])

    for age, read in ((ttl - 0.001, 4_000), (ttl, 0)):
        caller = Caller()
        caller.read(asked, now=50.0)

        assert caller.read(asked, now=50.0 + age)[0] == read


def test_reading_renews_an_entry():
    caller = Caller()

    read = [caller.read(TALK, now)[0] for now in (0, 299, 598, 897, 1197)]

    assert read == [0, 4_000, 4_000, 4_000, 0]


def test_an_entry_for_an_hour_stays_one_when_it_is_read_for_five_minutes():
    caller = Caller()
    caller.read(body(system=[text(4_000, "s", HOUR)]))

    assert caller.read(TALK, now=10) == (4_000, 0, 0)
    assert caller.read(TALK, now=3_609) == (4_000, 0, 0)


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-opus-5", 512),
        ("claude-fable-5", 512),
        ("claude-sonnet-4-5", 1_024),
        ("claude-opus-4-8", 1_024),
        ("claude-opus-4-7", 2_048),
        ("claude-haiku-4-5", 4_096),
        ("claude-opus-4-5", 4_096),
    ],
)
def test_a_prefix_shorter_than_the_models_minimum_is_silently_not_kept(model, minimum):
    model = catalog.find(model)

    def prompt(size):
        return body(system=[{"type": "text", "text": "x" * tokens.fitting(size, model.token_scale)} | MARKED])

    assert Caller().read(prompt(minimum - 1), model=model) == (0, 0, 0)
    assert Caller().read(prompt(minimum), model=model) == (0, minimum, 0)


MARKED = {"cache_control": FIVE_MINUTES}
TOOL = {"name": "get", "description": "x" * 7_000, "input_schema": {"type": "object"}}
FULL = {
    "tools": [TOOL | MARKED],
    "system": [text(2_000, "s", FIVE_MINUTES)],
    "messages": [{"role": "user", "content": [text(2_000, "m", FIVE_MINUTES)]}],
}
TOOLS, SYSTEMS, ALL = (mark.tokens for mark in cache.marks(FULL, SONNET, "key"))
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}


@pytest.mark.parametrize(
    ("change", "survives"),
    [
        ({}, ALL),
        ({"metadata": {"user_id": "u"}, "max_tokens": 0, "stream": True, "stop_sequences": ["x"]}, ALL),
        ({"output_config": {"effort": "low"}, "temperature": 0.5, "service_tier": "auto"}, ALL),
        ({"tool_choice": {"type": "auto"}}, ALL),
        ({"tool_choice": {"type": "any"}}, SYSTEMS),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, SYSTEMS),
        ({"messages": [{"role": "user", "content": [text(2_000, "m"), PNG | MARKED]}]}, SYSTEMS),
        ({"messages": [{"role": "assistant", "content": [text(2_000, "m", FIVE_MINUTES)]}]}, SYSTEMS),
        ({"messages": [{"role": "user", "content": [text(2_000, "n", FIVE_MINUTES)]}]}, SYSTEMS),
        ({"system": [text(2_000, "t", FIVE_MINUTES)]}, TOOLS),
        ({"speed": "fast"}, TOOLS),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, TOOLS),
        ({"tools": [TOOL | {"name": "got"} | MARKED]}, 0),
        ({"tools": []}, 0),
    ],
    ids=lambda value: ",".join(value) or "nothing" if isinstance(value, dict) else str(value),
)
def test_a_change_invalidates_what_comes_after_it(change, survives):
    caller = Caller()
    caller.read(FULL)

    assert caller.read(FULL | change)[0] == survives


def test_an_image_anywhere_invalidates_all_messages():
    caller = Caller()
    talk = [{"role": "user", "content": [text(2_000, "m", FIVE_MINUTES)]}]
    caller.read({"messages": talk})

    shown = {"type": "tool_result", "tool_use_id": "t", "content": [PNG]}

    assert caller.read({"messages": [*talk, {"role": "user", "content": [PNG]}]})[0] == 0
    assert Caller(caller.known).read({"messages": [*talk, {"role": "user", "content": [shown]}]})[0] == 2_000


def test_where_the_breakpoints_are_is_no_part_of_the_prefix():
    caller = Caller()
    caller.read(body(text(2_000, "a", FIVE_MINUTES), text(2_000, "b")))

    assert caller.read(body(text(2_000, "a"), text(2_000, "b", HOUR))) == (2_000, 0, 2_000)


def test_a_plain_string_is_a_block_of_text():
    caller = Caller()
    caller.read({"messages": [{"role": "user", "content": "x" * 7_000}], **MARKED})

    assert caller.read(body({"type": "text", "text": "x" * 7_000} | MARKED))[0] == 2_000


def test_nothing_is_written_but_at_breakpoints():
    caller = Caller()
    caller.read(body(text(2_000, "a"), text(2_000, "b", FIVE_MINUTES)))

    assert caller.read(body(text(2_000, "a", FIVE_MINUTES), text(2_000, "c"))) == (0, 2_000, 0)


@pytest.mark.parametrize(("more", "read"), [(0, 2_000), (1, 2_000), (19, 2_000), (20, 0), (40, 0)])
def test_a_lookup_goes_back_over_twenty_blocks(more, read):
    caller = Caller()
    caller.read(body(text(2_000, "a", FIVE_MINUTES)))

    later = [text(10, "b")] * more
    blocks = [text(2_000, "a"), *later]
    blocks[-1] = blocks[-1] | MARKED

    assert caller.read(body(*blocks)) == (read, 2_000 + 10 * more - read, 0)


def test_a_second_breakpoint_sees_what_the_last_one_cannot():
    caller = Caller()
    caller.read(body(text(2_000, "a", FIVE_MINUTES)))

    blocks = [text(2_000, "a", FIVE_MINUTES), *[text(10, "b")] * 40, text(10, "c", FIVE_MINUTES)]

    assert caller.read(body(*blocks)) == (2_000, 410, 0)


def test_a_conversation_with_automatic_caching_reads_itself_and_writes_what_is_new():
    caller = Caller()
    talk = [{"role": "user", "content": [text(2_000, "a")]}]
    seen = [caller.read({"messages": talk} | MARKED)]
    for said in ("b", "c"):
        talk = [*talk, {"role": "assistant", "content": [text(50, said)]}, {"role": "user", "content": said * 350}]
        seen.append(caller.read({"messages": talk} | MARKED))

    assert seen == [(0, 2_000, 0), (2_000, 150, 0), (2_150, 150, 0)]


@pytest.mark.parametrize(
    "last",
    [{"type": "text", "text": ""}, {"type": "thinking", "thinking": "", "signature": "s"}],
    ids=["empty text", "thinking"],
)
def test_automatic_caching_marks_the_last_block_that_can_be_kept(last):
    said = [{"role": "user", "content": "x" * 7_000}, {"role": "assistant", "content": [last]}]

    marks = cache.marks({"messages": said, "cache_control": HOUR}, SONNET, "key")

    assert [mark.ttl for mark in marks] == [3_600, None]


def test_automatic_caching_marks_the_system_prompt_when_nothing_else_can_be_kept():
    marks = cache.marks({"system": "x" * 7_000, "messages": [], **MARKED}, SONNET, "key")

    assert [mark.ttl for mark in marks] == [300]


def test_a_breakpoint_in_the_result_of_a_tool_is_one_at_its_end():
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text(1_000, "a", HOUR), text(1_000, "b")]}

    marks = cache.marks(body(result), SONNET, "key")

    assert [(mark.tokens, mark.ttl) for mark in marks] == [(2_000, 3_600)]


@pytest.mark.parametrize(
    ("known", "counted"),
    [
        ([], (0, 1_500, 2_000)),
        ([0], (2_000, 1_500, 0)),
        ([1], (3_000, 500, 0)),
        ([2], (3_500, 0, 0)),
    ],
    ids=["nothing known", "the hour's part", "half of the rest", "all of it"],
)
def test_breakpoints_of_both_kinds_are_counted_apart(known, counted):
    blocks = [text(2_000, "a"), text(1_000, "b"), text(500, "c"), text(70, "d")]
    caller = Caller()
    for at in known:
        caller.read(body(*[block | MARKED if k == at else block for k, block in enumerate(blocks)]))

    controls = [HOUR, FIVE_MINUTES, FIVE_MINUTES]
    marked = [block | {"cache_control": c} for block, c in zip(blocks, controls, strict=False)]

    assert caller.read(body(*marked, blocks[-1])) == counted


def test_an_hour_that_begins_after_the_hit_ends_at_its_own_breakpoint():
    caller = Caller()
    caller.read(body(text(2_000, "a", HOUR)))

    asked = body(text(2_000, "a", HOUR), text(1_000, "b", HOUR), text(500, "c", FIVE_MINUTES))

    assert caller.read(asked) == (2_000, 500, 1_000)


@pytest.mark.parametrize(("file", "read"), [(b"%PDF same", True), (b"%PDF else", False)], ids=["same", "another"])
def test_files_are_told_apart_by_what_is_in_them(file, read):
    def asked(data):
        source = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(data).decode()}
        return body({"type": "document", "source": source} | MARKED)

    caller = Caller()
    caller.read(asked(b"%PDF same"))

    assert bool(caller.read(asked(file))[0]) is read


def test_thoughts_that_are_forgotten_change_the_prefix_and_those_that_are_kept_do_not():
    thought = {"type": "thinking", "thinking": "x" * 350, "signature": "s"}
    call = {"type": "tool_use", "id": "t", "name": "get", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "x" * 7_000}
    turn = [
        {"role": "user", "content": "x" * 35_000},
        {"role": "assistant", "content": [thought, call]},
        {"role": "user", "content": [result]},
    ]
    later = [*turn, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]

    def read(model):
        caller = Caller()
        caller.read({"messages": turn, **MARKED}, model=model)
        return caller.read({"messages": later, **MARKED}, model=model)[0]

    assert read(catalog.find("claude-sonnet-4-5")) == 0
    assert read(catalog.find("claude-sonnet-4-6")) == 12_102


def test_the_least_used_prefixes_are_forgotten_first():
    caller = Caller(cache.Cache(limit=3))
    prompts = [body(text(2_000, said, HOUR)) for said in "abcd"]
    for prompt in (*prompts[:3], prompts[0], prompts[3]):
        caller.read(prompt)

    assert len(caller.known) == 3
    assert [bool(caller.read(prompt)[0]) for prompt in (prompts[0], prompts[2], prompts[3], prompts[1])] == [
        True,
        True,
        True,
        False,
    ]


def test_prefixes_that_have_expired_do_not_stay():
    caller = Caller()
    for k in range(50):
        caller.read(body(text(2_000, f"{k} ", FIVE_MINUTES)), now=float(k))

    caller.read(TALK, now=1_000.0)

    assert len(caller.known) == 1


def test_a_hit_is_found_and_the_prompt_is_left_as_it_was():
    asked = copy.deepcopy(FULL)

    Caller().read(asked)

    assert asked == FULL


@given(
    sizes=st.lists(st.integers(1, 5_000), min_size=1, max_size=8),
    controls=st.lists(st.sampled_from([None, FIVE_MINUTES, HOUR]), min_size=8, max_size=8),
    times=st.lists(st.floats(0, 5_000), min_size=1, max_size=5),
)
def test_what_is_counted_never_exceeds_the_prompt(sizes, controls, times):
    blocks = [text(size, str(k), control) for k, (size, control) in enumerate(zip(sizes, controls, strict=False))]
    caller = Caller()

    for now in sorted(times):
        counted = caller.read(body(*blocks), now)

        assert min(counted) >= 0
        assert sum(counted) <= tokens.of_body(body(*blocks))


GARBAGE = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.sampled_from(["tool_result", "image", "1h", "ephemeral"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "content", "cache_control", "ttl", "source", "data"]), inner)
    ),
    max_leaves=15,
)


@given(content=GARBAGE, control=GARBAGE, choice=GARBAGE)
def test_no_garbage_is_too_strange_for_a_digest(content, control, choice):
    asked = {"messages": [{"role": "user", "content": content}], "cache_control": control, "tool_choice": choice}

    assert all(mark.tokens >= 0 for mark in cache.marks(asked, SONNET, "key"))


# In a whole mock, on virtual time.

PROMPT = [{"type": "text", "text": "x" * 35_000, "cache_control": FIVE_MINUTES}]
HASTE = {"ttft": {"p50": 0.4, "p95": 0.4}, "tokens_per_second": 1000}


def cached(usage):
    return {name: usage[name] for name in READ_ALL}


async def test_a_cached_prompt_is_told_in_usage_and_felt_in_the_ttft(mocked):
    async with mocked(latency=HASTE) as claude:
        ttft, told = [], []
        for _ in range(2):
            began = asyncio.get_running_loop().time()
            exchange = await claude.asked(system=PROMPT, stream=True)
            ttft.append(exchange.delta_times()[0] - began)
            told.append(exchange.body)

    assert ttft == [pytest.approx(2.0, rel=0.05), pytest.approx(0.5, rel=0.1)]
    assert b'"cache_creation_input_tokens":10000,"cache_read_input_tokens":0' in told[0]
    assert b'"cache_creation_input_tokens":0,"cache_read_input_tokens":10000' in told[1]


async def test_without_prefill_a_long_prompt_takes_no_longer(mocked):
    async with mocked(latency=HASTE | {"prefill": False}) as claude:
        began = asyncio.get_running_loop().time()
        exchange = await claude.asked(system=PROMPT, stream=True)

    assert exchange.delta_times()[0] - began == pytest.approx(0.4, abs=0.01)


async def test_an_entry_can_be_read_once_generation_has_begun(mocked):
    async with mocked(latency=HASTE, capacity={"slots": 2, "queue": 10}) as claude:
        first, second = claude.ask(system=PROMPT), claude.ask("else", system=PROMPT)
        usages = [cached((await one.ended()).json["usage"]) for one in (first, second)]

    assert usages == [WRITE_ALL, READ_ALL]


async def test_who_never_got_a_slot_writes_nothing(mocked):
    async with mocked(latency=HASTE, capacity={"slots": 1, "queue": 1, "on_disconnect": "cancel"}) as claude:
        running, waiting = claude.ask(), claude.ask(system=PROMPT)
        await asyncio.sleep(0.01)
        turned_away = await claude.asked(system=PROMPT)
        await waiting.leave()
        await running.ended()

        usage = (await claude.asked(system=PROMPT)).json["usage"]

    assert turned_away.status == 529
    assert cached(usage) == WRITE_ALL


async def test_the_caches_clock_is_the_loops(mocked):
    async with mocked(latency=HASTE) as claude:
        read = []
        for pause in (0, 295, 295, 301):
            await asyncio.sleep(pause)
            read.append((await claude.asked(system=PROMPT)).json["usage"]["cache_read_input_tokens"])

    assert read == [0, 10_000, 10_000, 0]


async def test_a_reset_empties_the_cache(mocked):
    async with mocked(latency=HASTE) as claude:
        usages = []
        for _ in range(2):
            usages.append(cached((await claude.asked(system=PROMPT)).json["usage"]))
            await claude.call("POST", "/_mock/reset")

    assert usages == [WRITE_ALL, WRITE_ALL]


async def test_max_tokens_0_warms_the_cache(mocked):
    async with mocked(latency=HASTE) as claude:
        warming = (await claude.asked(system=PROMPT, max_tokens=0)).json
        usage = (await claude.asked(system=PROMPT)).json["usage"]

    assert warming["content"] == []
    assert cached(warming["usage"]) == WRITE_ALL
    assert cached(usage) == READ_ALL


async def test_one_by_one_or_at_once_the_usages_are_the_same(mocked):
    def asked(claude):
        return [claude.ask(system=PROMPT, headers={"x-api-key": key}) for key in "abab" for _ in range(5)]

    async with mocked(latency=HASTE) as claude:
        at_once = [(await one.ended()).json["usage"] for one in asked(claude)]
    async with mocked(latency=HASTE) as claude:
        in_turn = [
            (await claude.asked(system=PROMPT, headers={"x-api-key": key})).json["usage"]
            for key in "abab"
            for _ in range(5)
        ]

    assert sorted(map(str, at_once)) == sorted(map(str, in_turn))
    assert [usage["cache_read_input_tokens"] for usage in in_turn].count(0) == 2


async def test_who_still_waits_at_a_reset_leaves_no_prompt_behind(mocked, steady):
    system = [{"type": "text", "text": "word " * 8_000, "cache_control": {"type": "ephemeral"}}]
    async with mocked(latency=steady, capacity={"slots": 1}) as claude:
        running, waiting = claude.ask("a"), claude.ask("b", system=system)
        await asyncio.sleep(0.5)
        await claude.call("POST", "/_mock/reset")
        await asyncio.gather(running.ended(), waiting.ended())

        usage = (await claude.asked("c", system=system)).json["usage"]
        assert usage["cache_read_input_tokens"] == 0
        assert usage["cache_creation_input_tokens"] > 8_000
