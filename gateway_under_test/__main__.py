"""`python -m gateway_under_test`."""

from __future__ import annotations

import sys

from gateway_under_test import cli

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
