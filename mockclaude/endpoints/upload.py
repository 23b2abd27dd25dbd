"""A file on its way in: the parts of a multipart form as they come, counted and not kept."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from mockclaude.wire import ApiError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONGEST_FIELD = 1024
UNKNOWN = "application/octet-stream"


class Form(NamedTuple):
    """What a form said: the file's name, type and size in bytes, and the other fields."""

    name: str
    mime_type: str
    size: int
    fields: dict[str, str]


class Upload:
    """Reads a form piece by piece; what is wrong with it is said at the end, when its sender can hear it."""

    def __init__(self, content_type: str) -> None:
        self._name = b""
        self._value = b""
        self._part: dict[bytes, bytes] = {}
        self._mime_type = ""
        self._size = 0
        self._text = bytearray()
        self._fields: dict[str, str] = {}
        self._file: tuple[str, str] | None = None
        self._problem: FormParserError | None = None
        self._parser: MultipartParser | None = None
        kind, options = parse_options_header(content_type)
        if kind == b"multipart/form-data" and options.get(b"boundary"):
            with self._noting_problems():
                self._parser = MultipartParser(options[b"boundary"], self._callbacks())

    def feed(self, data: bytes) -> None:
        """Take in some more."""
        if self._parser is not None and self._problem is None:
            with self._noting_problems():
                self._parser.write(data)

    def finish(self) -> Form:
        """The form, now that all of it is here. Raises a 400 for what is no form, or has no part called `file`."""
        if self._parser is not None and self._problem is None:
            with self._noting_problems():
                self._parser.finalize()
        if self._problem is not None:  # [C]
            raise ApiError(400, f"The request body is not valid multipart/form-data: {self._problem}")
        if self._file is None:
            raise ApiError(400, "file: Field required")
        return Form(*self._file, self._size, self._fields)

    @contextlib.contextmanager
    def _noting_problems(self) -> Iterator[None]:
        try:
            yield
        except FormParserError as error:
            self._problem = error

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._take_header,
            "on_part_data": self._take_data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._name, self._value, self._part, self._mime_type = b"", b"", {}, ""
        self._text.clear()

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _take_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, self._part = parse_options_header(self._value)
        elif self._name.lower() == b"content-type":
            self._mime_type = self._value.decode("latin-1").strip()
        self._name, self._value = b"", b""

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file():
            self._size += end - start
        elif len(self._text) < LONGEST_FIELD:
            self._text += data[start:end]

    def _end(self) -> None:
        if self._is_file():
            name = self._part.get(b"filename", b"").decode("utf-8", "replace")
            self._file = name, self._mime_type or mimetypes.guess_type(name)[0] or UNKNOWN
            return
        field = self._part.get(b"name", b"").decode("utf-8", "replace")
        if len(self._fields) < LONGEST_FIELD:
            self._fields[field] = self._text[:LONGEST_FIELD].decode("utf-8", "replace")

    def _is_file(self) -> bool:
        """The part called `file`; only the first one counts."""
        return self._part.get(b"name") == b"file" and self._file is None
