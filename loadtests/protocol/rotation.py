"""Whether a load balancer would still send anybody to the gateway, by what its probes of it came to."""

from loadtests.schedule.load import Probe

PREFIX = "probe-"
"""Of the request ids of probes, which are of no cohort."""


class Rotation:
    """In rotation at first; out after `unhealthy_after` failures in a row, in again after `healthy_after` successes."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.healthy = True
        self._against = 0

    @property
    def state(self) -> str:
        return "healthy" if self.healthy else "unhealthy"

    def seen(self, well: bool) -> bool:
        """Count one probe. True when it changed the state."""
        if well is self.healthy:
            self._against = 0
            return False
        self._against += 1
        if self._against < (self.probe.unhealthy_after if self.healthy else self.probe.healthy_after):
            return False
        self.healthy, self._against = well, 0
        return True


def is_well(status: int) -> bool:
    return 200 <= status < 300


def name_of(variant: str, seed: int, number: int) -> str:
    return f"{PREFIX}{variant}-{seed}-{number:06d}"
