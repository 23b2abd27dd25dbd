"""What GitHub shows beside a job."""

from loadtests.telling import annotations


def test_a_run_that_passed_says_nothing():
    assert list(annotations.lines({"scenario": "smoke", "verdict": "pass", "reasons": []})) == []


def test_what_could_not_run_is_shown_where_it_stands_if_it_stands_anywhere():
    assert annotations.could_not_run("a typo", "a/b.yaml:7") == (
        "::error file=a/b.yaml,line=7,title=loadtests%3A could not run::a typo"
    )
    assert annotations.could_not_run("a typo", "--set load.rat=4") == (
        "::error title=loadtests%3A could not run::a typo"
    )


def test_every_reason_is_an_error_of_one_line():
    run = {"scenario": "a,b", "verdict": "fail", "reasons": ["naive: 100 % failed", "it said:\n::error::no"]}

    assert list(annotations.lines(run)) == [
        "::error title=a%2Cb%3A fail::naive: 100 %25 failed",
        "::error title=a%2Cb%3A fail::it said:%0A::error::no",
    ]
