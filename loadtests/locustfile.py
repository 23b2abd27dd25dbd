"""What locust loads: a scenario's open loop when the runner gave a plan, else the closed-loop users."""

from locust import events

from loadtests import hooks, plan

__all__: list[str] = []

hooks.register(events)

_plan = plan.from_environment()

if _plan is None:
    from loadtests.users import ChatUser, StreamUser

    __all__ += ["ChatUser", "StreamUser"]
else:
    from loadtests.dispatcher import OpenLoopUser

    OpenLoopUser.plan = _plan
    OpenLoopUser.host = _plan.gateway
    __all__ += ["OpenLoopUser"]
