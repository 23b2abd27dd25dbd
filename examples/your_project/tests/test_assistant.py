"""What the assistant does when Claude does not: `mockclaude` is a fixture of the installed package."""

import pytest
from assistant import Assistant, NoAnswer


def test_an_overload_is_tried_again(mockclaude):
    mockclaude.fault("status", code=529, nth=[1])
    assert "".join(Assistant().answer("Why?"))
    mockclaude.assert_attempts(2)


def test_a_stall_is_not_waited_for(mockclaude):
    mockclaude.fault("stall", after=2, seconds=60)
    with pytest.raises(NoAnswer):
        list(Assistant(patience=0.2).answer("Why?"))


def test_a_stream_that_is_cut_is_no_answer(mockclaude):
    mockclaude.fault("cut", after=2)
    with pytest.raises(NoAnswer):
        list(Assistant().answer("Why?"))
