"""Server and reader are pinned to cores, not to two threads of one."""

import pytest

from mockclaude.bench import cpus, markdown, report
from mockclaude.bench.cpus import Pair


def neighbours(cpu):
    """CPUs 0 and 1 are a core, 2 and 3 the next."""
    return {cpu, cpu ^ 1}


def halves(cpu):
    """CPUs 0 and 4 are a core, 1 and 5 the next."""
    return {cpu % 4, cpu % 4 + 4}


@pytest.mark.parametrize(
    ("free", "threads", "pair"),
    [
        ([0, 1], halves, Pair(0, 1)),
        ([0, 1, 2, 3], neighbours, Pair(0, 2)),
        ([1, 3], neighbours, Pair(1, 3)),
        ([0, 4, 5], halves, Pair(0, 5)),
        ([0, 1], neighbours, Pair(0, 1, shared=True)),
        ([0], halves, None),
        ([], halves, None),
    ],
    ids=["two cores", "neighbours", "a few of them", "halves", "one core's threads", "one", "unknown"],
)
def test_the_reader_is_on_another_core_where_there_is_one(free, threads, pair):
    assert cpus.pick(free, threads) == pair


@pytest.mark.parametrize(("said", "known"), [("0\n", {0}), ("0,4\n", {0, 4}), ("0-1,8-9\n", {0, 1, 8, 9})])
def test_the_kernels_lists_are_read(said, known, tmp_path):
    (tmp_path / "cpu0" / "topology").mkdir(parents=True)
    (tmp_path / "cpu0" / "topology" / "thread_siblings_list").write_text(said)

    assert cpus.threads(0, tmp_path) == known


def test_a_kernel_that_tells_nothing_knows_no_threads(tmp_path):
    assert cpus.threads(3, tmp_path) == {3}


def test_what_was_measured_on_one_core_says_so():
    document = report.document("mock", [], [])
    shared = document | {"machine": document["machine"] | {"one_core": True}}

    [line] = report.warning(shared)

    assert (
        line == "warning: server and reader ran on two threads of one core, and took from each other: there is no other"
    )
    assert "two threads of one core" in next(markdown.head(shared, "bench"))
    assert list(report.warning(document | {"machine": document["machine"] | {"one_core": False}})) == []
