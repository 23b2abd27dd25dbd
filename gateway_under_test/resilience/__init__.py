"""The patterns: each decides in plain functions over values; where one waits, a thin shell does."""
