"""The `loadtests` command and `python -m loadtests`: each ending has its exit code, from the first moment on."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from loadtests.errors import CannotRun, Interrupted, LoadtestsError
from loadtests.telling import annotations


def main() -> None:
    """Run the command line; the handlers stand before the imports, which take a moment.

    While they run nothing has been started, so a signal just ends us: an exception raised inside an import
    may be lost there.
    """
    _handle(_leave)
    try:
        from loadtests.cli import app

        _handle(_interrupt)
        app(standalone_mode=True)
    except (LoadtestsError, Interrupted) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(f"loadtests: {error}", file=sys.stderr, flush=True)
        if isinstance(error, CannotRun) and os.environ.get("GITHUB_ACTIONS") == "true":
            print(annotations.could_not_run(str(error), getattr(error, "where", "")), file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        print(f"loadtests: {error.name} is not installed; type: pip install 'mockclaude[all]'", file=sys.stderr)
        sys.exit(CannotRun.exit_code)
    except Exception:  # a mistake of ours is no failed gate
        traceback.print_exc()
        sys.exit(CannotRun.exit_code)


def _handle(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, f"loadtests: interrupted by {signal.Signals(number).name}\n".encode())
    os._exit(Interrupted.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once is enough: the programs are being stopped. But what is raised inside a finalizer is lost, so it is raised
    again until the clean-up has begun (`stack.stop`) or main has it."""
    _handle(signal.SIG_IGN)
    told = f"interrupted by {signal.Signals(number).name}; every program it started is stopped"

    def again(alarm: int, frame: FrameType | None) -> None:
        raise Interrupted(told)

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
    raise Interrupted(told)


if __name__ == "__main__":
    main()
