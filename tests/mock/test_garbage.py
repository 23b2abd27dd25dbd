"""Where a mock looks for reference cycles, and where it never does again."""

import gc
import weakref

import pytest
import uvicorn

from mockclaude import garbage


class Thing:
    """Something to be in a cycle."""


@pytest.fixture
def server():
    gc.disable()  # as it has it, lest Python look first

    yield garbage.Server(uvicorn.Config("nobody:asked", log_config=None))

    gc.enable()
    gc.unfreeze()


async def test_a_new_cycle_that_nobody_holds_is_found(server):
    one = Thing()
    one.itself = one
    gone = weakref.ref(one)
    del one

    await server.on_tick(1)

    assert gone() is None


async def test_what_lives_is_looked_at_once(server):
    held = Thing()

    await server.on_tick(1)

    assert not any(held is one for one in gc.get_objects())


async def test_it_ends_as_any_server_does(server):
    assert not await server.on_tick(1)

    server.should_exit = True

    assert await server.on_tick(2)


class Idle(garbage.Server):
    """Serves nobody, and notes how Python collects garbage meanwhile."""

    async def serve(self, sockets=None):
        self.noted = gc.isenabled(), gc.get_freeze_count() > 0


def test_python_does_not_look_by_itself_while_it_serves():
    idle = Idle(uvicorn.Config("nobody:asked", log_config=None))

    try:
        idle.run()
    finally:
        gc.enable()
        gc.unfreeze()

    assert idle.noted == (False, True)
