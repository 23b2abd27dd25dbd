"""What the assistant does when Claude does not: `mockclaude` is a fixture of the installed package."""

import pytest
from assistant import Assistant, NoAnswer


def test_an_overload_is_tried_again(mockclaude):
    mockclaude.fault("status", code=529, nth=[1])
    with Assistant() as assistant:
        assert "".join(assistant.answer("Why?"))
    mockclaude.assert_attempts(2)


def test_a_stall_is_not_waited_for(mockclaude):
    mockclaude.fault("stall", after=2, seconds=60)
    with Assistant(patience=0.2) as assistant, pytest.raises(NoAnswer):
        list(assistant.answer("Why?"))


def test_a_stream_that_is_cut_is_no_answer(mockclaude):
    mockclaude.fault("cut", after=2)
    with Assistant() as assistant, pytest.raises(NoAnswer):
        list(assistant.answer("Why?"))
