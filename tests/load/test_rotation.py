"""A load balancer in miniature."""

import pytest

from loadtests.protocol import rotation
from loadtests.protocol.rotation import Rotation
from loadtests.schedule.load import Probe


def states(probe: Probe, seen: str) -> str:
    """After each probe, well (+) or not (-): in rotation (I) or out (O)."""
    watched = Rotation(probe)
    told = ""
    for each in seen:
        watched.seen(each == "+")
        told += "I" if watched.healthy else "O"
    return told


@pytest.mark.parametrize(
    ("unhealthy_after", "healthy_after", "seen", "told"),
    [
        pytest.param(3, 1, "++++", "IIII", id="well"),
        pytest.param(3, 1, "+---", "IIIO", id="three in a row"),
        pytest.param(3, 1, "--+--+---", "IIIIIIIIO", id="a success in between begins the row anew"),
        pytest.param(1, 2, "-+-++", "OOOOI", id="in again only after two"),
        pytest.param(2, 1, "--+-+--", "IOIIIIO", id="out, in and out"),
    ],
)
def test_the_state_changes_after_so_many_in_a_row(unhealthy_after: int, healthy_after: int, seen: str, told: str):
    probe = Probe(path="/health", unhealthy_after=unhealthy_after, healthy_after=healthy_after)

    assert states(probe, seen) == told


def test_only_the_probe_that_changes_the_state_says_so():
    watched = Rotation(Probe(path="/health", unhealthy_after=2))

    assert [watched.seen(well) for well in (True, False, False, False, True)] == [False, False, True, False, True]


def test_a_probe_has_a_name_of_no_request():
    assert rotation.name_of("naive", 7, 3) == "probe-naive-7-000003"


@pytest.mark.parametrize(("status", "well"), [(200, True), (204, True), (301, False), (429, False), (503, False)])
def test_a_status_of_200_and_its_kin_is_well(status: int, well: bool):
    assert rotation.is_well(status) is well
