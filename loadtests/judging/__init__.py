"""From the rows of a run to its figures, and from the figures to a verdict."""
