"""The questions about answers, roles, sampling, reasoning and structured output. Those about tools are in tool_facts.

Order matters: the first one finds a form in which the endpoint answers at all, and raises what it heard if there is
none; everything after it builds on that form. Sources of the deviations: providers.md 3a, 3b, 3d.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic_core import from_json

from ..codecs.base import json_object
from ..errors import ModelNotFoundError, StreamInterrupted
from ..items import JsonValue, Reasoning, WireName, system_message, user_message
from ..prompt import OutputSchema, Prompt, ReasoningSettings, SamplingSettings
from .asking import NOT_ASKED, UNCLEAR, Ask, Fact, Finding, Findings, Heard, Inquiry, Notes, finding, said
from .tool_facts import TOOL_FACTS, history
from .usage_place import usage_place

__all__ = ["FACTS"]

_ANSWER_TOKENS = 256
_CAP_TOKENS = 16  # the least the Responses API takes
_THINKING_TOKENS = 2048  # a thinking budget is at least 1024 and only a part of them

_HELLO = "Say hello in three words."
_COUNT = "Count from 1 to 200, one number a line, nothing else."
_SUM = "What is 17 + 26? Think first, then say the number."
_SCHEMA: Mapping[str, JsonValue] = {
    "type": "object",
    "properties": {"colour": {"type": "string", "enum": ["red", "green"]}},
    "required": ["colour"],
    "additionalProperties": False,
}

_CAPS = ("max_tokens", "max_completion_tokens")


def _answers(notes: Notes) -> Inquiry:
    """Find a form that is answered; see whether usage may be asked for, where it comes, and whether the end is said."""
    prompt = Prompt(_HELLO, max_output_tokens=_ANSWER_TOKENS)
    refusals: list[Heard] = []
    heard = Heard()
    for form in _forms(notes):
        heard = yield Ask(prompt, form)
        broken = heard.error
        if notes.wire == "chat" and isinstance(broken, StreamInterrupted) and broken.partial and broken.partial.text:
            form = {**form, "finish_may_be_missing": True}
            heard = yield Ask(prompt, form)
        if heard.response is not None:
            return _form_findings(notes, heard, form, refusals)
        if not heard.refused or isinstance(heard.error, ModelNotFoundError):
            break
        refusals.append(heard)
    error = (refusals[0] if refusals else heard).error
    assert error is not None
    raise error


def _forms(notes: Notes) -> Iterator[Mapping[str, object]]:
    """What is tried until there is an answer: newer models of OpenAI want another cap, some servers no
    stream_options."""
    if notes.wire != "chat":
        yield {}
        return
    known = notes.compat.max_tokens_field
    for include_usage in (True, False):
        for field in (known, _other_cap(known)):
            yield {"include_usage": include_usage, "max_tokens_field": field}


def _form_findings(notes: Notes, heard: Heard, form: Mapping[str, object], refusals: list[Heard]) -> Findings:
    response = heard.response
    assert response is not None
    words = f"{len(response.text)} characters, ended by {response.native_reason or 'nothing'!r}"
    model = f", calls itself {response.model!r}" if response.model else ""
    found = [Finding("streams text", "yes" if response.text else UNCLEAR, words + model, form)]
    usage = response.usage
    counts = "" if usage is None else f"{usage.input_total} in, {usage.output_total} out"
    if notes.wire == "chat":
        accepted = "yes" if form["include_usage"] else "no"
        found.append(Finding("stream_options", accepted, said(refusals[-1]) if refusals and accepted == "no" else ""))
        found.append(Finding("usage", usage_place(heard.body), counts))
        missing = bool(form.get("finish_may_be_missing"))
        found.append(Finding("finish_reason", "missing" if missing else "yes", response.native_reason or ""))
    else:
        found.append(Finding("usage", "yes" if counts else "none", counts))
    return tuple(found)


def _output_cap(notes: Notes) -> Inquiry:
    """Is the cap on the answer's length kept? On Chat, by which of its two names?"""
    prompt = Prompt(_COUNT, max_output_tokens=_CAP_TOKENS)
    if notes.wire != "chat":
        heard = yield Ask(prompt)
        return finding("output cap", *_cap_kept(heard))
    known = notes.compat.max_tokens_field
    kept: dict[str, tuple[str, str]] = {}
    for field in (known, _other_cap(known)):
        kept[field] = _cap_kept((yield Ask(prompt, {"max_tokens_field": field})))
    evidence = "; ".join(f"{field}: {kept[field][0]}, {kept[field][1]}" for field in _CAPS)
    good = [field for field in _CAPS if kept[field][0] == "yes"]
    if len(good) == 1:
        return finding("output cap", good[0], evidence, max_tokens_field=good[0])
    return finding("output cap", "both" if good else kept[known][0], evidence)


def _cap_kept(heard: Heard) -> tuple[str, str]:
    """Answer and evidence of one request with a cap of _CAP_TOKENS."""
    response = heard.response
    if response is None:
        return "no" if heard.refused else UNCLEAR, said(heard)
    spent = response.usage.output_total if response.usage is not None else None
    tokens = f"{spent} tokens" if spent is not None else f"{len(response.text)} characters"
    if response.finish_reason == "length" and (spent is None or spent <= _CAP_TOKENS):
        return "yes", f"cut after {tokens}"
    if spent is not None and spent > _CAP_TOKENS:
        return "ignored", f"{tokens} under a cap of {_CAP_TOKENS}"
    return UNCLEAR, f"ended by itself after {tokens}"


def _other_cap(field: str) -> str:
    return _CAPS[1 - _CAPS.index(field)]


# Sampling and roles


def _sampling(notes: Notes) -> Inquiry:
    prompt = Prompt(_HELLO, sampling=SamplingSettings(temperature=0.5), max_output_tokens=_ANSWER_TOKENS)
    heard = yield Ask(prompt, {"sampling": True})
    return _accepted("temperature", heard, {"sampling": True}, {"sampling": False})


def _system_role(notes: Notes) -> Inquiry:
    """The roles instructions may have. `system` where it is taken: every server that knows another knows it too, but
    the o1-mini, which refuses both (providers.md 3a)."""
    items = [system_message("Be brief."), user_message(_HELLO)]
    taken: dict[str, Heard] = {}
    for role in ("system", "developer", "user"):
        if role == "user" and any(heard.response is not None for heard in taken.values()):
            break
        prompt = Prompt(items, max_output_tokens=_ANSWER_TOKENS)
        taken[role] = yield Ask(prompt, {"system_role": role})
    good = [role for role, heard in taken.items() if heard.response is not None]
    evidence = "; ".join(f"{role}: {said(heard)}" for role, heard in taken.items() if heard.error is not None)
    if not good or any(taken[role].useless for role in taken if role != "developer"):
        return finding("system role", UNCLEAR, evidence)
    return finding("system role", " and ".join(good), evidence, system_role=good[0])


def _late_system(notes: Notes) -> Inquiry:
    """A system message in the middle of a conversation: templates of local engines may refuse it."""
    items = [user_message("Hello."), system_message("Answer in French."), user_message(_HELLO)]
    prompt = Prompt(items, instructions="Be brief.", max_output_tokens=_ANSWER_TOKENS)
    if notes.wire == "messages":
        heard = yield Ask(prompt, {"inline_system": True})
        return _accepted("late system message", heard, {"inline_system": True}, {"inline_system": False})
    heard = yield Ask(prompt, {"merge_system": False})
    return _accepted("late system message", heard, {"merge_system": False}, {"merge_system": True})


# Reasoning


_REASONING_FORMS: Mapping[WireName, tuple[Mapping[str, object], ...]] = {
    "chat": ({"reasoning_request": "effort"},),
    "responses": (
        {"reasoning_request": "effort", "encrypted_reasoning": True},
        {"reasoning_request": "effort", "encrypted_reasoning": False},
    ),
    "messages": ({"reasoning_request": "adaptive"}, {"reasoning_request": "budget"}),
}


def _reasoning(notes: Notes) -> Inquiry:
    """Can it be asked for, in which form, and in which field does it come?"""
    came_unasked = notes.reasoning is not None
    prompt = Prompt(_SUM, reasoning=ReasoningSettings(effort="low"), max_output_tokens=_THINKING_TOKENS)
    known: Mapping[str, object] = {"reasoning_request": notes.compat.reasoning_request}
    standard = _REASONING_FORMS[notes.wire]
    # A form of a shipped row (OpenRouter's object, DeepSeek's thinking) is asked for as it is: there is no other there.
    forms = standard if any(known["reasoning_request"] == form["reasoning_request"] for form in standard) else (known,)
    heard = Heard()
    refusals: list[str] = []
    for form in forms:
        heard = yield Ask(prompt, form)
        if not heard.refused:
            break
        refusals.append(f"{form['reasoning_request']}: {said(heard)}")
    else:
        answer = _where_reasoning_came(notes) if came_unasked else "no"
        return finding("reasoning", answer, "; ".join(refusals), reasoning_request="none")
    if heard.error is not None:
        return finding("reasoning", UNCLEAR, said(heard))
    found = dict(form)
    if form.get("encrypted_reasoning") and not (notes.reasoning and notes.reasoning.encrypted_content):
        del found["encrypted_reasoning"]  # taken, and nothing came of it
    asked = f"asked for by {form['reasoning_request']}" + (", comes unasked too" if came_unasked else "")
    evidence = "; ".join((asked, *refusals))
    if notes.reasoning is None:
        return finding("reasoning", "none came", evidence, found if refusals else None)
    return finding("reasoning", _where_reasoning_came(notes), evidence, found)


def _where_reasoning_came(notes: Notes) -> str:
    """The field or item reasoning arrived in, and whether it is sealed."""
    item = notes.reasoning
    if item is None:
        return "none came"
    field = item.origin.field if item.origin is not None else ""
    sealed = "signed" if item.signature else "encrypted" if item.encrypted_content else ""
    return f"in {field or 'items'}{f', {sealed}' if sealed else ''}"


def _reasoning_back(notes: Notes) -> Inquiry:
    """Reasoning it made, sent back before a call: taken, refused, or insisted on?"""
    name = "reasoning sent back"
    item = notes.reasoning
    if item is None or not notes.history_id:
        why = "none came" if item is None else "no history with calls was taken"
        return finding(name, NOT_ASKED, why)
    keep: dict[str, object] = {"reasoning_replay": "always"}
    if notes.wire == "messages" and not item.signature and not item.encrypted_content:
        keep["unsigned_thinking"] = True
    prompt = history(notes, before=(item,))
    back = yield Ask(prompt, keep)
    without = yield Ask(prompt, {"reasoning_replay": "never"})
    if back.response is not None:
        insisted = "; without it " + said(without) if without.refused else ""
        return finding(name, "required" if insisted else "yes", _how_back(notes, item) + insisted, keep)
    if back.refused and without.response is not None:
        return finding(name, "no", said(back), reasoning_replay="never")
    return finding(name, UNCLEAR, said(back))


def _how_back(notes: Notes, item: Reasoning) -> str:
    field = notes.compat.reasoning_field
    came = item.origin.field if item.origin is not None else ""
    return f"as {came if field == 'as_received' and came else field}" if notes.wire == "chat" else "as an item"


# Structured output


_SCHEMA_FORMS: Mapping[WireName, tuple[str, ...]] = {
    "chat": ("json_schema", "json_object", "tool"),
    "responses": ("json_schema", "json_object"),
    "messages": ("json_schema", "tool"),
}


def _output_schema(notes: Notes) -> Inquiry:
    prompt = Prompt(
        "Choose red or green. Answer in JSON.", output_schema=OutputSchema(_SCHEMA, "choice"), max_output_tokens=1024
    )
    refusals: list[str] = []
    for form in _SCHEMA_FORMS[notes.wire]:
        heard = yield Ask(prompt, {"output_schema": form})
        evidence = "; ".join([_how_it_fits(heard), *refusals])
        if heard.response is not None:
            if _fits(heard.response.text):
                return finding("output schema", form, evidence, output_schema=form)
            return finding("output schema", UNCLEAR if _was_cut(heard) else f"{form}, ignored", evidence)
        if not heard.refused:
            return finding("output schema", UNCLEAR, "; ".join([said(heard), *refusals]))
        refusals.append(f"{form}: {said(heard)}")
    return finding("output schema", "no", "; ".join(refusals), output_schema="none")


def _how_it_fits(heard: Heard) -> str:
    if heard.response is None:
        return ""
    if _fits(heard.response.text):
        return "the answer fits the schema"
    return "the answer was cut" if _was_cut(heard) else "the answer does not fit the schema"


def _fits(text: str) -> bool:
    try:
        value = json_object(from_json(text))
    except ValueError:
        return False
    return value is not None and list(value) == ["colour"] and value["colour"] in ("red", "green")


def _was_cut(heard: Heard) -> bool:
    return heard.response is not None and heard.response.status == "incomplete"


def _accepted(name: str, heard: Heard, taken: Mapping[str, object], refused: Mapping[str, object]) -> Findings:
    """Yes, no or unclear, by whether one request was taken; with what each means for Compat."""
    if heard.response is not None:
        return finding(name, "yes", "", taken)
    return finding(name, "no", said(heard), refused) if heard.refused else finding(name, UNCLEAR, said(heard))


FACTS: tuple[Fact, ...] = (
    Fact(("streams text", "stream_options", "usage", "finish_reason"), _answers, ("chat",)),
    Fact(("streams text", "usage"), _answers, ("responses", "messages")),
    Fact(("output cap",), _output_cap),
    Fact(("temperature",), _sampling),
    Fact(("system role",), _system_role, ("chat", "responses")),
    Fact(("late system message",), _late_system),
    *TOOL_FACTS,
    Fact(("reasoning",), _reasoning),
    Fact(("reasoning sent back",), _reasoning_back),
    Fact(("output schema",), _output_schema),
)
"""Every question, in the order they are asked."""
