"""What every test stands on."""

import asyncio

import hypothesis

# Else Python 3.11 makes a loop when looptime asks for it in a sync test, nobody closes it, and some later test fails.
asyncio.set_event_loop(None)

# A slow machine fails no property, and a property that fails does so again.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")
