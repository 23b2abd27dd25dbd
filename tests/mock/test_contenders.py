"""Whatever the mock is measured beside answers as the mock does; and what leaves something out finds it there."""

import runpy

import pytest

from mockclaude.bench import contender, rounds
from mockclaude.bench.load import Load
from mockclaude.commands.benching import ASKED, COUNTED, MARKER, WHOLE

STREAMS = Load(3, "/v1/messages", ASKED, MARKER, 0.05, 0.001, 150, 0.1, 0.1, 0.5)
ANSWERS = Load(3, "/v1/messages", WHOLE, tokens=20, ramp=0.1, warm=0.1, window=0.5)
BASELINES = [(contender.baseline(name, gc), STREAMS) for name in contender.STREAMING for gc in (False, True)]
JSON = [
    (contender.baseline("json_reply"), ANSWERS),
    (contender.baseline("json_reply", True), ANSWERS._replace(path="/v1/messages/count_tokens", body=COUNTED)),
]
ABLATED = [(contender.without(part), STREAMS) for part in contender.PARTS]
swap = runpy.run_path(str(contender.BASELINES / "swap.py"))["swap"]


@pytest.mark.system
@pytest.mark.parametrize(
    ("one", "load"), [pytest.param(*each, id=each[0].name) for each in (*BASELINES, *JSON, *ABLATED)]
)
def test_each_contender_answers_all_there_is_to_answer(one, load):
    found = rounds.of_server(one, load)

    assert (found.failed, found.short) == (0, 0)
    assert found.counted > load.tokens
    assert 0 < found.cpu < 0.01


@pytest.mark.system
def test_a_part_that_nobody_knows_is_not_left_out():
    with (
        pytest.raises(contender.CouldNotRun, match=r"ended with 1 \(speed: expected transport, pacer,"),
        contender.running(contender.without("speed"), STREAMS, contender.cores()[0]),
    ):
        raise AssertionError


def test_what_is_replaced_is_another_from_then_on():
    owner = type("Owner", (), {"speed": 1})

    swap(owner, "speed", 2)

    assert owner.speed == 2


def test_what_is_not_there_cannot_be_replaced():
    with pytest.raises(SystemExit, match="Owner: expected 'speed' there"):
        swap(type("Owner", (), {}), "speed", 2)
