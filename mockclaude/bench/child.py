"""How a process that is measured begins: on one core, with room for its sockets, and without the caller's settings."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Callable, Mapping

SETTINGS = ("ANTHROPIC_", "BENCH_", "GATEWAY_", "LOADTESTS_", "LOCUST_", "MOCKCLAUDE_")
"""How the variables begin that would make another program of what is measured."""
ALONE = ("VALID_API_KEYS",)
PROXIES = ("ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "WS_PROXY", "WSS_PROXY")
"""In small letters as well."""


def environment(around: Mapping[str, str], *added: Mapping[str, str]) -> dict[str, str]:
    """What is around, without anything that changes what is measured; and what it needs."""
    kept = {
        name: value
        for name, value in around.items()
        if not name.startswith(SETTINGS) and name not in ALONE and name.upper() not in PROXIES
    }
    for more in added:
        kept |= more
    return kept


def files() -> float:
    """How many it may have open."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return math.inf if hard == resource.RLIM_INFINITY else hard


def pinned(core: int) -> Callable[[], None]:
    """What a child does before it becomes its program: a shell's limit of 1,024 files is not what is measured."""

    def begin() -> None:
        os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return begin
