"""A run while it goes on: watched, called off, and changed by hand in the control room."""
