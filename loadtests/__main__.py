"""`python -m loadtests`: the same as the `loadtests` command."""

from loadtests.cli import main

main()
