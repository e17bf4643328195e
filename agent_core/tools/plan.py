"""`update_plan` and `request_user_input`: what a model tells, and asks, the person it works for."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..errors import ToolError
from ..items import JsonObject, JsonValue
from ..prompt import ToolSpec
from .arguments import InvalidArguments, check_arguments, parse_arguments
from .base import ToolCall, ToolContext, ToolOutput

if TYPE_CHECKING:
    from ..approvals import ApprovalRequest

__all__ = ["AskUser", "Question", "RequestUserInput", "UpdatePlan", "UserAnswers"]

_PLAN: JsonObject = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string", "description": "Why the plan changed, if it did."},
        "plan": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "step": {"type": "string"},
                    "status": {"type": "string", "enum": ["pending", "in_progress", "completed"]},
                },
                "required": ["step", "status"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["plan"],
    "additionalProperties": False,
}
_QUESTIONS: JsonObject = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "description": "A short name for the answer."},
                    "header": {"type": "string", "description": "At most 12 characters."},
                    "question": {"type": "string"},
                    "options": {
                        "type": "array",
                        "description": "Two or three answers to choose from; the person may always give another.",
                        "items": {
                            "type": "object",
                            "properties": {"label": {"type": "string"}, "description": {"type": "string"}},
                            "required": ["label"],
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["id", "question"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["questions"],
    "additionalProperties": False,
}


class UpdatePlan:
    """The tool. Changes nothing: the plan is in the output's metadata (`plan`, `explanation`), for who shows it."""

    name: str = "update_plan"
    read_only: bool = True
    parallel: bool = False
    timeout_s: float | None = None

    @property
    def spec(self) -> ToolSpec:
        description = "Shows the user your plan: the steps, at most one of them in progress. Send it whole each time."
        return ToolSpec(self.name, description, _PLAN)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import UpdatePlanRequest

        try:
            asked = check_arguments(UpdatePlanRequest, parse_arguments(call.arguments))
            if sum(step.status == "in_progress" for step in asked.plan) > 1:
                raise ToolError("more than one step is in progress", remedy="work on one step at a time")
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        plan: list[JsonValue] = [{"step": step.step, "status": step.status} for step in asked.plan]
        return ToolOutput("Plan updated", metadata={"plan": plan, "explanation": asked.explanation})


class Question(Struct, frozen=True):
    """A question of the model's. `options` are labels with what they mean (maybe ""); any other answer will do too."""

    id: str
    question: str
    header: str = ""
    options: tuple[tuple[str, str], ...] = ()


UserAnswers: TypeAlias = Mapping[str, str]
"""Answers by the ids of their questions. A question without one was not answered."""
AskUser: TypeAlias = Callable[[Sequence[Question]], Awaitable[UserAnswers]]


class RequestUserInput:
    """The tool. `ask` shows the questions to a person and waits for the answers, for as long as it likes.

    It may be cancelled while it waits. What it raises is told to the model as the tool's failure.
    """

    name: str = "request_user_input"
    read_only: bool = True
    parallel: bool = False
    timeout_s: float | None = float("inf")

    def __init__(self, ask: AskUser) -> None:
        self._ask = ask

    @property
    def spec(self) -> ToolSpec:
        description = (
            "Asks the user one to three short questions and waits. Only for what you cannot find out yourself."
        )
        return ToolSpec(self.name, description, _QUESTIONS)

    def approval(self, call: ToolCall, context: ToolContext) -> ApprovalRequest | None:
        return None

    async def run(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        from .requests import UserInputRequest

        try:
            asked = check_arguments(UserInputRequest, parse_arguments(call.arguments))
            ids = [question.id for question in asked.questions]
            if len(set(ids)) < len(ids):
                raise ToolError("two questions have one id", remedy="give each its own")
        except InvalidArguments:
            raise
        except ToolError as error:
            return ToolOutput(f"{error.message}; {error.remedy}", success=False)
        questions = [
            Question(q.id, q.question, q.header, tuple((option.label, option.description) for option in q.options))
            for q in asked.questions
        ]
        answers = await self._ask(questions)
        known = {question.id: answers[question.id] for question in questions if question.id in answers}
        return ToolOutput(json.dumps({"answers": known}, ensure_ascii=False))
