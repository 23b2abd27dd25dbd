"""Vulnerability maps: where in a plane of two settings a system falls over and stays down."""
