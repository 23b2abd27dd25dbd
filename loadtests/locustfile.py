"""What locust loads: a scenario's open loop when the runner gave a plan or a name, else the closed-loop users."""

from locust import events

from loadtests import hooks
from loadtests.experiment import plan

__all__: list[str] = []

hooks.register(events)

_plan, _worker = plan.from_environment(), plan.name_of_worker()

if _plan is None and _worker is None:
    from loadtests.users import (
        AnalyzeUser,
        BatchUser,
        ChatUser,
        ConversationUser,
        ImpatientUser,
        MessagesUser,
        SlowReaderUser,
        StreamUser,
    )

    __all__ += ["AnalyzeUser", "BatchUser", "ChatUser", "ConversationUser"]
    __all__ += ["ImpatientUser", "MessagesUser", "SlowReaderUser", "StreamUser"]
else:
    from loadtests import openload
    from loadtests.openload import OneEach, OpenLoopUser

    OpenLoopUser.host = _plan.gateway if _plan else ""
    openload.register(events, _plan, _worker)
    __all__ += ["OneEach", "OpenLoopUser"]
