"""What a request adds to Locust's statistics beside its own row, to be looked at: our figures come from the samples."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtests.sample import Sample

KINDS = frozenset({"TTFT", "ITL", "TPOT", "TOK/S", "OUTCOME"})
"""The rows that measure a part of a request; as requests of their own they would spoil "Aggregated"."""
NO_FAILURE = ("complete", "left", "aborted")


class Entry(NamedTuple):
    """Values in the row of this kind and name: milliseconds, but tokens per second in TOK/S."""

    kind: str
    name: str
    values: Sequence[float]


def of(name: str, sample: Sample) -> Iterator[Entry]:
    """Of every request its outcome, with the time it took; of the complete what there is of the rest."""
    yield Entry("OUTCOME", f"{name} {sample.outcome}", [sample.e2e * 1000])
    if sample.outcome != "complete":
        return
    if sample.ttft is not None:
        yield Entry("TTFT", name, [sample.ttft * 1000])
    if sample.gaps:
        yield Entry("ITL", name, [gap * 1000 for gap in sample.gaps])
    if sample.tpot is not None:
        yield Entry("TPOT", name, [sample.tpot * 1000])
    if sample.output_tokens and sample.service_time > 0:
        yield Entry("TOK/S", name, [sample.output_tokens / sample.service_time])
