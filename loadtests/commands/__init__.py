"""What the `loadtests` command can do, a file for each kind of thing."""
