"""How a run is told: in the terminal, as a page, and in a pipeline's own formats."""
