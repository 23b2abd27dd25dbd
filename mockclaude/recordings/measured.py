"""What was measured of replies: from a recording, from CSV, or from the samples of a load test.

CSV has a header with `ttft` (seconds, or `ttft_ms`) and `tokens_per_second`, and may have `output_tokens` and `model`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from mockclaude import catalog, latency, settings
from mockclaude.recordings import recording

UNITS = {"ttft": 1.0, "ttft_ms": 0.001}


class Measured(NamedTuple):
    """One reply: seconds to its first content delta, tokens per second from there on, length, model's family."""

    ttft: float
    pace: float | None = None
    tokens: int | None = None
    family: str | None = None


def read(text: str) -> tuple[list[Measured], int]:
    """What was measured, and how many replies could not be used; raises `ConfigError` that names the line."""
    text = text.removeprefix("\ufeff")
    if not text.lstrip().startswith("{"):
        return list(_table(text)), 0
    _, first = next(recording.lines(text))
    if "request" in first:
        found = [_heard(exchange) for exchange in recording.load(text)]
    else:
        found = [_sampled(row, number) for number, row in recording.lines(text)]
    rows = [one for one in found if one is not None]
    return rows, len(found) - len(rows)


def _heard(exchange: recording.Exchange) -> Measured | None:
    """Deltas bring several tokens at once: the first one's share of the text says how many came before its end.

    The mock's TTFT is that of a token, so what the others in the first delta took is not part of it.
    """
    deltas = [(event.at, size) for event in exchange.events or () if (size := _content(event.data))]
    if not deltas or deltas[0][0] == 0:
        return None
    (first, brought), (last, _) = deltas[0], deltas[-1]
    family = _family(exchange.request.model)
    if exchange.ended != "complete":
        return Measured(first, family=family)
    tokens, hidden = _tokens(exchange)
    visible = tokens - hidden
    early = max(1, round(visible * brought / sum(size for _, size in deltas)))
    if last <= first or visible <= early:
        return Measured(first, None, tokens, family)
    pace = (visible - early) / (last - first)
    token = first - (early - 1) / pace
    return Measured(token if token > 0 else first, pace, tokens, family)


def _content(data: recording.Json) -> int:
    delta = data.get("delta")
    if not isinstance(delta, dict):
        return 0
    return sum(len(str(delta.get(name, "")).encode()) for name in ("text", "thinking", "partial_json"))


def _tokens(exchange: recording.Exchange) -> tuple[int, int]:
    """Output tokens, and those of thinking that was not shown."""
    tokens = thought = 0
    for _, _, data in exchange.events or ():
        usage = data.get("usage")
        if isinstance(usage, dict):
            tokens = _whole(usage.get("output_tokens"))
            details = usage.get("output_tokens_details")
            thought = _whole(details.get("thinking_tokens")) if isinstance(details, dict) else 0
    shown = any((event.data.get("delta") or {}).get("thinking") for event in exchange.events or ())
    return tokens, 0 if shown else thought


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _sampled(row: recording.Json, number: int) -> Measured | None:
    """A sample of `loadtests`: times since T0, TTFT from when it was sent."""
    if "outcome" not in row or "sent" not in row:
        _refuse("expected a line of a recording or of samples.jsonl", number)
    first, tokens, gaps = row.get("first_delta"), _whole(row.get("output_tokens")), row.get("gaps") or []
    if row["outcome"] != "complete" or first is None:
        return None
    try:
        ttft, took = float(first) - float(row["sent"]), sum(map(float, gaps))
    except (TypeError, ValueError):
        _refuse('"sent", "first_delta" and "gaps" must be seconds', number)
    pace = (tokens - 1) / took if took > 0 and tokens > 1 else None
    return Measured(ttft, pace, tokens or None, None) if ttft > 0 else None


def _table(text: str) -> Iterator[Measured]:
    reader = csv.DictReader(text.splitlines())
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        column = next((name for name in UNITS if name in names), "")
        if not column or "tokens_per_second" not in names:
            got = ",".join(names)[:60]
            _refuse(f'expected a header with ttft (or ttft_ms) and tokens_per_second, got "{got}"', 1)
        reader.fieldnames = names
        for cells in reader:
            yield _tabled(_Row(cells, reader.line_num), column)
    except csv.Error as error:
        _refuse(f"not CSV: {error}", reader.line_num)


def _tabled(row: _Row, column: str) -> Measured:
    ttft = row.number(column, needed=True) or 0.0
    pace, tokens = row.number("tokens_per_second"), row.number("output_tokens")
    return Measured(ttft * UNITS[column], pace, None if tokens is None else round(tokens), _family(row.cell("model")))


class _Row:
    """One line of a table."""

    def __init__(self, cells: Mapping[str, Any], line: int) -> None:
        self._cells = cells
        self._line = line

    def cell(self, name: str) -> str:
        return str(self._cells.get(name) or "").strip()

    def number(self, name: str, needed: bool = False) -> float | None:
        """A number above 0; None for an empty cell that is not `needed`."""
        said = self.cell(name)
        if not said and not needed:
            return None
        try:
            value = float(said)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            _refuse(f'{name}: expected a number above 0, got "{said[:60]}"', self._line)
        return value


def _family(model: str | None) -> str | None:
    family = catalog.family(model) if model else None
    return None if family is None else latency.AS_FAST_AS.get(family, family)


def _refuse(message: str, line: int) -> NoReturn:
    raise settings.ConfigError([settings.Problem((f"line {line}",), message)])
