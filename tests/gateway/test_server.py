"""The server itself, in this process."""

import gc

import pytest
import uvicorn

from gateway_under_test import app, server
from gateway_under_test.settings import Settings


@pytest.fixture
def starting():
    gc.unfreeze()
    gateway = app.create_app(Settings(anthropic_api_key="sk-ours", valid_api_keys=("good",)))
    config = uvicorn.Config(gateway, lifespan="off", log_config=None)
    config.load()
    starting = server.Server(config, gateway.state.parts, drain=0.0)
    starting.lifespan = config.lifespan_class(config)
    yield starting
    gc.unfreeze()


async def test_what_was_there_at_the_start_is_not_looked_through_for_garbage_again(starting):
    await starting.startup(sockets=[])
    kept = ["made later"]

    assert gc.get_freeze_count() > 10_000
    assert any(one is kept for one in gc.get_objects())
    assert not any(one is starting for one in gc.get_objects())
