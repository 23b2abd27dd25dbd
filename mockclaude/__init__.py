"""A fake Anthropic Messages API whose overload is a consequence of load."""

__version__ = "0.1.0"
