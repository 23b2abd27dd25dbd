"""The `loadtests` command and `python -m loadtests`: each ending has its exit code, from the first moment on."""

import signal
import sys
import traceback
from types import FrameType

from loadtests.errors import CannotRun, Interrupted, LoadtestsError


def main() -> None:
    """Run the command line; the handlers stand before the imports, which take a moment."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from loadtests.cli import app

        app(standalone_mode=True)
    except (LoadtestsError, Interrupted) as error:
        print(f"loadtests: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        print(f"loadtests: {error.name} is not installed; type: pip install 'mockclaude[all]'", file=sys.stderr)
        sys.exit(CannotRun.exit_code)
    except Exception:  # a mistake of ours is no failed gate
        traceback.print_exc()
        sys.exit(CannotRun.exit_code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # once is enough: the programs are being stopped
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(f"interrupted by {signal.Signals(number).name}; every program it started is stopped")


if __name__ == "__main__":
    main()
