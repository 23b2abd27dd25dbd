"""Who sends the load: one process, or a master with workers from here or elsewhere."""

import pytest

from loadtests.errors import CannotRun, InvalidRun
from loadtests.programs import crew
from loadtests.programs.crew import ALONE, Crew
from loadtests.schedule.load import Load


def test_without_workers_one_process_sends_all():
    assert Crew.of(None, master=False, remote=False) == ALONE
    assert (list(ALONE.names_here()), list(ALONE.leading())) == ([], [])


def test_workers_of_this_machine_are_started_here_and_keep_to_it():
    found = Crew.of(2, master=False, remote=True)

    assert found.names_here() == ["load worker 1", "load worker 2"]
    assert found.host == "127.0.0.1"
    assert list(found.leading())[-2:] == ["--expect-workers", "2"]
    assert list(found.following())[-1] == str(found.port) != "0"


@pytest.mark.parametrize(("remote", "host"), [(False, "127.0.0.1"), (True, "0.0.0.0")])
def test_a_master_waits_for_workers_from_elsewhere_as_far_away_as_is_allowed(remote: bool, host: str):
    found = Crew.of(None, master=True, remote=remote)

    assert (found.names_here(), found.workers, found.host) == ([], 1, host)
    assert f":{found.port}" in found.invitation()


@pytest.mark.parametrize(
    ("text", "found"), [("load.lan", ("load.lan", 5557)), ("10.0.0.1:7000", ("10.0.0.1", 7000))], ids=["host", "port"]
)
def test_an_address_is_a_host_and_maybe_a_port(text: str, found: tuple[str, int]):
    assert crew.address(text) == found


@pytest.mark.parametrize("text", ["", ":5557", "host:", "host:http"])
def test_what_is_no_address_says_what_was_expected(text: str):
    with pytest.raises(CannotRun, match="expected the master's HOST or HOST:PORT"):
        crew.address(text)


def test_callers_who_share_a_load_are_one_for_each_worker_at_least():
    crew = Crew.of(3, master=False, remote=False)

    crew.demand([Load(user="chat", rate=5), Load(user="chat", rate=5, users=3), Load(user="chat", users=1)])

    with pytest.raises(CannotRun, match=r"--workers 3: load\.users is 2, expected one for each at least"):
        crew.demand([Load(user="chat", rate=5, users=2)])


def test_workers_of_the_masters_own_version_may_join():
    crew.demand_the_same(
        [{"name": "load worker 1", "version": "1.2"}, {"name": "load worker 2", "version": "1.2"}], "1.2"
    )


def test_a_worker_of_another_version_is_named_with_it():
    joined = [
        {"name": "load worker 1", "version": "1.2"},
        {"name": "load worker 2", "version": "1.1"},
        {"name": "load worker 3"},
    ]

    with pytest.raises(InvalidRun) as caught:
        crew.demand_the_same(joined, "1.2")

    told = "the load worker 2 is 1.1, the load worker 3 is older; expected mockclaude 1.2 as here: install it there"
    assert str(caught.value) == told
