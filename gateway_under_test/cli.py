"""The command line: serve the gateway, or check settings without starting it.

Exit codes: 0 stopped by SIGTERM or settings are fine, 2 could not run, 3 a start-up step failed, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway_under_test import listener, settings


def main(argv: Sequence[str]) -> int:
    """Run the command line `argv` and return the exit code."""
    options = _parser().parse_args(argv)
    if options.check is not None:
        return check(options.check)
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        signal.signal(number, _exit_with(code))  # before a server takes signals, and when it has finished
    try:
        return _serve(options)
    except (settings.SettingsError, listener.CannotListen) as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2


def _serve(options: argparse.Namespace) -> int:
    chosen = settings.Settings.load()
    chosen.require_keys()
    chosen = chosen.model_copy(update={"workers": options.workers or chosen.workers})
    socket = listener.adopt(options.fd) if options.fd is not None else listener.listen(options.host, options.port)
    # imported here, so that --check and a supervisor stay light
    if chosen.workers > 1 and not options.worker:
        from gateway_under_test import workers

        return workers.supervise(chosen, socket)
    from gateway_under_test import server

    return server.serve(chosen, socket, parent=sys.stdin.fileno() if options.worker else None)


def check(path: str) -> int:
    """Validate the JSON object of switches in the file `path` ("-": standard input); problems go to stdout as JSON."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        settings.check(json.loads(text))
    except settings.SettingsError as error:
        problems = [{"loc": list(problem.loc), "message": problem.message} for problem in error.problems]
    except (OSError, ValueError, RecursionError) as error:
        problems = [{"loc": [], "message": f"cannot read {path}: {error}"}]
    else:
        return 0
    print(json.dumps(problems))
    return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for everything else that keeps us from running."""
        self.exit(2, f"gateway: {message}; --help says what there is\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m gateway_under_test",
        description="A reference gateway in front of Claude. Settings come from GATEWAY_*, ANTHROPIC_BASE_URL, "
        "ANTHROPIC_API_KEY, VALID_API_KEYS and REDIS_URL.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument(
        "--port", type=_number(0, 65535), default=8200, help="port; 0 picks a free one (default %(default)s)"
    )
    parser.add_argument(
        "--workers", type=_number(1, 1000), help="processes on the one port (default GATEWAY_WORKERS, else 1)"
    )
    parser.add_argument("--fd", type=_number(0, 1_000_000), help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", metavar="FILE", help='validate a JSON object of settings ("-": stdin) and exit')
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f'got "{text}", expected a whole number from {least} to {most}')
        return int(text)

    return parse


def _exit_with(code: int) -> Callable[[int, FrameType | None], None]:
    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(code)

    return leave
