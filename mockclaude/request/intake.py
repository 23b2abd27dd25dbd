"""A request body as it comes in: decompressed on the way, and never more of it kept than Claude takes.

What has grown too large is let go at once, but read on to its end: a client that is cut off while it sends never sees
the 413.
"""

from __future__ import annotations

import zlib

from mockclaude.wire import ApiError

LIMIT = 32 * 1024 * 1024
"""Bytes of a body, before and after decoding."""
STEP = 1024 * 1024
ZLIB, GZIP, RAW = 15, 31, -15


class Intake:
    """Takes a body part by part. `encoding` is the `content-encoding`: gzip, deflate, or none."""

    def __init__(self, encoding: str = "", limit: int = LIMIT) -> None:
        self._encoding = encoding.strip().lower().removeprefix("x-")
        self._limit = limit
        self._kept: bytes | bytearray = b""
        self._came = 0
        self._decoder: zlib._Decompress | None = None
        self._error: ApiError | None = None
        if self._encoding not in ("", "identity", "gzip", "deflate"):
            self._fail(400, "request_body_encoding_unsupported", f"content-encoding '{encoding}' is not supported")

    def take(self, part: bytes) -> None:
        """The next part."""
        self._came += len(part)
        if self._came > self._limit:
            self._kept = b""
        elif self._error is None:
            try:
                self._decode(part)
            except zlib.error as error:
                self._invalid(str(error))

    def body(self) -> bytes | bytearray:
        """All of it, decoded; raises a 400 or 413."""
        if self._came > self._limit:
            raise ApiError(413)
        if self._decoder is not None:
            self._keep(self._decoder.flush())
            if not self._decoder.eof:
                self._invalid("it is cut off")
        if self._error is not None:
            raise self._error.again()
        return self._kept

    def _decode(self, part: bytes) -> None:
        if self._encoding in ("", "identity"):
            self._keep(part)
            return
        while part and self._error is None:
            if self._decoder is None:
                self._decoder = zlib.decompressobj(self._window(part))
            if self._decoder.eof:
                self._invalid("something follows it")
                return
            made = self._decoder.decompress(part, STEP)
            part = self._decoder.unconsumed_tail or self._decoder.unused_data
            self._keep(made)

    def _window(self, part: bytes) -> int:
        """`deflate` means zlib's format [RFC 9110], but some send the bare stream."""
        if self._encoding == "gzip":
            return GZIP
        return ZLIB if part[0] & 0x0F == 8 else RAW

    def _keep(self, made: bytes) -> None:
        if isinstance(self._kept, bytearray):
            self._kept += made
        else:  # most bodies come in one part
            self._kept = bytearray(self._kept + made) if self._kept else made
        if len(self._kept) > self._limit:
            self._fail(413, "request_body_too_large_after_decoding", "Request exceeds the maximum size after decoding")

    def _invalid(self, why: str) -> None:
        self._fail(400, "request_body_encoding_invalid", f"the request body is not valid {self._encoding}: {why}")

    def _fail(self, status: int, code: str, message: str) -> None:
        """These three have known codes, but no known texts [C]."""
        self._kept = b""
        self._decoder = None
        self._error = ApiError(status, message, details={"error_code": code})
