"""Rehearse an overload of Claude: open-loop load, truthful measurement, scenarios with predictions, a verdict."""
