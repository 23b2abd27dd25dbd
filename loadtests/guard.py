"""Where load may go. Loopback always; elsewhere only when asked for; the paid API only when asked for by its price."""

import ipaddress
from urllib.parse import urlsplit

from loadtests.errors import CannotRun

PAID = "anthropic.com"


def check(url: str, *, allow_remote: bool, i_will_pay: bool) -> str:
    """`url` without its trailing slash, when load may go there. Raises CannotRun: a bad URL, or a refusal."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    if parts.scheme not in ("http", "https") or not host:
        raise CannotRun(f'target: got "{url}", expected a URL such as http://127.0.0.1:8200')
    if (host == PAID or host.endswith(f".{PAID}")) and not i_will_pay:
        raise CannotRun(f"target: {host} costs money for every request; point at the mock, or add --i-will-pay")
    if not (is_loopback(host) or allow_remote or i_will_pay):
        raise CannotRun(f"target: {host} is not this machine; add --allow-remote if you may load it")
    return url.rstrip("/")


def is_loopback(host: str) -> bool:
    """By its name or number alone: nothing is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
