"""What can end a rehearsal before its verdict, and the exit code each ending has.

LoadtestsError
├── CannotRun (2)         bad scenario, bad option, a program that does not start, a refused target
│   └── ScenarioError     one problem in a scenario, with the place it stands at
└── InvalidRun (3)        it ran, but its numbers cannot be trusted

Interrupted (130)         Ctrl-C or a signal: a BaseException, so that no library on the way takes it for its own
"""

EXIT_PASS = 0
EXIT_FAIL = 1


class LoadtestsError(Exception):
    exit_code = 2


class CannotRun(LoadtestsError):
    exit_code = 2


class ScenarioError(CannotRun):
    """`where` is `file:line` or the `--set` that is wrong; the message says what was got and what was expected."""

    def __init__(self, where: str, message: str) -> None:
        self.where = where
        super().__init__(f"{where}: {message}")


class InvalidRun(LoadtestsError):
    exit_code = 3


class Interrupted(BaseException):
    exit_code = 130
