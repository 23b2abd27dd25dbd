"""What the gateway logs, kept for a test to read."""

from typing import Any


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.all.append({"event": event, **fields})

    warning = info
    exception = info

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.all]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.all if line["event"] == event]

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return self.of("attempt")

    @property
    def sent_ids(self) -> list[str]:
        return [line["request_id"] for line in self.attempts if line["sent"]]

    @property
    def outcomes(self) -> list[str]:
        return [line["outcome"] for line in self.attempts]
