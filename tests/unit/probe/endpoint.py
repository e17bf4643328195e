"""An endpoint for a probe to ask: it does what it is asked to on any wire, except for what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from agent_core.codecs import CODECS
from agent_core.codecs.base import json_list, json_object
from agent_core.events import ResponseEvent
from agent_core.items import JsonObject, WireName
from agent_core.prompt import CustomToolSpec, NamedTool, Prompt, ToolSpec
from agent_core.testing import Call, Step, last_user_text
from agent_core.testing.fitting import fitting_arguments
from agent_core.testing.scripts import answer_events, answer_response

from ...loopback import Exchange, Received, exchange, reply, sse

__all__ = ["Endpoint", "members", "messages", "obliging", "tools"]

NUMBERS = " ".join(str(number) for number in range(1, 201))


def obliging(prompt: Prompt) -> Step:
    """Calls when a call is forced, answers in JSON where a schema is asked for, thinks when thinking is asked for."""
    if prompt.tool_choice == "required" or isinstance(prompt.tool_choice, NamedTool):
        wanted = prompt.tool_choice.name if isinstance(prompt.tool_choice, NamedTool) else None
        specs = [spec for spec in prompt.tools if isinstance(spec, ToolSpec | CustomToolSpec)]
        spec = next(spec for spec in specs if wanted in (None, spec.name))
        return Step(
            calls=(Call(spec.name, "milk" if isinstance(spec, CustomToolSpec) else fitting_arguments(spec.parameters)),)
        )
    if prompt.output_schema is not None or "JSON" in last_user_text(prompt):
        return Step(text='{"colour": "green"}')
    if prompt.reasoning is not None:
        return Step(reasoning="Seventeen and twenty-six.", text="43")
    return Step(text=NUMBERS if "1 to 200" in last_user_text(prompt) else "Hello to you.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`refuse` looks at a request's body and says why it is refused, or None; `model` makes the answers."""

    wire: WireName
    refuse: Callable[[JsonObject], str | None] = lambda body: None
    model: Callable[[Prompt], Step] = obliging
    status: int = 400
    mend: Callable[[list[ResponseEvent]], list[ResponseEvent]] = lambda events: events
    """Changes the answer's events before they are written."""
    done: bool = True
    """Write what the wire puts last, too."""

    def __call__(self, received: Received) -> Exchange:
        why = self.refuse(json.loads(received.body))
        if why is not None:
            return exchange(reply(self.status, self._error(why)))
        codec = CODECS[self.wire]
        asked = codec.decode_request(received.body)
        response = answer_response(self.model(asked.prompt), asked.prompt, self.wire, request=received.body)
        encoder = codec.stream_encoder(asked.prompt, include_usage=asked.include_usage or self.wire != "chat")
        written = b"".join(encoder.feed(event) for event in self.mend(list(answer_events(response))))
        return exchange(sse(written + (encoder.close() if self.done else b"")))

    def _error(self, why: str) -> bytes:
        error: JsonObject = {"message": why, "type": "invalid_request_error"}
        return json.dumps({"type": "error", "error": error} if self.wire == "messages" else {"error": error}).encode()


def messages(body: JsonObject) -> list[JsonObject]:
    return members(body, "messages")


def tools(body: JsonObject) -> list[JsonObject]:
    return members(body, "tools")


def members(body: JsonObject, name: str) -> list[JsonObject]:
    return [found for entry in json_list(body.get(name)) if (found := json_object(entry)) is not None]
