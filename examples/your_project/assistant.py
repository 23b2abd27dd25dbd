"""An assistant that never passes half an answer off as a whole one, nor lets its caller wait for ever."""

from collections.abc import Iterator
from typing import Self

import anthropic
import httpx2

MODEL = "claude-haiku-4-5"


class NoAnswer(Exception):
    """Claude did not answer, or not to the end."""


class Assistant:
    """Asks Claude; `patience` is the longest silence it bears, in seconds. Closes its connections when it is done."""

    def __init__(self, patience: float = 10.0) -> None:
        self._claude = anthropic.Anthropic(timeout=patience, max_retries=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._claude.close()

    def answer(self, question: str) -> Iterator[str]:
        """The answer, piece by piece; raises `NoAnswer` where it breaks off."""
        said = [{"role": "user", "content": question}]
        try:
            with self._claude.messages.stream(model=MODEL, max_tokens=200, messages=said) as stream:
                yield from stream.text_stream
                whole = stream.get_final_message().stop_reason is not None
        except (anthropic.APIError, httpx2.TransportError) as error:
            raise NoAnswer(str(error)) from error
        if not whole:
            raise NoAnswer("the stream ended before the answer did")
