"""JUnit XML of a run, as pipelines show it: a suite for each variant, a case for each expectation and gate.

Whether the run can be trusted is a case too, so that an invalid run is an error and not a row of green checks.
"""

import re
from collections.abc import Iterator
from xml.etree import ElementTree as xml

from loadtests.judging import summary
from loadtests.sample import Row

UNPRINTABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, however it is written."""


def render(*runs: Row) -> str:
    """Each of `runs` is the summary.json of one run of the same scenario."""
    root = xml.Element("testsuites", name=f"loadtests {runs[0]['scenario']}")
    for run in runs:
        for variant in run["variants"]:
            _suite(root, run, variant, seed=f" (seed {run['seed']})" if len(runs) > 1 else "")
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: xml.Element, run: Row, variant: str, seed: str) -> None:
    suite = xml.SubElement(root, "testsuite", name=f"{run['scenario']}.{variant}{seed}")
    properties = xml.SubElement(suite, "properties")
    xml.SubElement(properties, "property", name="seed", value=str(run["seed"]))
    doubts = (("error", reason) for reason in run["variants"][variant]["invalid_because"])
    cases = [_case(suite, "the run is valid", *doubts)]
    for row in _checks(run, variant):
        cases.append(_case(suite, _title(row), *_trouble(row)))
    for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(kind, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    findings = [finding for finding in run["findings"] if finding.startswith(f"{variant}: ")]
    if findings:
        xml.SubElement(suite, "system-out").text = _printable("\n".join(findings))


def _case(suite: xml.Element, title: str, *troubles: tuple[str, str]) -> xml.Element:
    case = xml.SubElement(suite, "testcase", classname=suite.get("name", ""), name=_printable(title))
    for tag, told in troubles[:1]:
        whole = "\n".join(text for _, text in troubles)
        xml.SubElement(case, tag, message=_printable(told)).text = _printable(whole)
    return case


def _checks(run: Row, variant: str) -> Iterator[Row]:
    yield from (row for row in (*run["expectations"], *run["gates"]) if row["variant"] == variant)


def _title(row: Row) -> str:
    if "gate" in row:
        return f"gate {row['gate']}"
    metric = f"{row['phase']}.{row['metric']}" if row["phase"] else row["metric"]
    return f"expectation {metric} {summary.bound(row)}"


def _trouble(row: Row) -> Iterator[tuple[str, str]]:
    match row["status"]:
        case "fail":
            yield "failure", summary.failure(row)
        case "skipped":
            yield "skipped", row.get("reason") or "it was not measured"


def _printable(text: str) -> str:
    return UNPRINTABLE.sub("\ufffd", text)
