"""Puts something else in the place of what makes a program fast; where that is no longer there, nothing is measured."""

import sys


def swap(owner, name, other):
    """`owner.name` is `other` from now on; ends where there is none, as nothing would be left out."""
    if not hasattr(owner, name):
        sys.exit(f"{getattr(owner, '__name__', type(owner).__name__)}: expected {name!r} there, to be left out")
    setattr(owner, name, other)
