"""A caller and the mock's journal about one request."""

from typing import Any

import pytest

from loadtests.judging import contradictions
from loadtests.sample import Sample
from tests.load.written import Written


def asked(outcome: str = "complete", *, got: int = 100, **fields: Any) -> Sample:
    return Sample("r1", 0.0, 0.0, 2.0, outcome, output_tokens=got, **fields)


def attempt(**fields: Any) -> dict[str, Any]:
    known = {"outcome": "complete", "status": 200, "fault": None, "ended": 1.9, "first_token": 0.5}
    return known | {"output_tokens": 100} | fields


REFUSED = {"outcome": "turned_away", "status": 529, "output_tokens": 0, "first_token": None}


def found(sample: Sample, *attempts: dict[str, Any], many: bool = False) -> list[str]:
    return [str(each) for each in contradictions.find([sample], {"r1": attempts} if attempts else {}, many=many)]


@pytest.mark.parametrize(
    ("sample", "attempts", "said"),
    [
        pytest.param(
            asked(got=99),
            [attempt(), attempt(output_tokens=40)],
            "1 request told of other tokens than Claude produced for them: r1 told of 99, the journal of 100 and 40",
            id="tokens",
        ),
        pytest.param(
            asked(),
            [attempt(**REFUSED | {"output_tokens": 100}), attempt(**REFUSED)],
            "1 request complete though no attempt of theirs was answered: r1 complete, the journal has 529",
            id="answered by nobody",
        ),
        pytest.param(
            asked(got=0),
            [attempt(outcome="fault", fault="cut"), attempt(**REFUSED)],
            "1 request complete though what Claude said to them broke off: r1 complete, the journal has cut",
            id="whole from a part",
        ),
        pytest.param(
            asked("truncated", error="no [DONE]"),
            [attempt()],
            "1 request failed though Claude answered every attempt of theirs whole and in time: "
            "r1 truncated (no [DONE])",
            id="lost on the way",
        ),
        pytest.param(
            asked("overloaded"),
            [attempt(status=500, outcome="left")],
            "1 request blamed a refusal on Claude that it never gave: r1 overloaded, the journal has 500",
            id="never turned away",
        ),
        pytest.param(
            asked(first_delta=0.4),
            [attempt()],
            "1 request had their first words before Claude said any: r1 by 0.100 s; the two clocks do not agree",
            id="too early",
        ),
    ],
)
def test_a_difference_is_told_with_both_sides(sample: Sample, attempts: list[dict[str, Any]], said: str):
    assert said in found(sample, *attempts)


@pytest.mark.parametrize(
    ("sample", "attempts"),
    [
        pytest.param(asked(), [attempt()], id="the same"),
        pytest.param(asked(), [attempt(**REFUSED), attempt(output_tokens=7, outcome="left"), attempt()], id="retries"),
        pytest.param(asked(got=0), [attempt()], id="an answer that tells of no tokens"),
        pytest.param(asked(), [], id="kept by the gateway"),
        pytest.param(asked("shed", got=0), [], id="shed by the gateway"),
        pytest.param(asked("timeout", got=0), [attempt(outcome="left")], id="the caller gave up"),
        pytest.param(asked(), [attempt(fault="cut", outcome="fault"), attempt()], id="tried again after a cut"),
        pytest.param(asked("truncated", got=0), [attempt(fault="cut", outcome="fault")], id="Claude cut it"),
        pytest.param(asked("failed", got=0), [attempt(ended=2.1)], id="the gateway had given up when Claude answered"),
        pytest.param(asked("failed", got=0), [attempt(), attempt(**REFUSED)], id="one of its prompts was refused"),
        pytest.param(asked("overloaded", got=0), [attempt(**REFUSED)], id="turned away"),
        pytest.param(asked("throttled", got=0, tries=2), [attempt(status=500, outcome="left")], id="by the gateway"),
        pytest.param(asked("overloaded", got=0), [attempt(fault="error_event", outcome="fault")], id="in the stream"),
        pytest.param(asked(first_delta=0.46), [attempt()], id="early within what the clocks may differ"),
    ],
)
def test_what_an_honest_gateway_brings_about_is_no_contradiction(sample: Sample, attempts: list[dict[str, Any]]):
    assert found(sample, *attempts) == []


def test_an_answer_made_of_many_tells_of_no_more_than_all_of_them_produced():
    both = [attempt(), attempt(output_tokens=50), attempt(**REFUSED)]

    assert found(asked(got=150), *both, many=True) == []
    assert "r1 told of 151, the journal of 150" in found(asked(got=151), *both, many=True)[0]


def test_a_single_contradiction_among_many_requests_is_a_finding(both: Written):
    text = both.run.samples.read_text().splitlines()
    text[-1] = text[-1].replace('"output_tokens":0', '"output_tokens":11')
    both.run.samples.write_text("\n".join(text) + "\n")

    run = both.judge()

    [finding] = run["findings"]
    assert finding.startswith(
        "fixed: 1 request told of other tokens than Claude produced for them: fixed-3-000063 told"
    )
    assert run["verdict"] == "pass"
