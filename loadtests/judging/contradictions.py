"""Where a caller and the mock's journal tell different stories of one request. A difference is a finding, however rare:
it is named with its first example, never averaged away.

Each rule says only what no honest gateway can bring about; a request without attempts (answered from a cache, shed,
refused) contradicts nothing. Not compared are requests of many prompts, but by the sum of their tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from loadtests.sample import Row, Sample

CLOCKS_APART = 0.05
"""Seconds by which a caller may seem to be early: the generator's T0 is that of the mock's answer to its reset."""
BROKEN = ("failed", "error_event", "truncated", "reset", "overloaded", "throttled")
"""Outcomes that say that an answer of Claude's failed on its way."""
MANY = ("batch", "fanout", "route")
"""Users whose answer is made of several."""
TURNED_AWAY = {"overloaded": 529, "throttled": 429}


class Contradiction(NamedTuple):
    """How many requests contradict the journal in the same way, and the first of them."""

    kind: str
    requests: int
    example: str

    def __str__(self) -> str:
        plural = "" if self.requests == 1 else "s"
        return f"{self.requests} request{plural} {self.kind}: {self.example}"


def find(samples: Sequence[Sample], attempts_of: Mapping[str, Sequence[Row]], *, many: bool) -> Iterator[Contradiction]:
    """`many`: whether a request may be answered by several attempts together."""
    rules: dict[str, Callable[[Sample, Sequence[Row]], str | None]] = {
        "told of other tokens than Claude produced for them": _many_tokens if many else _tokens,
        "complete though no attempt of theirs was answered": _answered_by_nobody,
        "complete though what Claude said to them broke off": _whole_from_a_part,
        "failed though Claude answered every attempt of theirs whole and in time": _lost_on_the_way,
        "blamed a refusal on Claude that it never gave": _never_turned_away,
        "had their first words before Claude said any": _too_early,
    }
    for kind, rule in rules.items():
        told = [
            f"{sample.request_id} {difference}"
            for sample in samples
            if (attempts := attempts_of.get(sample.request_id)) and (difference := rule(sample, attempts))
        ]
        if told:
            yield Contradiction(kind, len(told), told[0])


def _tokens(sample: Sample, attempts: Sequence[Row]) -> str | None:
    made = [attempt["output_tokens"] for attempt in attempts]
    if sample.outcome != "complete" or not sample.output_tokens or sample.output_tokens in made:
        return None
    return f"told of {sample.output_tokens}, the journal of {_either(made)}"


def _many_tokens(sample: Sample, attempts: Sequence[Row]) -> str | None:
    """More than was made by all attempts together; less may have been tried in vain."""
    made = sum(attempt["output_tokens"] for attempt in attempts)
    if sample.outcome != "complete" or sample.output_tokens <= made:
        return None
    return f"told of {sample.output_tokens}, the journal of {made}"


def _answered_by_nobody(sample: Sample, attempts: Sequence[Row]) -> str | None:
    statuses = [attempt["status"] for attempt in attempts]
    if sample.outcome != "complete" or 200 in statuses:
        return None
    return f"complete, the journal has {_either(statuses)}"


def _whole_from_a_part(sample: Sample, attempts: Sequence[Row]) -> str | None:
    answered = [attempt for attempt in attempts if attempt["status"] == 200]
    if sample.outcome != "complete" or not answered or any(attempt["outcome"] != "fault" for attempt in answered):
        return None
    return f"complete, the journal has {_either([attempt['fault'] for attempt in answered])}"


def _lost_on_the_way(sample: Sample, attempts: Sequence[Row]) -> str | None:
    whole = all(attempt["outcome"] == "complete" and not attempt.get("fault") for attempt in attempts)
    if sample.outcome not in BROKEN or not whole or any(attempt["ended"] > sample.ended for attempt in attempts):
        return None
    return f"{sample.outcome}" + (f" ({sample.error})" if sample.error else "")


def _never_turned_away(sample: Sample, attempts: Sequence[Row]) -> str | None:
    """A caller who tried again may have been turned away by the gateway itself, the last time."""
    status = TURNED_AWAY.get(sample.outcome) if sample.tries == 1 else None
    statuses = [attempt["status"] for attempt in attempts]
    if status is None or any(attempt["status"] == status or attempt.get("fault") for attempt in attempts):
        return None
    return f"{sample.outcome}, the journal has {_either(statuses)}"


def _too_early(sample: Sample, attempts: Sequence[Row]) -> str | None:
    spoken = [attempt["first_token"] for attempt in attempts if attempt.get("first_token") is not None]
    if sample.first_delta is None or not spoken or sample.first_delta >= min(spoken) - CLOCKS_APART:
        return None
    return f"by {min(spoken) - sample.first_delta:.3f} s; the two clocks do not agree"


def _either(values: Sequence[object]) -> str:
    return " and ".join(str(value) for value in dict.fromkeys(values))
