"""The generator measures what is known, by the way it is going to measure the gateway, before it sends any load."""

import time

from gevent.pool import Group

from loadtests.protocol.errand import Errand
from loadtests.sample import Sample
from loadtests.schedule.load import Arrival, Ask, Load
from loadtests.sending import caller, known
from loadtests.sending.known import Off
from loadtests.sending.metronome import PATIENCE, Metronome


def measure() -> Off:
    """Ten streams at once, of which every moment is known: how far off the measured medians are."""
    metronome = Metronome()
    http = caller.connect(metronome.url)
    load = Load(user="stream", rate=1, patience=PATIENCE)
    samples: list[Sample] = []

    def read(name: str) -> None:
        now = time.monotonic()
        errand = Errand(Arrival(now, name, Ask(("known",), "claude-haiku-4-5", known.TEXTS)), load, "k", now)
        caller.pursue(http, errand, time.monotonic)
        samples.append(errand.sample())

    readers = Group()
    for number in range(known.STREAMS):
        readers.spawn(read, f"known-{number}")
    readers.join()
    http.close()
    try:
        metronome.wait()
    except OSError:
        return Off()  # not all of them reached it
    return known.off(samples, metronome.sent)
