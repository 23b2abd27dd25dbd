"""The benchmark: what a mock costs, beside what others would cost, measured in one run."""
