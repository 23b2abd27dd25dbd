"""Real clients are asked for by name (`make clients`, `pytest tests/clients`): what they need is installed first."""

from pathlib import Path

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path, config):
    """`pytest` alone leaves this folder out."""
    asked = (Path(argument.partition("::")[0]).resolve() for argument in config.args)
    return None if any(path.is_relative_to(HERE) for path in asked) else True
