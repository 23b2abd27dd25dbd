"""Where the settings come from: given in code, the environment, a preset; and what is said of wrong ones.

A switch is read from `GATEWAY_<SWITCH>`, nested ones as `GATEWAY_RETRY_BUDGET__RATIO`. A preset is the lowest priority
and is merged key by key under what is given; `none` or an empty value switches a pattern off.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

from pydantic import BaseModel, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway_under_test.switches import PRESETS, SECTIONS, Given, Section, Switched

if TYPE_CHECKING:
    from gateway_under_test import logs

PREFIX = "GATEWAY_"
UNPREFIXED = ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "REDIS_URL", "VALID_API_KEYS_FILE")
"""Names that other programs use too."""


class Problem(NamedTuple):
    """One thing wrong with the settings: where it is, and what was got and expected."""

    loc: tuple[str | int, ...]
    message: str


class SettingsError(ValueError):
    """The settings cannot be used; `problems` says why, one by one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_line(problem) for problem in self.problems))


class Switches(Switched, BaseSettings):
    """What a scenario's variant may set."""

    model_config = SettingsConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

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
    valid_api_keys_file: str | None = None
    redis_url: str | None = Field(None, pattern=r"^(rediss?|unix)://")
    prompts: str | None = None
    task_ttl: float = Field(3600.0, gt=0)
    workers: int = Field(1, ge=1)

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
        if not self.valid_api_keys and not self.valid_api_keys_file:
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
        if not name.startswith(PREFIX) or path[0] not in PREFIXED:
            continue
        at = given
        for part in path[:-1]:
            if not isinstance(at.get(part), dict):
                at[part] = {}
            at = at[part]
        at[path[-1]] = _value(environ[name])
    for name in UNPREFIXED:
        if environ.get(name):
            given[name.lower()] = environ[name]
    if keys := tuple(key.strip() for key in environ.get("VALID_API_KEYS", "").split(",") if key.strip()):
        given["valid_api_keys"] = keys
    return given


def unknown(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Names that look like ours but are not, each with the nearest one that is.

    A warning and not an error: Kubernetes sets GATEWAY_SERVICE_HOST and more for a service called "gateway".
    """
    names = [field.upper() for field in PREFIXED]
    roots = {name: name.removeprefix(PREFIX).split("__")[0] for name in sorted(environ) if name.startswith(PREFIX)}
    nearest = {name: _nearest(root, names) for name, root in roots.items() if root not in names}
    return {name: guess and PREFIX + guess for name, guess in nearest.items()}


def warn_of_strangers(log: logs.Log) -> None:
    """A name in the environment that looks like one of our settings but is not is worth a warning."""
    for name, nearest in unknown(os.environ).items():
        log.warning("unknown_setting", name=name, did_you_mean=nearest)


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


PREFIXED = [name for name in Settings.model_fields if name.upper() not in (*UNPREFIXED, "VALID_API_KEYS")]
_SECTIONS: dict[tuple[str | int, ...], type[BaseModel]] = {(): Switches, **SECTIONS}
