"""Histories as they never should be: what a run leaves behind, cut, thinned, doubled and shuffled, and arbitrary lists.

Everything is prebuilt per profile (`stock_of`): items of every kind with every kind of origin, and whole turns of runs
that may have been made by this profile or by others. A history is a choice among them, so making one costs less than
looking at it, and random generators as well as hypothesis can choose. Texts that must not be lost carry a mark of their
own (`U12u` a user's, `R12r` a tool's), unique per item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from agent_core.items import (
    Compaction,
    ContentPart,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    GhostSnapshot,
    ImageGenerationCall,
    InputFile,
    InputImage,
    InputText,
    JsonObject,
    LocalShellAction,
    LocalShellCall,
    Message,
    Origin,
    OutputPart,
    OutputText,
    Reasoning,
    Refusal,
    ResponseItem,
    Role,
    ToolSearchCall,
    ToolSearchOutput,
    UnknownItem,
    WebSearchCall,
    WireName,
)

from .profiles import Profile

__all__ = ["CHANGES", "Change", "Stock", "changed", "history", "mark_of", "stock_of"]

WIRES: tuple[WireName, ...] = ("chat", "responses", "messages")
PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
TEXTS = ("a", "b", "ab", "né\u2028", "\ud83d\ude00", "x\ud800", "\0", "", "  ", "a ", "<think>hm</think>a")
IDS = ("call_0", "call_1", "c1", "functions.f:0", "abcdefgh9", "x" * 70, "", "é b", "\ud800", "toolu_1")
NAMES = ("f", "f", "f", "apply_patch", "g.h", "", "n" * 200)
ARGUMENTS = (
    "{}",
    '{"a": 1}',
    "",
    " ",
    "[]",
    "null",
    '{"a":',
    '{"a": "1\n2"}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    "x\0",
)
FIELDS = (
    "",
    "reasoning",
    "reasoning_content",
    "reasoning_text",
    "reasoning_details",
    "content",
    "thinking",
    "redacted_thinking",
)

Change = Literal["cut", "drop", "double", "move", "add"]
CHANGES: tuple[Change, ...] = ("cut", "drop", "double", "move", "add")


@dataclass(frozen=True, slots=True)
class Stock:
    """What the histories of one profile are chosen from."""

    items: tuple[ResponseItem, ...]
    turns: tuple[tuple[ResponseItem, ...], ...]
    close: tuple[tuple[ResponseItem, ...], ...]
    """Items of one sort each, all of this profile's own making, that repeat, answer or stand in the way of others."""


@cache
def stock_of(profile: Profile) -> Stock:
    """Always the same for the same profile."""
    made = _Maker(profile, Random(f"{profile}"))
    turns = tuple(made.turn() for _ in range(48))
    return Stock(made.loose(), turns, made.close())


def history(random: Random, stock: Stock) -> list[ResponseItem]:
    """An arbitrary list of items, one of items that have to do with one another, or the turns of a run that something
    happened to."""
    kind = random.random()
    if kind < 0.2:
        near = [each for sort in stock.close for each in random.sample(sort, random.randint(0, 3))]
        return random.choices(near, k=random.randint(2, 14)) if near else []
    if kind < 0.45:
        pool = random.choices(stock.items, k=random.randint(1, 6)) if random.random() < 0.5 else stock.items
        return random.choices(pool, k=random.randint(0, 14))
    items: list[ResponseItem] = []
    for turn in random.choices(stock.turns, k=random.randint(1, 4)):
        items += turn
    for _ in range(random.choice((0, 1, 1, 2, 3, 6))):
        items = changed(items, random.choice(CHANGES), random.random(), random.random(), stock)
    return items


def changed(items: Sequence[ResponseItem], change: Change, at: float, to: float, stock: Stock) -> list[ResponseItem]:
    """`items` after one accident; `at` and `to` say where, as fractions of the whole."""
    out = list(items)
    n, m = int(at * len(out)), int(to * len(out))
    if change == "cut":
        return out[: n + 1]
    if change == "add":
        out.insert(n, stock.items[int(to * len(stock.items))])
    elif not out:
        return out
    elif change == "drop":
        del out[n]
    elif change == "double":
        out.insert(m, out[n])
    else:
        out.insert(m, out.pop(n))
    return out


def mark_of(item: ResponseItem) -> str:
    """The mark of a text that must not be lost, if it has one."""
    match item:
        case Message(role="user"):
            texts = [part.text for part in item.content if isinstance(part, InputText)]
        case FunctionCallOutput() | CustomToolCallOutput():
            output = item.output
            texts = [output] if isinstance(output, str) else [p.text for p in output if isinstance(p, InputText)]
        case _:
            return ""
    words = [
        word
        for text in texts
        for word in text.split()
        if word[:1] in "UR" and word[-1:] in "ur" and word[1:-1].isdigit()
    ]
    return words[0] if words else ""


class _Maker:
    """Makes items for one profile: of its own making, of another model of its provider, of others, of nobody's."""

    def __init__(self, profile: Profile, random: Random) -> None:
        self._random = random
        self._profile = profile
        self._marks = 0
        self._ids = 0
        others: list[WireName] = [wire for wire in WIRES if wire != profile.wire]
        own = Origin(wire=profile.wire, provider=profile.compat.provider, model=profile.model, response_id="r1")
        self._origins: tuple[Origin | None, ...] = (
            own,
            own,
            own.model_copy(update={"model": "another"}),
            own.model_copy(update={"provider": "elsewhere"}),
            *(own.model_copy(update={"wire": wire}) for wire in others),
            None,
        )

    # items that meet

    def close(self) -> tuple[tuple[ResponseItem, ...], ...]:
        """Texts, thoughts, calls, what the provider ran, what is ours: few texts, names and ids among all of them."""
        own = self._origins[0]
        assert own is not None
        said = tuple(
            Message(role="assistant", content=(OutputText(text=text),), origin=own.model_copy(update={"item_id": name}))
            for text in ("a", "b")
            for name in ("", "msg_1", "msg_2")
        )
        foreign = Reasoning(content=("a",), origin=own.model_copy(update={"provider": "elsewhere"}))
        refused = Message(role="assistant", content=(Refusal(refusal="a"),))
        calls: list[ResponseItem] = []
        for call_id in ("c1", "c2"):
            calls += (self._call(call_id, own, kind) for kind in ("function", "custom", "search"))
            calls += (self._output(kind, call_id) for kind in ("function", "custom", "search"))
        ours = (self._user(), self._user(), Compaction(summary="told"), GhostSnapshot(ghost_commit={"id": "1"}))
        texts: tuple[ResponseItem, ...] = (*said, refused, foreign)
        return texts, self._thoughts(own), tuple(calls), self._halves(own), ours

    def _thoughts(self, own: Origin) -> tuple[ResponseItem, ...]:
        """Stored or not, sealed in each way, readable or not."""
        made = (
            Reasoning(content=("a",)),
            Reasoning(content=("b",), details=({"type": "reasoning.text", "text": "t"},)),
            Reasoning(encrypted_content="sealed"),
            Reasoning(content=("hm",), signature="signed"),
            Reasoning(),
        )
        field = {"messages": "thinking", "chat": "reasoning"}.get(own.wire, "encrypted_content")
        redacted = own.model_copy(update={"field": "redacted_thinking"})
        return (
            Reasoning(encrypted_content="sealed", origin=redacted),
            *(
                each.model_copy(update={"origin": own.model_copy(update={"item_id": name, "field": field})})
                for each in made
                for name in ("", "rs_1", "rs_2")
            ),
        )

    def _halves(self, own: Origin) -> tuple[ResponseItem, ...]:
        raws: list[JsonObject] = []
        for name in ("sh_1", "sh_2", "c1"):
            if own.wire == "messages":
                raws.append({"type": "server_tool_use", "id": name, "name": "web_search", "input": {}})
                raws.append({"type": "web_search_tool_result", "tool_use_id": name, "content": []})
            else:
                action: JsonObject = {"commands": ["ls"]}
                raws.append({"type": "shell_call", "call_id": name, "action": action, "status": "completed"})
                raws.append({"type": "shell_call_output", "call_id": name, "output": []})
        return tuple(UnknownItem(raw=raw, origin=own) for raw in raws)

    # loose items

    def loose(self) -> tuple[ResponseItem, ...]:
        """A few of every kind with everything odd in them."""
        out: list[ResponseItem] = []
        for _ in range(24):
            out += (self._message(), self._user(), self._odd_call(), self._odd_output(), self._odd_reasoning())
        for _ in range(6):
            out += self._rare()
        out += (self._blank(role) for role in ("user", "assistant", "system"))
        return tuple(out)

    def _pick(self, values: Sequence[str]) -> str:
        return self._random.choice(values)

    def _origin(self, *, field: str | None = None, item_id: str | None = None) -> Origin | None:
        origin = self._random.choice(self._origins)
        if origin is None:
            return None
        wanted = self._pick(FIELDS) if field is None else field
        named = self._pick(("", "it_1", "it_2")) if item_id is None else item_id
        return origin.model_copy(update={"field": wanted, "item_id": named})

    def _opaque(self, origin: Origin | None, kind: str) -> JsonObject | None:
        """What decoders keep for a peer, on the wire it is of."""
        if origin is None or self._random.random() < 0.7:
            return None
        match origin.wire, kind:
            case "chat", "reasoning":
                return {"reasoning_opaque": "sealed"}
            case "chat", _:
                return {"extra_content": {"google": {"thought_signature": "s"}}}
            case "responses" | "messages", "function" | "custom":
                return {"caller": {"type": "code_execution_20260120", "tool_id": "srv_1"}}
            case _:
                return None

    def _mark(self, letter: str) -> str:
        self._marks += 1
        return f"{letter}{self._marks}{letter.lower()}"

    def _message(self) -> Message:
        role: Role = self._random.choice(("assistant", "assistant", "user", "system", "developer"))
        origin = self._origin() if role == "assistant" else None
        parts = tuple(self._part() for _ in range(self._random.randint(0, 3)))
        phase: Literal["commentary"] | None = "commentary" if self._random.random() < 0.2 else None
        return Message(role=role, content=parts, origin=origin, opaque=self._opaque(origin, "message"), phase=phase)

    def _part(self) -> ContentPart:
        text = self._pick(TEXTS)
        note: JsonObject = {
            "type": "url_citation",
            "url": "https://e.example",
            "start_index": 0,
            "end_index": 1,
            "title": "t",
        }
        return self._random.choice(
            (
                InputText(text=text),
                OutputText(text=text),
                OutputText(text=text, annotations=(note,)),
                Refusal(refusal=text),
                self._media(),
            )
        )

    def _media(self) -> InputImage | InputFile:
        return self._random.choice(
            (
                InputImage(image_url=PNG),
                InputImage(image_url="https://e.example/a.png", detail="original"),
                InputFile(filename="a.pdf", file_data=PDF),
                InputFile(filename="a.txt", file_data="data:text/plain;base64,YQ=="),
                InputFile(file_url="https://e.example/a.pdf"),
                InputFile(file_id="file_1"),
                InputFile(filename="nothing"),
            )
        )

    def _blank(self, role: Role) -> Message:
        return Message(role=role, content=(InputText(text=" "),) if role != "assistant" else (OutputText(text=""),))

    def _user(self) -> Message:
        parts: list[ContentPart] = [InputText(text=f"{self._mark('U')} {self._pick(TEXTS)}")]
        if self._random.random() < 0.3:
            parts.insert(self._random.randint(0, 1), self._media())
        if self._random.random() < 0.1:
            parts.append(InputText(text=" "))
        return Message(role="user", content=tuple(parts))

    def _odd_call(self) -> ResponseItem:
        return self._call(self._pick(IDS))

    def _call(self, call_id: str, origin: Origin | None = None, kind: str = "") -> ResponseItem:
        origin = origin or self._origin()
        kind = kind or self._pick(("function", "function", "custom", "shell", "search"))
        opaque = self._opaque(origin, kind)
        status: Literal["completed", "incomplete"] = "incomplete" if self._random.random() < 0.1 else "completed"
        name = self._pick(NAMES)
        match kind:
            case "custom":
                text = self._pick(TEXTS)
                return CustomToolCall(
                    call_id=call_id, name=name, input=text, origin=origin, opaque=opaque, status=status
                )
            case "shell":
                action = LocalShellAction(command=("ls",), env={"A": "b"}, timeout_ms=1)
                return LocalShellCall(call_id=call_id, action=action, origin=origin, status=status)
            case "search":
                return ToolSearchCall(call_id=call_id, arguments={"query": "q"}, origin=origin, status=status)
            case _:
                arguments = self._pick(ARGUMENTS)
                namespace = "mcp" if self._random.random() < 0.1 else None
                return FunctionCall(
                    call_id=call_id,
                    name=name,
                    arguments=arguments,
                    origin=origin,
                    opaque=opaque,
                    status=status,
                    namespace=namespace,
                )

    def _odd_output(self) -> ResponseItem:
        kind = self._pick(("function", "function", "custom", "search"))
        return self._output(kind, self._pick(IDS))

    def _output(self, kind: str, call_id: str) -> ResponseItem:
        text = f"{self._mark('R')} {self._pick(TEXTS)}"
        success = self._random.choice((None, True, False))
        if self._random.random() < 0.1:
            text, success = self._pick(("", " ")), self._random.choice((True, False))
        output: str | tuple[OutputPart, ...] = text
        if self._random.random() < 0.3:
            parts: list[OutputPart] = [InputText(text=text), self._media(), self._media()][: self._random.randint(0, 3)]
            output = tuple(parts)
        if kind == "custom":
            return CustomToolCallOutput(call_id=call_id, output=output, success=success)
        if kind == "search":
            return ToolSearchOutput(call_id=call_id, tools=({"type": "function", "name": "found", "parameters": {}},))
        return FunctionCallOutput(call_id=call_id, output=output, success=success)

    def _odd_reasoning(self) -> Reasoning:
        origin, chance = self._origin(), self._random.random
        details: tuple[JsonObject, ...] = ({"type": "reasoning.text", "text": "t"},) if chance() < 0.3 else ()
        return Reasoning(
            content=tuple(self._pick(TEXTS) for _ in range(self._random.randint(0, 2))),
            summary=tuple(self._pick(TEXTS) for _ in range(self._random.randint(0, 1))),
            encrypted_content="sealed" if chance() < 0.3 else None,
            signature="signed" if chance() < 0.3 else None,
            details=details,
            opaque=self._opaque(origin, "reasoning"),
            origin=origin,
        )

    def _rare(self) -> tuple[ResponseItem, ...]:
        origin = self._origin(item_id="rare_1")
        image = ImageGenerationCall(result="aGk=", revised_prompt="p", origin=origin)
        action: JsonObject = {"type": self._pick(("search", "other")), "query": "q"}
        server = self._server_tool(self._origin(item_id="ci_1"))
        return (
            GhostSnapshot(ghost_commit={"id": "1"}),
            Compaction(summary="told before", encrypted_content="sealed", origin=self._origin()),
            Compaction(summary=self._pick(("told", " ", "")) or None, origin=self._origin()),
            image,
            WebSearchCall(action=action, status="completed", origin=self._origin(item_id="ws_1")),
            ToolSearchCall(call_id=None, execution="server", arguments={"q": 1}, origin=self._origin()),
            ToolSearchOutput(call_id=None, execution="server"),
            UnknownItem(raw={"no": "type"}, origin=self._origin()),
            *server,
        )

    def _server_tool(self, origin: Origin | None) -> tuple[ResponseItem, ...]:
        """What a provider ran itself, in the kinds this version has no class for."""
        self._ids += 1
        if origin is not None and origin.wire == "messages":
            use: JsonObject = {
                "type": "server_tool_use",
                "id": f"srvtoolu_{self._ids}",
                "name": "web_search",
                "input": {},
            }
            result: JsonObject = {"type": "web_search_tool_result", "tool_use_id": use["id"], "content": []}
            return UnknownItem(raw=use, origin=origin), UnknownItem(raw=result, origin=origin)
        if self._random.random() < 0.5:
            call: JsonObject = {
                "type": "shell_call",
                "call_id": f"sh_{self._ids}",
                "action": {"commands": ["ls"]},
                "status": "completed",
            }
            answer: JsonObject = {"type": "shell_call_output", "call_id": call["call_id"], "output": []}
            return UnknownItem(raw=call, origin=origin), UnknownItem(raw=answer)
        raw: JsonObject = {
            "type": "code_interpreter_call",
            "id": f"ci_{self._ids}",
            "code": "1",
            "container_id": "c",
            "status": "completed",
        }
        return (UnknownItem(raw=raw, origin=origin),)

    # whole turns

    def turn(self) -> tuple[ResponseItem, ...]:
        """A question, a few steps with calls and their outputs, an answer: all of one model's, all as it should be."""
        base = self._random.choice(self._origins)
        out: list[ResponseItem] = [self._user()]
        if self._random.random() < 0.1:
            out.insert(0, Message(role="system", content=(InputText(text="mind the gap"),)))
        for _ in range(self._random.randint(0, 3)):
            out += self._step(base)
        out += self._thought(base)
        out.append(
            Message(
                role="assistant",
                content=(OutputText(text=self._pick(("done", "a", "b"))),),
                origin=self._named(base, "msg"),
            )
        )
        return tuple(out)

    def _named(self, origin: Origin | None, prefix: str, field: str = "") -> Origin | None:
        if origin is None:
            return None
        self._ids += 1
        return origin.model_copy(update={"item_id": f"{prefix}_{self._ids}", "field": field})

    def _step(self, base: Origin | None) -> list[ResponseItem]:
        out = self._thought(base)
        if self._random.random() < 0.4:
            out.append(
                Message(role="assistant", content=(OutputText(text="let me see"),), origin=self._named(base, "msg"))
            )
        if self._random.random() < 0.2:
            out += self._server_tool(self._named(base, "ci"))
        calls: list[tuple[str, str]] = []
        for n in range(self._random.choice((1, 1, 2, 3))):
            kind = self._pick(("function", "function", "function", "custom", "shell", "search"))
            self._ids += 1
            call_id = self._pick((f"call_{n}", f"call_{self._ids}", f"functions.f:{self._ids}", "k" * 300))
            calls.append((kind, call_id))
            out.append(self._call(call_id, self._named(base, "fc"), kind))
            if self._random.random() < 0.15:
                out += self._thought(base)
            if self._random.random() < 0.1:
                out.append(
                    Message(role="assistant", content=(OutputText(text="and this"),), origin=self._named(base, "msg"))
                )
        out += (self._output("function" if kind == "shell" else kind, call_id) for kind, call_id in calls)
        return out

    def _thought(self, base: Origin | None) -> list[ResponseItem]:
        """Reasoning as the wire it is of brings it."""
        if self._random.random() < 0.4:
            return []
        match base.wire if base is not None else "":
            case "responses":
                form = self._random.choice(
                    (Reasoning(encrypted_content="sealed"), Reasoning(summary=("so",)), Reasoning(content=("so",)))
                )
                return [form.model_copy(update={"origin": self._named(base, "rs", "encrypted_content")})]
            case "messages":
                redacted = self._random.random() < 0.2
                thought = (
                    Reasoning(encrypted_content="sealed")
                    if redacted
                    else Reasoning(content=("hm",), signature="signed")
                )
                field = "redacted_thinking" if redacted else "thinking"
                return [thought.model_copy(update={"origin": self._named(base, "", field)})]
            case "chat":
                field = self._pick(FIELDS[1:6])
                details: tuple[JsonObject, ...] = (
                    ({"type": "reasoning.text", "text": "t"},) if field == "reasoning_details" else ()
                )
                return [Reasoning(content=("hm",), details=details, origin=self._named(base, "", field))]
            case _:
                return [Reasoning(content=("hm",))]
