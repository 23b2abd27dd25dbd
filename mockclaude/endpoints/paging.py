"""Lists in pages: which part of a list a query asks for, and how Claude shows it.

There are two kinds: pages between ids (models, batches, and files in their old beta), and pages behind an opaque
cursor (files). Both are newest first. Source: the pagination of the official SDKs; the refusals of bad cursors are [C].
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, Field

from mockclaude.wire import ApiError

CURSOR = "page_"


class Listed(Protocol):
    """What can be listed."""

    @property
    def id(self) -> str:
        """Its id, which is a cursor too."""


class Numbered(Protocol):
    """What can be listed behind a cursor."""

    @property
    def n(self) -> int:
        """A number that grows with each new one."""


T = TypeVar("T", bound=Listed)
N = TypeVar("N", bound=Numbered)
S = TypeVar("S")


class Between(BaseModel):
    """`?limit=&after_id=&before_id=`. "After" is further down the list, hence older."""

    limit: int = Field(20, ge=1, le=1000)
    after_id: str | None = None
    before_id: str | None = None


class Behind(BaseModel):
    """`?limit=&page=`."""

    limit: int = Field(20, ge=1, le=1000)
    page: str | None = None


class Part(NamedTuple, Generic[S]):
    """Some of a list, and whether there is more in the direction that was asked for."""

    items: Sequence[S]
    more: bool


def between(listed: Sequence[T], query: Between) -> Part[T]:
    """The page right after, or right before, an id. Raises a 400 for an id that is not in the list."""
    if query.after_id and query.before_id:
        raise ApiError(400, "Only one of `after_id` and `before_id` may be provided.")  # [C]
    if query.before_id:
        end = _place(listed, query.before_id, "before_id")
        begin = max(0, end - query.limit)
        return Part(listed[begin:end], begin > 0)
    begin = _place(listed, query.after_id, "after_id") + 1 if query.after_id else 0
    end = begin + query.limit
    return Part(listed[begin:end], end < len(listed))


def behind(listed: Sequence[N], query: Behind) -> Part[N]:
    """The page behind a cursor, which holds even when what it points at has been deleted. Raises a 400 for another."""
    rest = listed if query.page is None else [item for item in listed if item.n < _number(query.page)]
    return Part(rest[: query.limit], len(rest) > query.limit)


def with_ids(part: Part[T], shown: Sequence[object]) -> dict[str, object]:
    """A page between ids, as Claude shows it."""
    first, last = (part.items[0].id, part.items[-1].id) if part.items else (None, None)
    return {"data": shown, "has_more": part.more, "first_id": first, "last_id": last}


def with_cursor(part: Part[N], shown: Sequence[object]) -> dict[str, object]:
    """A page behind a cursor, as Claude shows it."""
    return {"data": shown, "next_page": _cursor(part.items[-1].n) if part.more else None}


def _place(listed: Sequence[T], item_id: str, field: str) -> int:
    for place, item in enumerate(listed):
        if item.id == item_id:
            return place
    raise ApiError(400, f"{field}: Invalid cursor")  # [C]


def _cursor(n: int) -> str:
    return CURSOR + base64.urlsafe_b64encode(b"%d" % n).decode()


def _number(cursor: str) -> int:
    try:
        return int(base64.urlsafe_b64decode(cursor.removeprefix(CURSOR)))
    except (binascii.Error, ValueError):
        raise ApiError(400, "page: Invalid cursor") from None  # [C]
