"""Replies of a real Claude: recorded through a proxy, redacted, replayed, and fitted to a latency profile."""
