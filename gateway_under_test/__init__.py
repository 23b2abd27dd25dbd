"""The reference gateway: a FastAPI backend in front of Claude, every production pattern behind a switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_under_test.app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> object:
    """Import the application on first use, so that `--check` needs neither fastapi nor anthropic (PEP 562)."""
    if name != "create_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gateway_under_test.app import create_app

    return create_app
