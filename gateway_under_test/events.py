"""Server-sent events out of bytes, wherever these were cut (https://html.spec.whatwg.org, section 9.2.6).

The SDK has such a reader too, at four times the cost of this one: it cuts every read into lines twice and decodes each.
An event of Claude's has two lines, so what lies between two empty lines is looked at once.
"""

from __future__ import annotations

from typing import NamedTuple

END = b"\n\n"


class Event(NamedTuple):
    """Its name, empty if it has none, and its data."""

    name: bytes
    data: bytes


class Events:
    """What has been read of one stream; of the event that has not ended yet, `held` bytes."""

    def __init__(self) -> None:
        self.held = 0
        self._parts: list[bytes] = []
        self._cr = b""

    def read(self, part: bytes) -> list[Event]:
        """The events that end in the next bytes."""
        if self._cr or b"\r" in part:
            part = self._with_newlines(part)
        if not self._parts and part.endswith(END) and part.count(END) == 1:  # one read, one event, as nearly always
            return [_event(part[:-2])] if part != END else []
        return self._cut(part) if part else []

    def forget(self) -> None:
        """Hold no more of the event that has not ended yet."""
        self._parts, self.held = [], 0

    def _cut(self, part: bytes) -> list[Event]:
        """The events that end in it, of which the first may have begun earlier."""
        cut = part.startswith(b"\n") and bool(self._parts) and self._parts[-1].endswith(b"\n")
        self.held += len(part)
        self._parts.append(part)
        if END not in part and not cut:
            return []
        *blocks, rest = b"".join(self._parts).split(END)
        self._parts, self.held = [rest] if rest else [], len(rest)
        return [_event(block) for block in blocks if block]

    def _with_newlines(self, part: bytes) -> bytes:
        """Lines end with a newline alone; whether one follows the last carriage return the next bytes tell."""
        part = self._cr + part
        self._cr = b"\r" if part.endswith(b"\r") else b""
        return part.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> Event:
    head, found, data = block.partition(b"\ndata: ")
    if found and head.startswith(b"event: ") and b"\n" not in head and b"\n" not in data:
        return Event(head[7:], data)
    name, told = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.removeprefix(b" ")
        elif field == b"data":
            told.append(value.removeprefix(b" "))
    return Event(name, b"\n".join(told))
