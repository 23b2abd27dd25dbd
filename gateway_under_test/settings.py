"""Every pattern's switch, and the two presets that set them all.

    switch                       naive   production   what it decides
    attempts                     3       3            total tries of one request, the first included
    backoff.base                 0.5     0.25         seconds before the first retry; doubles with each
    backoff.cap                  8       8            the longest backoff, seconds
    backoff.jitter               none    full         full: uniform between 0 and the backoff
    backoff.honour_retry_after   false   true         wait at least as long as Claude asks
    retry_budget                 none    0.1, 10      {ratio, burst}: retries earned per success, and saved at most
    concurrency                  none    100, 0.5     {limit, max_wait}: attempts at once, seconds in the queue
    deadline                     none    60           seconds for a request with all its attempts
    attempt_timeout              none    30           seconds for an attempt; for a stream, to its first text

Each is read from `GATEWAY_<SWITCH>`, nested ones as `GATEWAY_RETRY_BUDGET__RATIO`. A preset is the lowest priority
and is merged key by key under what is given; `none` or an empty value switches a pattern off.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "GATEWAY_"

Given = dict[str, Any]  # settings by name, sections nested

PRESETS: dict[str, Given] = {
    "naive": {
        "attempts": 3,
        "backoff": {"base": 0.5, "cap": 8.0, "jitter": "none", "honour_retry_after": False},
        "retry_budget": None,
        "concurrency": None,
        "deadline": None,
        "attempt_timeout": None,
    },
    "production": {
        "attempts": 3,
        "backoff": {"base": 0.25, "cap": 8.0, "jitter": "full", "honour_retry_after": True},
        "retry_budget": {"ratio": 0.1, "burst": 10.0},
        "concurrency": {"limit": 100, "max_wait": 0.5},
        "deadline": 60.0,
        "attempt_timeout": 30.0,
    },
}

Off = BeforeValidator(lambda value: None if value in ("none", "") else value)
Seconds = Annotated[float, Field(gt=0)]


class Problem(NamedTuple):
    """One thing wrong with the settings: where it is, and what was got and expected."""

    loc: tuple[str | int, ...]
    message: str


class SettingsError(ValueError):
    """The settings cannot be used; `problems` says why, one by one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_line(problem) for problem in self.problems))


class Section(BaseModel):
    """A pattern's own settings."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Backoff(Section):
    """How long to wait before a retry."""

    base: float = Field(0.25, ge=0)
    cap: float = Field(8.0, ge=0)
    jitter: Literal["none", "full"] = "full"
    honour_retry_after: bool = True


class RetryBudget(Section):
    """Retries are paid with what successes earn."""

    ratio: float = Field(0.1, ge=0)
    burst: float = Field(10.0, ge=0)


class Concurrency(Section):
    """Attempts in flight at once, and how long others may wait for a place."""

    limit: int = Field(100, ge=1)
    max_wait: float = Field(0.5, ge=0)


class Switches(BaseSettings):
    """What a scenario's variant may set."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    preset: Literal["naive", "production"] = "production"
    attempts: int = Field(ge=1)
    backoff: Backoff
    retry_budget: Annotated[RetryBudget | None, Off]
    concurrency: Annotated[Concurrency | None, Off]
    deadline: Annotated[Seconds | None, Off]
    attempt_timeout: Annotated[Seconds | None, Off]
    model: str = Field("claude-haiku-4-5", min_length=1)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given, then the preset: a variant must mean the same on every machine."""
        return init_settings, _Preset(settings_cls)


class Settings(Switches):
    """All of it: the switches, and where Claude is and who may ask."""

    anthropic_base_url: str = Field("https://api.anthropic.com", pattern=r"^https?://")
    anthropic_api_key: SecretStr | None = None
    valid_api_keys: tuple[SecretStr, ...] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then the environment, then the preset."""
        return init_settings, _Environment(settings_cls), _Preset(settings_cls)

    @classmethod
    def load(cls) -> Self:
        """Read the environment; raises SettingsError."""
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(_problems(error)) from None

    def require_keys(self) -> None:
        """Raise SettingsError if the gateway could serve nobody with these settings."""
        missing = []
        if self.anthropic_api_key is None:
            missing.append(Problem(("ANTHROPIC_API_KEY",), "is not set; expected the key to use with Claude"))
        if not self.valid_api_keys:
            text = "is not set; expected the callers' keys, separated by commas"
            missing.append(Problem(("VALID_API_KEYS",), text))
        if missing:
            raise SettingsError(missing)


def check(given: object) -> Switches:
    """A variant's switches, validated; raises SettingsError with the exact place of every problem."""
    if not isinstance(given, dict):
        raise SettingsError([Problem((), f"got {_shown(given)}, expected an object of settings")])
    try:
        return Switches(**given)
    except ValidationError as error:
        raise SettingsError(_problems(error)) from None


def from_environment(environ: Mapping[str, str]) -> Given:
    """The settings that `environ` gives, nested, values converted where they read as JSON."""
    given: Given = {}
    for name in sorted(environ):  # the shorter name first: a nested one refines it
        path = name.removeprefix(PREFIX).lower().split("__")
        if not name.startswith(PREFIX) or path[0] not in Switches.model_fields:
            continue
        at = given
        for part in path[:-1]:
            if not isinstance(at.get(part), dict):
                at[part] = {}
            at = at[part]
        at[path[-1]] = _value(environ[name])
    for name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
        if environ.get(name):
            given[name.lower()] = environ[name]
    if keys := tuple(key.strip() for key in environ.get("VALID_API_KEYS", "").split(",") if key.strip()):
        given["valid_api_keys"] = keys
    return given


def unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Names that look like ours but are not, each with the nearest one that is.

    A warning and not an error: Kubernetes sets GATEWAY_SERVICE_HOST and more for a service called "gateway".
    """
    names = [field.upper() for field in Switches.model_fields]
    roots = {name: name.removeprefix(PREFIX).split("__")[0] for name in sorted(environ) if name.startswith(PREFIX)}
    nearest = {name: _nearest(root, names) for name, root in roots.items() if root not in names}
    return {name: guess and PREFIX + guess for name, guess in nearest.items()}


class _Environment(PydanticBaseSettingsSource):
    """`GATEWAY_*` and the three names without a prefix."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        raise NotImplementedError  # the source is read as a whole

    def __call__(self) -> Given:
        return from_environment(os.environ)


class _Preset(PydanticBaseSettingsSource):
    """The preset that the sources before this one chose."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        raise NotImplementedError  # the source is read as a whole

    def __call__(self) -> Given:
        chosen = self.current_state.get("preset")
        # an unknown preset is reported once, by its own field
        return PRESETS[chosen] if isinstance(chosen, str) and chosen in PRESETS else PRESETS["production"]


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _problems(error: ValidationError) -> list[Problem]:
    return [
        Problem(problem["loc"], _message(problem["type"], problem["loc"], problem["input"], problem["msg"]))
        for problem in error.errors(include_url=False)
    ]


def _message(kind: str, loc: tuple[str | int, ...], got: object, expected: str) -> str:
    if kind == "extra_forbidden":
        section: type[BaseModel] = _SECTIONS.get(loc[:-1], Settings if len(loc) == 1 else Section)
        nearest = _nearest(str(loc[-1]), section.model_fields)
        guess = f'did you mean "{nearest}"?' if nearest else f"expected one of {', '.join(section.model_fields)}"
        return f"unknown setting; {guess}"
    expected = expected.removeprefix("Input should be ").removeprefix("a valid ")
    return f"got {_shown(got)}, expected {expected}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _nearest(word: str, words: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, list(words), n=1)), None)


def _line(problem: Problem) -> str:
    return f"{'.'.join(map(str, problem.loc)) or 'settings'}: {problem.message}"


_SECTIONS: dict[tuple[str | int, ...], type[BaseModel]] = {
    (): Switches,
    ("backoff",): Backoff,
    ("retry_budget",): RetryBudget,
    ("concurrency",): Concurrency,
}
