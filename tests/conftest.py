"""What every test stands on."""

import asyncio

# Else Python 3.11 makes a loop when looptime asks for it in a sync test, nobody closes it, and some later test fails.
asyncio.set_event_loop(None)
