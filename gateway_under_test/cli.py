"""The command line: serve the gateway, or check settings without starting it.

Exit codes: 0 stopped by SIGTERM or settings are fine, 2 could not run, 3 a start-up step failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway_under_test import settings


def main(argv: Sequence[str]) -> int:
    """Run the command line `argv` and return the exit code."""
    options = _parser().parse_args(argv)
    if options.check is not None:
        return check(options.check)
    try:
        chosen = settings.Settings.load()
        chosen.require_keys()
    except settings.SettingsError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    from gateway_under_test import server  # here, so that --check stays light

    try:
        listener = server.adopt(options.fd) if options.fd is not None else server.listen(options.host, options.port)
    except OSError as error:
        where = f"fd {options.fd}" if options.fd is not None else f"{options.host}:{options.port}"
        print(
            f"gateway: cannot listen on {where}: {error.strerror or error}; --port 0 picks a free one", file=sys.stderr
        )
        return 2
    return server.serve(chosen, listener)


def check(path: str) -> int:
    """Validate the JSON object of switches in the file `path` ("-": standard input); problems go to stdout as JSON."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        settings.check(json.loads(text))
    except settings.SettingsError as error:
        problems = [{"loc": list(problem.loc), "message": problem.message} for problem in error.problems]
    except (OSError, ValueError) as error:
        problems = [{"loc": [], "message": f"cannot read {path}: {error}"}]
    else:
        return 0
    print(json.dumps(problems))
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway_under_test",
        description="A reference gateway in front of Claude. Settings come from GATEWAY_*, ANTHROPIC_BASE_URL, "
        "ANTHROPIC_API_KEY and VALID_API_KEYS.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8200, help="port; 0 picks a free one (default %(default)s)")
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--check", metavar="FILE", help='validate a JSON object of settings ("-": stdin) and exit')
    return parser
