"""The manner in which requests come, against its theory with a fixed seed; and traces from a file."""

import itertools
import math
import random
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtests.errors import ScenarioError
from loadtests.experiment import scenario
from loadtests.experiment.scenario import Scenario
from loadtests.schedule import arrivals
from loadtests.schedule.arrivals import Arrivals, Clumps

MANY = 20_000


def gaps(manner: Arrivals, seed: int = 1) -> list[float]:
    """So many gaps of a process of rate 1."""
    moments = itertools.islice(arrivals.counts(manner, random.Random(seed)), MANY)
    return [after - before for before, after in itertools.pairwise(itertools.chain([0.0], moments))]


def furthest(values: list[float], cumulative: Callable[[float], float]) -> float:
    """Kolmogorov and Smirnov's distance, times the root of their number: above 1.63 for one sample in a hundred."""
    expected = [cumulative(value) for value in sorted(values)]
    count = len(values)
    distance = max(
        max(rank / count - share, share - (rank - 1) / count) for rank, share in enumerate(expected, start=1)
    )
    return distance * math.sqrt(count)


def dispersion(manner: Arrivals, window: float) -> float:
    """The variance of the counts of windows over their mean."""
    counts = [0] * int(MANY / window * 0.9)
    for at in itertools.accumulate(gaps(manner)):
        if at < len(counts) * window:
            counts[int(at / window)] += 1
    return statistics.variance(counts) / statistics.mean(counts)


def test_poisson_gaps_are_exponential():
    assert furthest(gaps("poisson"), lambda gap: 1 - math.exp(-gap)) < 1.63


def test_gaps_of_cv_one_are_exponential_too():
    assert furthest(gaps(Clumps(cv=1)), lambda gap: 1 - math.exp(-gap)) < 1.63


def test_other_gaps_are_not_exponential():
    assert furthest(gaps(Clumps(cv=1.2)), lambda gap: 1 - math.exp(-gap)) > 5


def test_gaps_of_a_cv_of_the_root_of_a_half_are_the_sum_of_two_exponentials():
    """Erlang's distribution of order 1/cv² = 2, whose distribution function is a closed form."""
    found = gaps(Clumps(cv=math.sqrt(0.5)))

    assert furthest(found, lambda gap: 1 - math.exp(-2 * gap) * (1 + 2 * gap)) < 1.63


@pytest.mark.parametrize("cv", [0.2, 0.5, 1, 2, 3])
def test_gaps_have_the_mean_of_the_rate_and_their_coefficient_of_variation(cv: float):
    found = gaps(Clumps(cv=cv))

    # the mean's standard error is cv/√n; the variance's is √((κ - 1)/n) with a gamma's kurtosis κ of 3 + 6·cv²
    assert statistics.mean(found) == pytest.approx(1, abs=3 * cv / math.sqrt(MANY))
    assert statistics.variance(found) == pytest.approx(cv**2, rel=3 * math.sqrt((2 + 6 * cv**2) / MANY))


@pytest.mark.parametrize(("manner", "index"), [("constant", 0.0), ("poisson", 1.0), (Clumps(cv=2), 4.0)])
def test_counts_of_long_windows_have_the_index_of_dispersion_of_their_process(manner: Arrivals, index: float):
    """Of a renewal process it goes to cv² as windows grow (Cox); 450 windows know a variance within 20 % or so."""
    assert dispersion(manner, window=40) == pytest.approx(index, rel=0.2, abs=0.001)


def test_one_seed_is_one_crowd_and_another_is_another():
    assert gaps(Clumps(cv=2)) == gaps(Clumps(cv=2)) != gaps(Clumps(cv=2), seed=2)


Load = Callable[..., Scenario]


@pytest.fixture
def load(write: Callable[[str], str], tmp_path: Path) -> Load:
    """The small scenario with a trace, which stands beside it in a file."""

    def read(trace: str) -> Scenario:
        (tmp_path / "rush.csv").write_text(trace)
        text = "about: x\nload:\n  user: chat\n  arrivals: {trace: rush.csv}\nphases: [{name: all, seconds: 4}]\n"
        return scenario.load(write(text))[0]

    return read


@pytest.mark.parametrize(
    "trace",
    [
        pytest.param("0.5\n0.5\n3\n9\n", id="bare"),
        pytest.param("seconds,path\n0.5,/a\n0.5,/b\n\n3,/c\n9,/d\n", id="with a head and other columns"),
        pytest.param("\ufeff0.5\r\n0.5\r\n3\r\n9\r\n", id="as spreadsheets write it"),
    ],
)
def test_a_trace_is_played_as_it_stands_in_its_file(load: Load, trace: str):
    assert [arrival.at for arrival in load(trace).arrivals(1, "default")] == [0.5, 0.5, 3]


def test_a_runs_own_copy_of_its_scenario_needs_no_other_file(load: Load, write: Callable[[str], str], tmp_path: Path):
    text = scenario.to_yaml(load("0.5\n3\n"))
    (tmp_path / "rush.csv").unlink()

    assert [arrival.at for arrival in scenario.load(write(text))[0].arrivals(1, "default")] == [0.5, 3]


@pytest.mark.parametrize(
    ("trace", "where", "said"),
    [
        pytest.param("0.5\nsoon\n", "rush.csv:2", 'got "soon", expected at least 0.5, as in the line above', id="word"),
        pytest.param("3\n1\n", "rush.csv:2", 'got "1", expected at least 3', id="back in time"),
        pytest.param("at\n-1\n", "rush.csv:2", 'got "-1", expected seconds since the start', id="before the start"),
        pytest.param("1\nnan\n", "rush.csv:2", 'got "nan"', id="no number"),
        pytest.param("at\n", "rush.csv", "there is no moment in it", id="empty"),
        pytest.param("9\n", "small.yaml:4", "got 9 s as its first moment, expected one in the 4 s", id="too late"),
    ],
)
def test_what_is_wrong_with_a_trace_is_named_with_its_line(load: Load, trace: str, where: str, said: str):
    with pytest.raises(ScenarioError) as raised:
        load(trace)

    assert f"{where}: " in str(raised.value)
    assert said in str(raised.value)


def test_a_trace_that_is_set_by_hand_stands_where_one_stands(
    write: Callable[[str], str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write(text.replace("rate: 4, ", ""))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "rush.csv").write_text("3\n5\n")
    monkeypatch.chdir(tmp_path / "here")

    found, _ = scenario.load(path, ["load.arrivals={trace: rush.csv}"])

    assert [arrival.at for arrival in found.arrivals(1, "naive")] == [3, 5]


def test_a_trace_that_is_not_there_is_missed_where_it_is_named(write: Callable[[str], str], text: str):
    path = write(text.replace("arrivals: constant, rate: 4", "arrivals: {trace: no.csv}"))

    with pytest.raises(ScenarioError, match=r"small\.yaml:3: load\.arrivals\.trace: .*no\.csv: No such file"):
        scenario.load(path)


def test_a_phase_has_no_rate_of_its_own_in_a_trace(write: Callable[[str], str], text: str):
    path = write(text.replace("arrivals: constant, rate: 4", "arrivals: {trace: [1, 2]}"))

    with pytest.raises(ScenarioError, match=r"phases\.dip\.rate: a trace has its own pace"):
        scenario.load(path, ["phases.dip.rate=3"])
