"""What GitHub shows beside a job: an `::error` line for each reason why a run did not pass."""

from collections.abc import Iterator

from loadtests.sample import Row


def lines(run: Row) -> Iterator[str]:
    """Workflow commands; none for a run that passed. `run` is summary.json."""
    title = _property(f"{run['scenario']}: {run['verdict']}")
    for reason in run["reasons"]:
        yield f"::error title={title}::{_message(reason)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
