"""Where requests may be sent: loopback always; elsewhere only when asked for; the paid API only by its price."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

PAID = "anthropic.com"


class Refused(ValueError):
    """A URL that requests must not be sent to."""


def check(url: str, *, allow_remote: bool, i_will_pay: bool) -> str:
    """`url` without its trailing slash, when requests may go there. Raises Refused: a bad URL, or a refusal."""
    host = _host(url)
    if (host == PAID or host.endswith(f".{PAID}")) and not i_will_pay:
        raise Refused(f"{host} costs money for every request; point at the mock, or add --i-will-pay")
    if not (is_loopback(host) or allow_remote or i_will_pay):
        raise Refused(f"{host} is not this machine; add --allow-remote if you may send requests there")
    return url.rstrip("/")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
        odd = parts.query or parts.fragment or parts.port == 0
    except ValueError:
        host, odd = "", True
    if odd or not host or parts.scheme not in ("http", "https"):
        raise Refused(f'got "{url}", expected a URL such as http://127.0.0.1:8100')
    if "@" in parts.netloc:
        raise Refused("a URL with a user or a password in it; the caller's own headers carry the key")
    return host


def is_loopback(host: str) -> bool:
    """By its name or number alone: nothing is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
