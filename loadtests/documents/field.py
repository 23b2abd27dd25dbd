"""What the sections of a scenario are made of: frozen fields, numbers within bounds, and shares."""

from collections.abc import Callable, Mapping
from typing import Annotated

import pydantic
from pydantic import Field

from loadtests.documents import document

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]

Shares = str | dict[str, float]
"""One word for all, or each word with its share of them: `{low: 0.25, normal: 0.75}`."""


class Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def shares(value: object, known: Callable[[str], bool], words: str) -> Shares:
    """`value` when it is a word that is `known`, or a mapping of such to shares that sum to 1. Raises ValueError."""
    if isinstance(value, str) and known(value):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"got {document.shown(value)}, expected {words}, or a mapping of such to shares")
    for word, share in value.items():
        if not isinstance(word, str) or not known(word):
            raise ValueError(f"got {document.shown(word)}, expected {words}")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise ValueError(f"got {document.shown(share)} for {word}, expected a share above 0 and up to 1")
    whole = sum(value.values())
    if abs(whole - 1) > 1e-6:
        raise ValueError(f"got shares that sum to {whole:g}, expected 1")
    return {word: float(share) for word, share in value.items()}
