"""`python -m mockclaude`: the same as the `mockclaude` command."""

from mockclaude import cli

if __name__ == "__main__":
    cli.main()
