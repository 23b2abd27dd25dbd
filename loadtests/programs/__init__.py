"""The programs of a run: found, started, asked whether they are well, and ended."""
