"""A team's own endpoint: how it is asked, and where the text, the end and the tokens stand in what it answers.

    endpoint:
      path: /api/ask
      body: {question: "{text}", model: "{model}", limit: "{max_tokens}"}
      text: answer.text               # in a JSON answer, and in the data of an event of a stream
      done: {event: end}              # or {data: "[DONE]"}, or {path: state, is: finished}
      usage: {input: usage.prompt, output: usage.completion}
      error: {event: failed, type: error.kind}

A path is names and list indexes with dots between; `.` is the whole. In the body's texts `{text}`, `{model}`,
`{max_tokens}`, `{system}` and `{id}` are replaced; one that stands alone keeps its type.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

import pydantic
from pydantic import Field

from loadtests.documents.field import Section
from loadtests.protocol.reading import Dialect, Json, Said, count_of, json_of, size_of
from loadtests.schedule.load import Ask

Outcome = Literal["shed", "throttled", "overloaded", "rejected", "failed"]
HERE = "."
PLACE = re.compile(r"\{(\w+)\}")
END = "done"


class Mark(Section):
    """One event among others: by its name, by its data, or by what stands at a path in its data (anything but false and
    nothing, unless `is` says what)."""

    event: str | None = None
    data: str | None = None
    path: str | None = None
    wanted: str | int | float | bool | None = Field(None, alias="is")

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> "Mark":
        if self.event is None and self.data is None and self.path is None:
            raise ValueError('expected at least one of "event", "data", "path"')
        if self.wanted is not None and self.path is None:
            raise ValueError('"is" needs "path"')
        return self

    def marks(self, name: str, data: bytes, body: Any) -> bool:
        if self.event is not None and name != self.event:
            return False
        if self.data is not None and data.decode("utf-8", "replace") != self.data:
            return False
        if self.path is None:
            return True
        found = at(body, self.path)
        return bool(found) if self.wanted is None else found == self.wanted


class Usage(Section):
    """Where the numbers of tokens stand."""

    input: str | None = None
    output: str | None = None


class Failure(Mark):
    """An event, or a JSON answer, that says that it failed; `type`: where its kind of error stands, if it has one, and
    `outcomes`: what such a kind is called here."""

    type: str | None = None
    outcomes: dict[str, Outcome] = Field(default_factory=dict)


class Endpoint(Section):
    method: Literal["POST", "PUT", "GET"] = "POST"
    path: str = Field(pattern="^/")
    body: dict[str, Any] = Field(default_factory=dict)
    text: str
    event: str | None = None
    done: Mark | None = None
    usage: Usage = Usage()
    error: Failure | None = None

    @property
    def dialect(self) -> Dialect:
        return Dialect(self._whole, self._event, frozenset({END}))

    def asked(self, ask: Ask, request_id: str) -> Json:
        """The body of a request."""
        words = {
            "text": ask.texts[0],
            "model": ask.model,
            "max_tokens": ask.max_tokens,
            "system": ask.system or "",
            "id": request_id,
        }
        filled: Json = _filled(self.body, words)
        return filled

    def _whole(self, body: Json) -> Said:
        if self.error is not None and self.error.event is None and self.error.marks("", b"", body):
            return self._failed(body)
        if not isinstance(at(body, self.text), str):
            return Said(error=f"a 200 without {self.text}")
        return self._used(body)

    def _event(self, name: str, data: bytes) -> Said:
        body = data.decode("utf-8", "replace") if self.text == HERE else json_of(data)
        if self.error is not None and self.error.marks(name, data, body):
            return self._failed(body)
        said = self._used(body)
        if self.done is not None and self.done.marks(name, data, body):
            said = said._replace(mark=END)
        text = at(body, self.text) if self.event in (None, name) else None
        if said.mark is None or self.text != HERE:
            said = said._replace(delta=isinstance(text, str) and bool(text), text=size_of(text))
        return said

    def _used(self, body: Any) -> Said:
        given, made = (at(body, path) if path else None for path in (self.usage.input, self.usage.output))
        return Said(
            input_tokens=None if given is None else count_of(given),
            output_tokens=None if made is None else count_of(made),
        )

    def _failed(self, body: Any) -> Said:
        kind = at(body, self.error.type) if self.error is not None and self.error.type else None
        return Said(error=self.error.outcomes.get(kind, kind) if self.error and isinstance(kind, str) else "unknown")


def at(body: Any, path: str) -> Any:
    """What stands at a path; None where there is nothing."""
    if path == HERE:
        return body
    for step in path.split("."):
        if isinstance(body, Mapping):
            body = body.get(step)
        elif isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        else:
            return None
    return body


def _filled(template: Any, words: Mapping[str, Any]) -> Any:
    if isinstance(template, Mapping):
        return {name: _filled(value, words) for name, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, words) for value in template]
    if not isinstance(template, str):
        return template
    alone = PLACE.fullmatch(template)
    if alone and alone[1] in words:
        return words[alone[1]]
    return PLACE.sub(lambda found: str(words.get(found[1], found[0])), template)
