"""JUnit XML as pipelines read it."""

from pathlib import Path
from xml.etree import ElementTree as xml

from loadtests.experiment.scenario import Scenario
from loadtests.telling import junit
from tests.load.written import Written


def suites(run: dict[str, object]) -> dict[str, xml.Element]:
    root = xml.fromstring(junit.render(run).encode())
    return {suite.attrib["name"]: suite for suite in root}


def test_every_variant_is_a_suite_and_every_check_a_case(both: Written):
    found = suites(both.judge())

    assert {name: [case.attrib["name"] for case in suite.iter("testcase")] for name, suite in found.items()} == {
        "small.naive": ["the run is valid", "expectation after.goodput_ratio at most 0.5"],
        "small.fixed": ["the run is valid", "gate fixed.error_ratio < 0.01"],
    }
    assert {name: suite.attrib["tests"] for name, suite in found.items()} == {"small.naive": "2", "small.fixed": "2"}
    assert not [case for suite in found.values() for case in suite.iter() if case.tag in ("failure", "error")]


def test_a_failed_gate_is_a_failure_that_says_what_was_measured(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["naive"])
    written.variant("naive", "timeout")

    [suite] = suites(written.judge()).values()

    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("1", "0")
    [failure] = suite.iter("failure")
    assert failure.attrib["message"] == 'naive: gate "error_ratio < 0.01" failed, measured 1'


def test_an_invalid_run_is_an_error_whatever_held(both: Written):
    both.event("fixed", "died", message="the mock died: \x00SIGKILL")
    both.event("fixed", "lag", program="mock", at=9.0, seconds=1.2)

    suite = suites(both.judge())["small.fixed"]

    assert suite.attrib["errors"] == "1"
    [error] = suite.iter("error")
    assert error.attrib["message"] == "the mock died: \ufffdSIGKILL"
    assert error.text is not None and "the mock stood still for 1.2 s" in error.text


def test_what_was_not_measured_is_skipped(tmp_path: Path, small: Scenario):
    written = Written(tmp_path, small, ["fixed", "naive"])
    written.variant("fixed")

    suite = suites(written.judge())["small.naive"]

    assert (suite.attrib["skipped"], suite.attrib["errors"]) == ("2", "1")
    assert [skipped.attrib["message"] for skipped in suite.iter("skipped")] == [
        "the run did not get that far",
        "it was not measured",
    ]


def test_findings_stand_beside_the_cases_of_their_variant(both: Written):
    run = {**both.judge(), "findings": ["fixed: look here", "naive: and here"]}

    assert [out.text for out in suites(run)["small.fixed"].iter("system-out")] == ["fixed: look here"]
