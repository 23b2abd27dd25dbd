"""The benchmark of the generator: what it measures beside the truth, and what that costs it."""
