"""The pytest plugin: a fake Claude for each test, all of them on one server.

pytest imports this in every run of whoever has mockclaude installed: nothing but pytest is imported until a test asks
for the fixture.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mockclaude.testing import MockClaude

NAME = "mockclaude"
KEY = "sk-ant-mockclaude"
HIDDEN = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE", "ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE")
"""Other credentials that Anthropic's clients look for: none of them may reach a test."""
AT_ONCE = {"ttft": {"p50": 0.0, "p95": 0.0}, "tokens_per_second": 1e6, "prefill": False}
"""The latency of a test that asks for no other."""
MARKER = (
    f"{NAME}(**sections): the fixture `{NAME}`, configured: capacity={{'slots': 1}}, "
    "faults=[{'name': 'status', 'code': 529}], seed=7, ..."
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the fixture come before whatever else a test names, and let its marker bring it along.

    In `def test(client, mockclaude)` the client must not be made in the real environment, and ask the real Claude.
    """
    if not isinstance(item, pytest.Function):
        return
    names, named = item.fixturenames, item._fixtureinfo.argnames
    if NAME in named or (NAME not in names and item.get_closest_marker(NAME)):
        others = [name for name in names if name != NAME]
        first = min((others.index(name) for name in named if name in others), default=len(others))
        names[:] = [*others[:first], NAME, *others[first:]]


@pytest.fixture(scope="session")
def _mockclaude_server() -> Iterator[MockClaude]:
    """One server for all tests of this process, on a free port: xdist's workers do not meet."""
    from mockclaude.testing import MockClaude

    with MockClaude() as mock:
        yield mock


@pytest.fixture
def mockclaude(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _mockclaude_server: MockClaude
) -> Iterator[MockClaude]:
    """A fake Claude as new, and an environment in which Anthropic's clients find it instead of the real one.

    Replies come at once unless `@pytest.mark.mockclaude(latency=...)` says otherwise. A client that is made when a
    module is imported does not see it.
    """
    mock = _mockclaude_server
    try:
        mock.begin(**{"latency": AT_ONCE, **_sections(request.node)})
    except (TypeError, ValueError) as error:
        said = f"@pytest.mark.{NAME} of {request.node.nodeid}: {error}"
        raise pytest.fail.Exception(said, pytrace=False) from None
    _aim(monkeypatch, mock.url)
    yield mock
    mock.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what the mock saw of the test."""
    report = yield
    mock = getattr(item, "funcargs", {}).get(NAME)
    if mock is not None and report.when == "call" and report.failed:
        from mockclaude import inbox, testing

        if isinstance(mock, testing.MockClaude):  # or whatever a fixture of the same name has made of it
            with contextlib.suppress(OSError):
                report.sections.append((f"{NAME}: attempts", inbox.told(mock.requests)))
    return report


def _sections(item: pytest.Item) -> dict[str, object]:
    """What the markers say; the one nearest to the test wins."""
    said: dict[str, object] = {}
    for marker in reversed(list(item.iter_markers(NAME))):
        if marker.args:
            raise ValueError(f"expected sections by their name, such as capacity={{...}}, got {marker.args[0]!r}")
        said |= marker.kwargs
    return said


def _aim(environment: pytest.MonkeyPatch, url: str) -> None:
    """Point Anthropic's clients at `url`, past any proxy."""
    environment.setenv("ANTHROPIC_BASE_URL", url)
    environment.setenv("ANTHROPIC_API_KEY", KEY)
    for name in HIDDEN:
        environment.delenv(name, raising=False)
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    if direct != "*":
        for name in ("no_proxy", "NO_PROXY"):
            environment.setenv(name, f"{direct},127.0.0.1" if direct else "127.0.0.1")
