"""Structured output and tool choice, the part that is the same on every wire: which form the schema takes on this
server, whether the model can be made to keep to it, and which choice of tools that leaves.

    form          what carries the schema
    free          there is none
    json_schema   the wire's own member
    json_object   the wire's JSON mode, and the schema in the instructions: soft
    tool          a function the model is made to call; its arguments are the answer (`answer_tool` turns them back)
    said          the instructions alone: soft, and refused where the prompt insists (`OutputSchema.strict`)
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from ..errors import InvalidPromptError, UnsupportedError
from ..items import JsonObject
from ..prompt import HostedToolSpec, NamedTool, OutputSchema, Prompt, ToolChoice, ToolSpec
from .base import Compat, Loss, json_list, prompt_json
from .reasoning_rules import reasons
from .schemas import fitted_schema

__all__ = ["OutputForm", "OutputPlan", "answer_tool_name", "plan_output", "settled_choice"]

OutputForm: TypeAlias = Literal["free", "json_schema", "json_object", "tool", "said"]

_ANSWER_TOOL = "Give the final answer by calling this tool."


class OutputPlan(Struct, frozen=True):
    """How the output schema of one prompt goes out. `schema` is in the server's dialect, `tool` the one to add for it,
    `instructions` those of the prompt, with the schema in them where it has to be said."""

    form: OutputForm
    instructions: str
    schema: JsonObject = {}
    tool: ToolSpec | None = None
    losses: tuple[Loss, ...] = ()


def plan_output(prompt: Prompt, compat: Compat, *, json_mode: bool = True) -> OutputPlan:
    """`json_mode`: the wire has one (Messages has not).

    Raises UnsupportedError where the prompt insists on its schema and nothing here can hold the model to it,
    InvalidPromptError for a schema that cannot be the arguments of a tool where it has to be.
    """
    wanted = prompt.output_schema
    if wanted is None:
        return OutputPlan("free", prompt.instructions)
    form = _form(prompt, compat, json_mode=json_mode)
    if form == "said" and wanted.strict:
        raise UnsupportedError(
            f"{compat.provider or 'this server'} cannot be held to the output schema {wanted.name!r}",
            remedy=_remedy(prompt, compat),
        )
    schema, losses = fitted_schema(wanted.schema, compat, strict=wanted.strict, of=f"output schema {wanted.name!r}")
    if form == "tool":
        return OutputPlan(form, prompt.instructions, schema, _answer_tool(prompt, wanted, compat), losses)
    if form == "json_schema":
        return OutputPlan(form, prompt.instructions, schema, None, losses)
    how = "only JSON is enforced" if form == "json_object" else "nothing is enforced"
    said = f"Answer with one JSON object of this schema: {prompt_json(dict(wanted.schema)).decode()}"
    instructions = f"{prompt.instructions}\n\n{said}" if prompt.instructions else said
    return OutputPlan(form, instructions, schema, None, (Loss("output_schema", f"{how}; the instructions say it"),))


def _form(prompt: Prompt, compat: Compat, *, json_mode: bool) -> OutputForm:
    form = compat.output_schema
    if form in ("json_schema", "json_object") and prompt.tools and not compat.schema_beside_tools:
        form = "tool"
    if form == "tool" and not _can_force(prompt, compat):
        return "said"
    return "said" if form == "none" or (form == "json_object" and not json_mode) else form


def _can_force(prompt: Prompt, compat: Compat) -> bool:
    if reasons(prompt, compat) and not compat.choice_beside_reasoning:
        return False
    return compat.required_choice != "auto" or (compat.named_choice and not prompt.tools)


def _remedy(prompt: Prompt, compat: Compat) -> str:
    ways = ["pass OutputSchema(strict=False) to only ask for it"]
    if prompt.tools and not compat.schema_beside_tools:
        ways.append("leave the tools out")
    if reasons(prompt, compat) and not compat.choice_beside_reasoning:
        ways.append("turn reasoning off (effort 'none')")
    return ", or ".join(ways)


def answer_tool_name(prompt: Prompt, compat: Compat) -> str | None:
    """The name of the tool whose arguments are the answer, if the prompt went out with one."""
    if prompt.output_schema is None or _form(prompt, compat, json_mode=True) != "tool":
        return None
    return prompt.output_schema.name


def _answer_tool(prompt: Prompt, wanted: OutputSchema, compat: Compat) -> ToolSpec:
    if any(not isinstance(spec, HostedToolSpec) and spec.name == wanted.name for spec in prompt.tools):
        raise InvalidPromptError(
            f"the output schema and a tool are both called {wanted.name!r}, and this provider takes schemas as tools",
            remedy="rename one of them",
        )
    kind = wanted.schema.get("type", "object")
    if kind != "object" and "object" not in json_list(kind):
        raise InvalidPromptError(
            f"the output schema {wanted.name!r} is of type {kind!r}, and this provider takes schemas as tools, whose"
            " arguments are objects",
            remedy="wrap it in an object with one member",
        )
    return ToolSpec(wanted.name, _ANSWER_TOOL, wanted.schema, True if wanted.strict and compat.strict_tools else None)


# the choice of tools


def settled_choice(prompt: Prompt, compat: Compat, answer: ToolSpec | None) -> tuple[ToolChoice, Loss | None]:
    """The tool choice this server can be given, and what that gives up.

    With an answer tool the model has to call something: that tool alone where there is no other (or none is wanted),
    else any, unless the prompt names the one it wants now.
    """
    choice = prompt.tool_choice
    if answer is not None and not isinstance(choice, NamedTool):
        choice = NamedTool(answer.name) if choice == "none" or not prompt.tools else "required"
    if choice in ("auto", "none"):
        return choice, None
    if reasons(prompt, compat) and not compat.choice_beside_reasoning:
        return "auto", Loss("tool_choice", "no tool can be forced while the model reasons")
    names = [spec.name for spec in prompt.tools if not isinstance(spec, HostedToolSpec)]
    names += [answer.name] if answer is not None else []
    loss: Loss | None = None
    if isinstance(choice, NamedTool) and not compat.named_choice:
        if len(names) != 1 or len(names) != len(prompt.tools) + (answer is not None):
            loss = Loss("tool_choice", f"the server cannot be made to call {choice.name!r}, only some tool")
        choice = "required"
    if choice == "required" and compat.required_choice == "auto":
        if compat.named_choice and len(names) == 1:
            return NamedTool(names[0]), loss
        return "auto", Loss("tool_choice", "the server cannot be made to call a tool")
    return choice, loss
