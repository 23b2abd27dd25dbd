"""What sends the load and measures what comes back, each request at its time."""
