"""What the `mockclaude` command can do, a file for each kind of thing."""
