"""What Claude refuses in an image: too large, none it can read, or another kind than it is said to be."""

from __future__ import annotations

import binascii

from mockclaude.tokens import Json
from mockclaude.wire import ApiError

LARGEST = 5 * 1024 * 1024
"""Characters of base64, not bytes of the picture: the sizes in captured refusals are multiples of four."""
MAGIC = {
    "image/png": (0, b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": (0, b"\xff\xd8\xff"),
    "image/gif": (0, b"GIF8"),
    "image/webp": (8, b"WEBP"),
}


def check(source: Json, place: str) -> None:
    """Refuse what Claude could not see; raises a 400. `place` is the path to the image."""
    if source["type"] != "base64":
        return
    data: str = source["data"]
    if len(data) > LARGEST:
        size = f"{len(data)} bytes > {LARGEST} bytes"
        raise ApiError(400, f"{place}.source.base64: image exceeds 5 MB maximum: {size}")
    said, seen = source["media_type"], _kind(data)
    if seen is None:
        raise ApiError(400, "Could not process image")
    if seen != said:
        what = f"specified using the {said} media type, but the image appears to be a {seen} image"
        raise ApiError(400, f"{place}.source.base64: The image was {what}")


def _kind(data: str) -> str | None:
    try:
        picture = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        return None
    return next((kind for kind, (at, magic) in MAGIC.items() if picture[at : at + len(magic)] == magic), None)
