"""What one request adds to Locust's statistics."""

import dataclasses

import pytest

from loadtests.record import rows
from loadtests.sample import OUTCOMES, Sample

WHOLE = Sample("a-1", 1.0, 1.1, 3.1, "complete", 200, first_delta=1.5, gaps=(0.1, 0.3), input_tokens=5, output_tokens=5)


def told(sample: Sample) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for entry in rows.of("/chat", sample):
        found.setdefault(entry.kind, []).extend(round(value, 6) for value in entry.values)
    return found


def test_a_complete_stream_has_a_value_in_each_row():
    assert told(WHOLE) == {
        "OUTCOME": [2100],
        "TTFT": [500],  # from the intended start
        "ITL": [100, 300],  # each gap
        "TPOT": [100],  # 0.4 s for 4 more tokens
        "TOK/S": [2.5],  # 5 in the 2 s from the send
    }
    assert set(told(WHOLE)) == rows.KINDS


@pytest.mark.parametrize("outcome", [outcome for outcome in OUTCOMES if outcome != "complete"])
def test_what_is_not_complete_has_an_outcome_and_no_figures(outcome: str):
    (entry,) = rows.of("/chat", dataclasses.replace(WHOLE, outcome=outcome))

    assert entry == ("OUTCOME", f"/chat {outcome}", [pytest.approx(2100)])


def test_a_whole_answer_has_no_rows_of_a_stream():
    whole = dataclasses.replace(WHOLE, first_delta=None, gaps=())

    assert set(told(whole)) == {"OUTCOME", "TOK/S"}
