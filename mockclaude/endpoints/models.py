"""/v1/models: which models there are, and what each can do."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from mockclaude import catalog, wire
from mockclaude.draw import Draw
from mockclaude.endpoints import endpoint, paging, shape
from mockclaude.server import Server

USUAL = ("active", "deprecated")
EPOCH = "1970-01-01"
"""The day of release of a model for which none is known, as Claude says it."""


class _Query(paging.Between):
    lifecycle: list[Literal["active", "deprecated", "retired"]] = Field([], max_length=3)


@endpoint.answers
async def listed(request: Request, server: Server, draw: Draw) -> Response:
    """GET: newest first; retired ones only when `lifecycle[]` asks for them."""
    params = request.query_params
    asked = params.getlist("lifecycle[]") + params.getlist("lifecycle")
    query = shape.read(_Query, dict(params) | {"lifecycle": asked})
    chosen = [model for model in catalog.listed() if _shown(model, server, query)]
    part = paging.between(chosen, query)
    return endpoint.document(paging.with_ids(part, [described(model) for model in part.items]))


def _shown(model: catalog.Model, server: Server, query: _Query) -> bool:
    return model.lifecycle in (query.lifecycle or USUAL) and server.door.models.find(model.id) is not None


@endpoint.answers
async def retrieve(request: Request, server: Server, draw: Draw) -> Response:
    """GET one, by its id or an alias."""
    name = request.path_params["model_id"]
    model = server.door.models.find(name)
    if model is None:
        raise wire.ApiError(404, f"model: {name}")
    return endpoint.document(described(model))


def described(model: catalog.Model) -> dict[str, object]:
    """A model as Claude shows it."""
    deprecated, retires = model.retirement or (None, None)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.display_name,
        "created_at": _midnight(model.released or EPOCH),
        "max_input_tokens": model.context,
        "max_tokens": model.longest_reply,
        "capabilities": _capabilities(model),
        "lifecycle": model.lifecycle,
        "line": model.family,
        "deprecated_at": _midnight(deprecated),
        "retires_at": _midnight(retires),
    }


def _capabilities(model: catalog.Model) -> dict[str, object]:
    """What it supports, in Claude's key order [B]; `server_tools` and two thinking types are newer [A]."""
    efforts = {level: _support(level in model.efforts) for level in ("high", "low", "max", "medium")}
    return {
        "batch": _support(True),
        "citations": _support(True),
        "code_execution": _support(model.calls_tools_from_code),
        "context_management": {
            "clear_thinking_20251015": _support(model.version >= (4, 0)),
            "clear_tool_uses_20250919": _support(model.version >= (4, 0)),
            "compact_20260112": _support(model.compacts),
            "supported": model.version >= (4, 0),
        },
        "effort": {**efforts, "supported": bool(model.efforts), "xhigh": _support("xhigh" in model.efforts)},
        "image_input": _support(True),
        "pdf_input": _support(model.version >= (3, 5)),
        "server_tools": {
            "code_execution": _support(model.version >= (3, 5)),
            "supported": model.version >= (3, 5),
            "web_search": _support(model.version >= (3, 5)),
        },
        "structured_outputs": _support(model.keeps_to_a_schema),
        "thinking": _thinking(model),
    }


def _thinking(model: catalog.Model) -> dict[str, object]:
    """`disabled` is taken by a model that cannot think at all, too."""
    return {
        "supported": model.thinks_adaptively or model.thinks_on_a_budget,
        "types": {
            "adaptive": _support(model.thinks_adaptively),
            "between_tools": _support(model.thinks_between_tools),
            "disabled": _support(not model.always_thinks),
            "enabled": _support(model.thinks_on_a_budget),
        },
    }


def _support(supported: bool) -> dict[str, bool]:
    return {"supported": supported}


def _midnight(day: str | None) -> str | None:
    return None if day is None else f"{day}T00:00:00Z"
