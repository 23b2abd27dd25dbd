"""Whether a request to a page on this machine comes from that page: by what its browser says in Host and Origin."""

from urllib.parse import urlsplit

OURS = ("127.0.0.1", "localhost", "::1")


def stranger(host: str, origin: str | None) -> str | None:
    """Why it does not; None when it does. A name that was bound to our address anew is no name of ours, and what is no
    browser sends no origin."""
    if urlsplit(f"//{host}").hostname not in OURS:
        return f"this page is at 127.0.0.1, not at {host}"
    if origin is not None and origin != f"http://{host}":
        return f"{origin} is another website"
    return None
