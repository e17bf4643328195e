"""One log record a request, in facts: `agent_core.gateway`."""

from __future__ import annotations

from functools import reduce
from operator import add

from ..logs import request_served
from .asking import Ask, Served

__all__ = ["RequestLog"]


class RequestLog:
    """A Watcher that writes the access log."""

    def begun(self, ask: Ask) -> None:
        return None

    def ended(self, ask: Ask, served: Served) -> None:
        self.turned_away(served)

    def turned_away(self, served: Served) -> None:
        used = [billed.usage for billed in served.bill]
        request_served(
            wire=served.wire,
            asked=served.asked,
            model=served.model,
            deployment=served.deployment,
            caller=served.caller,
            stream=served.stream,
            outcome=served.outcome,
            error=served.error,
            status=served.status,
            duration_s=served.duration_s,
            first_s=served.first_s,
            events=served.events,
            cache=served.cache,
            usage=reduce(add, used) if used else None,
            cost=served.cost,
            request_id=served.request_id,
        )
