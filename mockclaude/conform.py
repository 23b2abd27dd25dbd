"""Whether a server answers as Claude does: checks of what can be seen from outside, and their verdicts in lines.

To add a check: a judge that raises `Wrong`, and its entry in `CHECKS`, which names the exchanges it looks at. Evidence:
A documented or in the SDK's source, B captured, C inferred.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mockclaude.conformance import judges, refused
from mockclaude.conformance.exchange import Absent, Exchange, NoAnswer, Request, Wrong
from mockclaude.conformance.probes import PROBES, Probe, Terms

GIVE_UP = 3
"""So many requests in a row without an answer, and the server is taken to be gone."""
LONGEST = 300


class Check(NamedTuple):
    """What is checked, how well it is known to be so, the exchanges it looks at, and their judge.

    The judge returns when all is well, and raises `Wrong` or `Absent`.
    """

    what: str
    evidence: str
    looks_at: tuple[str, ...]
    judge: Callable[..., None]


class Result(NamedTuple):
    """A check's verdict: PASS, FAIL with what came and what was expected, or SKIP with the reason."""

    name: str
    verdict: str
    what: str
    evidence: str
    got: str | None = None
    expected: str | None = None
    reason: str | None = None

    @property
    def line(self) -> str:
        """The verdict for a person; nothing that a server said can leave the line."""
        if self.verdict == "FAIL":
            return f"FAIL {self.name}: got {shown(self.got)}, expected {shown(self.expected)} ({self.evidence})"
        return f"{self.verdict} {self.name}" + (f": {shown(self.reason)}" if self.reason is not None else "")


def _refusals() -> Iterator[tuple[str, Check]]:
    for name, refusal in refused.REFUSALS.items():
        yield (
            f"refuses-{name}",
            Check(f"refused: {refusal.text}", refusal.evidence, (name,), functools.partial(refused.judge, refusal)),
        )


CHECKS: Mapping[str, Check] = {
    "head": Check("HEAD / is no failure", "B", ("head",), judges.head),
    "message-keys": Check("a message's keys are in Claude's order", "B", ("plain",), judges.message_keys),
    "usage-keys": Check("the usage's keys are in Claude's order", "B", ("plain",), judges.usage_keys),
    "compact": Check("JSON is compact, in raw UTF-8", "B", ("plain",), judges.compact),
    "message-id": Check("a message's id is msg_01 and base58", "B", ("plain",), judges.message_id),
    "request-id": Check("the header request-id is req_011C and base58", "B", ("plain",), judges.request_id),
    "organization-id": Check("the organization is a UUID", "A", ("plain",), judges.organization),
    "alias": Check("an alias is resolved", "B", ("plain",), judges.model),
    "max-tokens": Check("max_tokens ends a reply exactly", "A", ("plain",), judges.max_tokens),
    "stop-sequence": Check("a stop sequence ends a reply", "A", ("stop",), judges.stop_sequence),
    "key-new-version": Check("x-api-key with 2026-10-21", "A", ("key-new",), judges.answered),
    "bearer-old-version": Check("a bearer token with 2023-06-01", "B", ("bearer-old",), judges.answered),
    "bearer-new-version": Check("a bearer token with 2026-10-21", "B", ("bearer-new",), judges.answered),
    "beta-query": Check("?beta=true changes nothing", "A", ("beta",), judges.answered),
    "stream-headers": Check("a stream's content-type and cache-control", "B", ("stream",), judges.stream_headers),
    "stream-framing": Check("events end in LF, the stream in a brace", "B", ("stream",), judges.framing),
    "stream-padding": Check("events are padded with 0 to 15 spaces", "B", ("stream",), judges.padding),
    "stream-ping": Check("ping's exact bytes and its place", "B", ("stream",), judges.ping),
    "stream-grammar": Check("events in the order they may have", "A", ("stream",), judges.stream_grammar),
    "stream-start": Check("what message_start holds", "B", ("stream",), judges.start),
    "stream-deltas": Check("a short first delta, then several words each", "B", ("stream",), judges.first_delta),
    "stream-usage": Check("message_delta's usage is cumulative", "A", ("stream",), judges.cumulative),
    "stream-end": Check("a stream ends with its stop reason", "A", ("stream",), judges.whole),
    "forced-tool": Check("tool_choice forces a call that satisfies its schema", "B", ("tool",), judges.tool),
    "structured-output": Check("structured output satisfies its schema", "A", ("schema",), judges.schema),
    "thinking": Check("a thought and one signature", "B", ("thinking",), judges.thinking),
    "thinking-back": Check("thinking is taken back", "A", ("thought-back",), judges.answered),
    "thinking-altered": Check("altered thinking is refused", "B", ("thought-altered",), judges.altered),
    "count-tokens": Check("count_tokens counts", "B", ("counting",), judges.counting),
    "models": Check("a page of models", "A", ("models",), judges.models),
    "models-next": Check("the next page of models", "A", ("models", "models-next"), judges.next_page),
    "model": Check("a model by its id or alias", "A", ("model",), judges.one_model),
    "error-envelope": Check("an error's envelope", "B", ("unknown-field",), judges.envelope),
    "error-request-id": Check("an error names the request twice", "B", ("unknown-field",), judges.same_request_id),
    "error-retry": Check("x-should-retry: false on a 400", "B", ("unknown-field",), judges.no_retry),
    "error-workspace": Check("no workspace before the caller is known", "A", ("no-key",), judges.no_workspace),
    **dict(_refusals()),
}
"""Name -> check, in the order they are made."""

ASKED: Mapping[str, Probe] = {**PROBES, **{name: refusal.probe for name, refusal in refused.REFUSALS.items()}}
"""Name -> request, for every exchange that a check looks at."""


class Unknown(ValueError):
    """A name that no check has."""


def chosen(only: Sequence[str]) -> list[str]:
    """The checks to make: those named, or all. Raises `Unknown`."""
    unknown = [name for name in only if name not in CHECKS]
    if unknown:
        raise Unknown(f"no check is called {unknown[0]!r}; there are {', '.join(CHECKS)}")
    return [name for name in CHECKS if not only or name in only]


def run(names: Iterable[str], model: str, key: str, send: Callable[[Request], Exchange]) -> Iterator[Result]:
    """Make these checks one by one. Raises `NoAnswer` when the first request, or some in a row, get none."""
    exchanges = Exchanges(Terms(model, key), send)
    for name in names:
        yield verdict(name, exchanges.look)


def verdict(name: str, look: Callable[[str], Exchange]) -> Result:
    """Make one check of exchanges that `look` finds by their names."""
    check = CHECKS[name]
    result = Result(name, "PASS", check.what, check.evidence)
    found: list[Exchange] = []
    try:
        for each in check.looks_at:
            found.append(look(each))
        check.judge(*found)
    except Absent as absent:
        return result._replace(verdict="SKIP", reason=str(absent))
    except Wrong as wrong:
        return result._replace(verdict="FAIL", got=wrong.got, expected=wrong.expected)
    except _Missing as missing:
        return result._replace(verdict="FAIL", got=str(missing), expected="an answer")
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        got = f"{found[-1].excerpt if found else 'an answer'} ({type(error).__name__}: {error})"
        return result._replace(verdict="FAIL", got=got, expected=check.what)
    return result


class _Missing(Exception):
    """A request got no answer, though others did."""


class Exchanges:
    """The exchanges of one run: each request is sent once, when a check first looks at it."""

    def __init__(self, terms: Terms, send: Callable[[Request], Exchange]) -> None:
        self._terms, self._send = terms, send
        self._found: dict[str, Exchange | str] = {}
        self._in_vain = GIVE_UP - 1

    def look(self, name: str) -> Exchange:
        """The exchange of a probe; raises `Absent`, `_Missing`, or `NoAnswer` when it is time to give up."""
        if name not in self._found:
            self._found[name] = self._exchange(ASKED[name](self._terms, self.look))
        found = self._found[name]
        if isinstance(found, str):
            raise _Missing(found)
        return found

    def _exchange(self, request: Request) -> Exchange | str:
        try:
            exchange = self._send(request)
        except NoAnswer as error:
            self._in_vain += 1
            if self._in_vain >= GIVE_UP:
                raise
            return str(error)
        self._in_vain = 0
        return exchange


def report(results: Iterable[Result], as_json: bool, say: Callable[[str], None]) -> int:
    """Say each verdict as it comes, or all as one JSON object; 0 when none failed, 1 when some did, 2 without any."""
    told: list[Result] = []
    for result in results:
        told.append(result)
        if not as_json:
            say(result.line)
    counts = Counter(result.verdict for result in told)
    summary = {"passed": counts["PASS"], "failed": counts["FAIL"], "skipped": counts["SKIP"]}
    if as_json:
        say(json.dumps({**summary, "checks": [result._asdict() for result in told]}))
    else:
        say(", ".join(f"{count} {word}" for word, count in summary.items()))
    return 1 if counts["FAIL"] else 0 if counts["PASS"] else 2


def shown(text: object) -> str:
    """A text as one line of at most some hundred printable characters."""
    line = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
