"""The response cache: what is kept, who asks, who waits, and what Redis may do to it."""

import asyncio
import math
from collections.abc import Awaitable
from typing import Any

import pytest

from gateway_under_test import cache, errors, store


class Claude:
    """Counts how often it is asked; answers after a while, or fails."""

    def __init__(self, after: float = 1.0, error: Exception | None = None) -> None:
        self.asked = 0
        self.let_go = 0
        self.after = after
        self.error = error

    async def __call__(self) -> store.Row:
        self.asked += 1
        number = self.asked
        try:
            await asyncio.sleep(self.after)
        except asyncio.CancelledError:
            self.let_go += 1
            await asyncio.sleep(0.1)  # an attempt that is cut takes a moment to say so
            raise
        if self.error:
            raise self.error
        return {"text": f"answer {number}"}


class Shared:
    """What Redis is to the cache; `down` as long as it is told so."""

    def __init__(self) -> None:
        self.rows: dict[str, store.Row] = {}
        self.ttls: list[float] = []
        self.down = False

    async def get(self, key: str) -> store.Row | None:
        self._check()
        return self.rows.get(key)

    async def put(self, key: str, row: store.Row, ttl: float) -> None:
        self._check()
        self.rows[key] = row
        self.ttls.append(ttl)

    def _check(self) -> None:
        if self.down:
            raise store.Down("down", 5)


def now() -> float:
    return asyncio.get_running_loop().time()


async def outcomes(*asking: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*asking, return_exceptions=True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"model": "opus"}, id="model"),
        pytest.param({"system": None}, id="no system prompt"),
        pytest.param({"system": ""}, id="empty system prompt"),
        pytest.param({"text": "hello"}, id="text"),
        pytest.param({"text": "hi\x00"}, id="a byte more"),
        pytest.param({"max_tokens": 9}, id="length"),
        pytest.param({"version": "summarize/v2"}, id="prompt version"),
        pytest.param({"version": None}, id="no version"),
        pytest.param({"system": "hi", "text": "be brief"}, id="system prompt and text swapped"),
    ],
)
def test_questions_are_the_same_only_if_all_of_them_is(other):
    question: dict[str, Any] = {
        "model": "haiku",
        "system": "be brief",
        "text": "hi",
        "max_tokens": 8,
        "version": "summarize/v1",
    }

    assert cache.key_of(**question) == cache.key_of(**question)
    assert cache.key_of(**question) != cache.key_of(**{**question, **other})


def test_the_name_of_a_question_tells_nothing_of_it():
    assert len(cache.key_of("haiku", None, "my secret", 8, None)) == 64


def test_a_row_is_kept_until_its_time():
    kept = cache.Kept(size=2)
    kept.put("a", {"n": 1}, until=10.0)

    assert kept.get("a", 9.999) == {"n": 1}
    assert kept.get("a", 10.0) is None
    assert len(kept) == 0


def test_the_row_not_used_for_longest_makes_room():
    kept = cache.Kept(size=2)
    kept.put("a", {"n": 1}, until=10.0)
    kept.put("b", {"n": 2}, until=10.0)
    kept.get("a", 1.0)
    kept.put("c", {"n": 3}, until=10.0)

    assert [kept.get(key, 1.0) for key in "abc"] == [{"n": 1}, None, {"n": 3}]


async def test_an_answer_is_kept_from_when_it_came():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)
    first = await answers.get("q", claude)
    await asyncio.sleep(9.9)
    again = await answers.get("q", claude)
    await asyncio.sleep(0.2)
    anew = await answers.get("q", claude)

    assert (first, again, anew) == (
        ({"text": "answer 1"}, False),
        ({"text": "answer 1"}, True),
        ({"text": "answer 2"}, False),
    )


async def test_without_a_cache_every_question_is_asked():
    claude = Claude()

    found = await outcomes(*(cache.NoCache().get("q", claude) for _ in range(3)))

    assert claude.asked == 3
    assert not any(cached for _, cached in found)


async def test_what_is_being_asked_is_waited_for():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)

    async def late() -> Any:
        await asyncio.sleep(2)
        return await answers.get("q", claude)

    found = await outcomes(answers.get("q", claude), answers.get("q", claude), late(), answers.get("other", claude))

    assert claude.asked == 2
    assert [cached for _, cached in found] == [False, True, True, False]
    assert {row["text"] for row, _ in found[:3]} == {"answer 1"}
    assert now() == pytest.approx(3)


async def test_an_error_is_told_to_all_who_wait_and_is_not_kept():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(error=errors.Overloaded("full"))

    told = await outcomes(*(answers.get("q", claude) for _ in range(3)))
    claude.error = None
    row, cached = await answers.get("q", claude)

    assert [type(each) for each in told] == [errors.Overloaded] * 3
    assert (claude.asked, row, cached) == (2, {"text": "answer 2"}, False)


async def test_the_first_may_leave_and_the_others_get_their_answer():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)
    first = asyncio.create_task(answers.get("q", claude))
    second = asyncio.create_task(answers.get("q", claude))
    await asyncio.sleep(1)

    first.cancel()
    [left] = await outcomes(first)
    left_at = now()
    row, cached = await second

    assert isinstance(left, asyncio.CancelledError) and left_at == pytest.approx(1)
    assert (row, cached, claude.asked, claude.let_go) == ({"text": "answer 1"}, True, 1, 0)


async def test_each_waits_until_its_own_deadline():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)

    told = await outcomes(*(answers.get("q", claude, until) for until in (9, 1, 2, math.inf)))

    assert [type(each) for each in told] == [tuple, errors.Timeout, errors.Timeout, tuple]
    assert (claude.asked, claude.let_go) == (1, 0)


async def test_who_has_more_time_than_the_first_asks_again():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)

    async def hurried() -> store.Row:
        await asyncio.sleep(1)
        raise errors.Timeout("it had one second")

    told = await outcomes(answers.get("q", hurried, 1), *(answers.get("q", claude, until) for until in (2, 9, 9)))

    # the second takes over, for itself and the others, and its deadline is its own question's business
    assert [type(each) for each in told] == [errors.Timeout, tuple, tuple, tuple]
    assert [each[1] for each in told[1:]] == [False, True, True]
    assert (claude.asked, now()) == (1, pytest.approx(4))


async def test_the_last_whose_deadline_passes_takes_the_question_along():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)
    first = asyncio.create_task(answers.get("q", claude))
    await asyncio.sleep(0)
    second = asyncio.create_task(answers.get("q", claude, 2))
    await asyncio.sleep(1)

    first.cancel()
    [_, told] = await outcomes(first, second)

    assert isinstance(told, errors.Timeout)
    assert claude.let_go == 1


async def test_the_last_to_leave_takes_the_question_along():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)
    both = [asyncio.create_task(answers.get("q", claude)) for _ in range(2)]
    await asyncio.sleep(1)

    both[0].cancel()
    both[1].cancel()
    await outcomes(*both)

    assert claude.let_go == 1
    assert now() == pytest.approx(1.1)  # until the attempt had told how it ended


async def test_who_comes_after_all_have_left_asks_anew():
    answers, claude = cache.Answers(ttl=10, size=5), Claude(after=3)
    leaving = asyncio.create_task(answers.get("q", claude))
    await asyncio.sleep(1)

    leaving.cancel()
    await asyncio.sleep(0.05)  # the first question is still ending
    row, cached = await answers.get("q", claude)

    assert (row, cached) == ({"text": "answer 2"}, False)


async def test_workers_share_their_answers():
    shared, claude = Shared(), Claude()
    one, other = (cache.Answers(ttl=10, size=5, shared=shared) for _ in range(2))

    first = await one.get("q", claude)
    second = await other.get("q", claude)

    assert (first, second) == (({"text": "answer 1"}, False), ({"text": "answer 1"}, True))
    assert shared.ttls == [10]


@pytest.mark.parametrize("down_at_first", [True, False])
async def test_without_redis_a_worker_remembers_its_own(down_at_first):
    shared, claude = Shared(), Claude()
    answers = cache.Answers(ttl=10, size=5, shared=shared)
    shared.down = down_at_first

    first = await answers.get("q", claude)
    shared.down = True
    second = await answers.get("q", claude)
    third = await answers.get("other", claude)

    assert [cached for _, cached in (first, second, third)] == [False, True, False]
    assert claude.asked == 2
