"""`mockclaude bench profile`: a flame graph, or words that say why there is none."""

import pytest
from typer.testing import CliRunner

from mockclaude.commands import benching, profiling


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Permission Denied: Try running again with elevated permissions\n", "--cap-add SYS_PTRACE"),
        ("Error: Operation not permitted (os error 1)\n", "py-spy may not look into another process"),
        ("Sampling\nError: No such process\n", "py-spy: Error: No such process"),
        ("", "py-spy: py-spy failed"),
    ],
    ids=["ptrace", "container", "anything else", "nothing"],
)
def test_why_there_is_no_picture(said, told):
    assert told in profiling._why(said)


@pytest.mark.system
def test_the_mock_is_drawn(tmp_path):
    picture = tmp_path / "profile.svg"

    ended = CliRunner().invoke(benching.app, ["profile", "--n", "5", "--seconds", "1", "--out", str(picture)])

    if "may not look into another process" in ended.output:
        pytest.skip("ptrace is not allowed here")
    assert ended.exit_code == 0, ended.output
    assert "mockclaude/" in picture.read_text()
