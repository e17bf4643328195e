"""update_plan and request_user_input: the model speaks to the person, in a form that can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from agent_core.items import JsonValue
from agent_core.tools import Question, RequestUserInput, ToolContext, UpdatePlan

from .calls import answered, call

STEPS: list[JsonValue] = [{"step": "look", "status": "completed"}, {"step": "mend", "status": "in_progress"}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"plan": STEPS}, ("Plan updated", True)),
        ({"plan": [*STEPS, STEPS[1]]}, ("more than one step is in progress; work on one step at a time", False)),
        (
            {"plan": []},
            (
                "invalid arguments: plan: List should have at least 1 item after validation, not 0 (got []); "
                "correct the arguments and call again",
                False,
            ),
        ),
    ],
)
async def test_plans(arguments: dict[str, JsonValue], expected: tuple[str, bool], tmp_path: Path) -> None:
    """A plan is checked and handed on as metadata; nothing else happens."""
    output = (await answered(UpdatePlan(), call("update_plan", arguments), ToolContext(tmp_path))).output
    assert (output.content, output.success) == expected
    if output.success:
        assert output.metadata == {"plan": STEPS, "explanation": ""}


@pytest.mark.anyio
async def test_questions_reach_the_person(tmp_path: Path) -> None:
    """What the model asks is shown as it asked it; answers to questions nobody asked are dropped."""
    shown: list[Question] = []

    async def ask(questions: Sequence[Question]) -> Mapping[str, str]:
        shown.extend(questions)
        return {"db": "sqlite", "other": "?"}

    options: list[JsonValue] = [{"label": "sqlite"}, {"label": "pg"}]
    asked: JsonValue = {"id": "db", "header": "Store", "question": "Which?", "options": options}
    arguments: dict[str, JsonValue] = {"questions": [asked, {"id": "why", "question": "Why?"}]}
    output = await RequestUserInput(ask).run(call("request_user_input", arguments), ToolContext(tmp_path))
    assert output.content == '{"answers": {"db": "sqlite"}}'
    assert shown == [Question("db", "Which?", "Store", (("sqlite", ""), ("pg", ""))), Question("why", "Why?")]
    twice: dict[str, JsonValue] = {"questions": [asked, asked]}
    refused = await RequestUserInput(ask).run(call("request_user_input", twice), ToolContext(tmp_path))
    assert refused.content == "two questions have one id; give each its own"
