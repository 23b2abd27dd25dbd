"""The load generator without one of the things that make it fast or true, to show what each is worth: a locustfile."""

import functools
import json
import os
import sys

from swap import swap

from loadtests.locustfile import *  # noqa: F403
from loadtests.protocol import reading
from loadtests.sending import dispatcher, garbage, line

WHAT = os.environ["BENCH_WITHOUT"]


def read_in_greenlet(sock, answer):
    """As gevent has it: a greenlet is woken for each token."""
    line.read_by_hand(sock, answer, line.BLOCK, lambda size: None)


if WHAT == "loop":
    swap(line, "read", read_in_greenlet)
elif WHAT == "timer":
    swap(dispatcher, "Alarm", functools.partial(dispatcher.Alarm, fine=False))
elif WHAT == "orjson":
    swap(reading, "orjson", json)
elif WHAT == "gc":
    swap(garbage, "settle", lambda: None)
elif WHAT == "stamp":
    swap(line, "stamp", lambda sock: None)
else:
    sys.exit(f"{WHAT}: expected loop, stamp, timer, orjson or gc")
