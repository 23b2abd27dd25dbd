"""What GitHub shows beside a job: an `::error` line for each reason why a run did not pass."""

from loadtests.sample import Row


def lines(run: Row) -> list[str]:
    """Workflow commands; none for a run that passed. `run` is summary.json or repeat.json."""
    return [error(f"{run['scenario']}: {run['verdict']}", reason) for reason in run["reasons"]]


def error(title: str, message: str) -> str:
    """One annotation."""
    return f"::error title={_property(title)}::{_message(message)}"


def could_not_run(message: str, where: str = "") -> str:
    """The annotation of what kept a run from starting; `where` may be `file:line`, and then it stands there."""
    file, _, line = where.rpartition(":")
    place = f"file={_property(file)},line={line}," if file and line.isdigit() else ""
    return f"::error {place}title={_property('loadtests: could not run')}::{_message(message)}"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
