"""The codec contract: one wire, both directions, no I/O.

A codec is a stateless object; what has state is made by it: a `StreamDecoder` or a `StreamEncoder`, one per stream.
The hub is items and events, never another wire, so N wires need N codecs. What a wire cannot carry is a declared
`Loss`, reported with the encoded request; replay's `Repair`s are reported beside it. Deviations of providers are
fields of `Compat`, whose defaults are the wire's standard; no codec knows a provider by name.

Encoding is deterministic and prefix-stable: the same prompt gives the same bytes, and a longer history starts with the
message bytes of the shorter one up to the last user turn's reasoning. Prompt caches live on that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Literal, Protocol, TypeAlias, TypeVar, cast

from msgspec import Struct, field
from msgspec.json import Decoder, Encoder
from pydantic_core import to_json

from ..errors import ApiError, InvalidPromptError, MalformedStream, ModelError
from ..events import Completed, Response, ResponseEvent
from ..items import JsonObject, JsonValue, ResponseItem, WireName
from ..prompt import Prompt

__all__ = [
    "Compat",
    "DecodedRequest",
    "Encoded",
    "Loss",
    "Repair",
    "RepairKind",
    "RequestEncoder",
    "SchemaDialect",
    "StreamDecoder",
    "StreamEncoder",
    "WireCodec",
    "first_look",
    "json_bytes",
    "json_int",
    "json_list",
    "json_object",
    "json_str",
    "prompt_json",
    "text_json",
    "torn_event",
]


_Seen = TypeVar("_Seen")

_encode_text = Encoder().encode

SchemaDialect: TypeAlias = Literal["as_is", "openai_strict", "gemini", "moonshot", "inline_refs"]


class Compat(Struct, frozen=True, kw_only=True):
    """How a server deviates from the standard of its wire. Every default is the standard (or, where servers disagree,
    what the most of them accept); a provider row sets only what differs, with its source in a comment.

    `provider` is the label written into `Origin`; replay compares it, nothing else does.
    """

    provider: str = ""

    # roles and message shapes
    system_role: Literal["system", "developer", "user"] = "system"
    """Role of the instructions on Chat and of system messages on Responses."""
    content_as_string: bool = False
    """Text-only content must be a plain string everywhere (DeepSeek, Moonshot: providers.md 3a)."""
    omit_null_content: bool = False
    """Leave `content` out next to tool calls instead of sending null (Moonshot, Mistral reject empty text)."""
    tool_message_name: bool = False
    """Tool messages carry the tool's `name` (Mistral)."""
    assistant_prefix: bool = False
    """Chat: a last message of the assistant's carries `prefix: true`, or is refused (Mistral: providers.md 3a)."""
    error_prefix: str = "Error: "
    """Put before a failed tool output where the wire has no error flag (Chat, Responses). Empty: send it bare."""
    inline_system: bool = False
    """Messages: a `system` message after the first keeps its role and place (newer models); otherwise it is sent as the
    user's text, marked as a reminder."""
    merge_system: bool = False
    """Only one system message, at the start, is accepted (some vLLM templates)."""

    # tokens and sampling
    context_window: int | None = None
    """Tokens a prompt may have, where known: what compaction goes by."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Chat only: OpenAI's own reasoning models want `max_completion_tokens`, most others know only `max_tokens`."""
    default_max_tokens: int | None = None
    """Sent when the prompt has no cap. Messages must have one: its codec falls back to 8192."""
    sampling: bool = True
    """False: the model refuses temperature, top_p and penalties (OpenAI reasoning models)."""
    sampling_beside_reasoning: bool = True
    """False: it refuses them while it reasons (GPT-5.1 and later, which can be told not to)."""
    reasons_by_default: bool = False
    """The model reasons unless the prompt says effort `none`. Only asked where something does not go with reasoning."""
    penalties: bool = True
    """The server knows presence and frequency penalties (Cerebras rejects them)."""
    logprobs: bool = True
    """Chat: the server gives log probabilities (Mistral rejects the member: recorded)."""
    top_k: bool = False
    """Chat: the server samples by `top_k` (open engines; OpenAI's own API has no such member)."""
    stop: bool = True
    max_stop: int | None = 4
    temperature_max: float = 2.0
    seed_field: Literal["seed", "random_seed"] = "seed"
    """Chat: Mistral's requests carry `random_seed` (recorded)."""

    # streaming
    include_usage: bool = True
    """Chat: send `stream_options: {"include_usage": true}` when streaming."""

    # tools
    empty_tools: Literal["omit", "send"] = "omit"
    """vLLM rejects `tools: []`; some proxies require it once history has calls (pains.md 13)."""
    strict_tools: bool = True
    """The server knows `strict` on function tools."""
    custom_tools: bool = False
    """The server knows free-form tools; otherwise they are lowered to a function with one string `input`."""
    required_choice: Literal["required", "any", "auto"] = "required"
    """How `tool_choice="required"` is spelled on Chat; `auto`: not supported, a loss."""
    named_choice: bool = True
    choice_beside_reasoning: bool = True
    """False: no tool can be forced while the model reasons (DeepSeek v4: "Thinking mode does not support this
    tool_choice", recorded)."""
    reasoning_beside_choice: bool = True
    """Chat: False: reasoning that is asked for goes where a tool is forced; the server would drop it unsaid."""
    choice_in_cache: bool = False
    """Another `tool_choice` than last time loses the cached conversation (Messages: it is cached before it)."""
    parallel_tool_calls: bool = True
    """The server knows `parallel_tool_calls`."""
    text_calls: Literal["forced", "always", "never"] = "forced"
    """When a call that the model wrote as text is read as one (`codecs.text_calls`): where the prompt forces a call and
    none came, in every answer to a prompt with tools (templates that leave `<tool_call>` in the text), never."""
    calls_last: bool = False
    """Responses: no message stands between a call and its output (DeepSeek: recorded); text goes before the calls."""
    call_id_max: int = 64
    call_id_exact: int | None = None
    """Mistral wants ids of exactly 9 alphanumerics."""
    qualify_call_ids: bool = False
    """Call ids are only unique within a response (Bedrock): make them unique within the history."""
    schema_dialect: SchemaDialect = "as_is"
    """How JSON Schemas of tools and answers are rewritten for this server (`codecs.schemas`). `openai_strict` applies
    to those that ask for strict; all the others to every schema."""

    # structured output
    output_schema: Literal["json_schema", "json_object", "tool", "none"] = "json_schema"
    """What carries an output schema (`codecs.output_forms`): the wire's own member, its JSON mode, a forced tool whose
    arguments are the answer, nothing."""
    schema_beside_tools: bool = True
    """False: an output schema is refused beside tools (Groq, Fireworks, DeepSeek: providers.md 3d); it becomes one."""

    # reasoning
    reasoning_request: Literal[
        "none",
        "effort",  # reasoning_effort / reasoning.effort
        "object",  # OpenRouter: reasoning: {effort, max_tokens}
        "enabled_object",  # Together: reasoning: {enabled}
        "thinking_type",  # thinking: {type: enabled|disabled} (DeepSeek, Moonshot, Z.AI)
        "thinking_effort",  # the same, and reasoning_effort (DeepSeek v4)
        "enable_thinking",  # enable_thinking, thinking_budget (DashScope)
        "budget",  # Messages: thinking: {type: enabled, budget_tokens}
        "adaptive",  # Messages: thinking: {type: adaptive}, output_config.effort
    ] = "effort"
    efforts: tuple[str, ...] = ()
    """The efforts the model knows, where it refuses others: the nearest is sent. Empty: any."""
    thinking_members: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Chat: members beside `type` of a `thinking` object that turns it on (`keep`, `clear_thinking`)."""
    reasoning_replay: Literal["never", "open_calls", "always"] = "always"
    """When reasoning goes back to its own origin: never; only while the turn has tool calls; always."""
    reasoning_field: Literal[
        "as_received", "reasoning", "reasoning_content", "reasoning_details", "content_list", "think_tag", "none"
    ] = "as_received"
    """Chat: the field it goes back in. `as_received` uses `Origin.field`."""
    reasoning_always_present: bool = False
    """Chat: every assistant message carries the reasoning field, an empty string if need be (DeepSeek v4)."""
    unsigned_thinking: bool = False
    """Messages: thinking without a signature is taken back (servers of open models); Anthropic's own API refuses it."""
    encrypted_reasoning: bool = False
    """Responses: ask for `include: ["reasoning.encrypted_content"]` when reasoning is asked for, or on by default."""
    foreign_reasoning: Literal["drop", "text"] = "drop"
    """What becomes of reasoning from another origin: dropped, or made assistant text. Reported either way."""

    # media
    images: bool = True
    """False: a text-only model; images become a placeholder text."""
    images_in_tool_results: bool = True
    """Chat: False moves a tool result's images into a following user message."""
    files: bool = True

    # storing and caching
    compact_endpoint: bool = False
    """Responses: the server has `…/responses/compact`, which makes an encrypted compaction of a history."""
    store: bool | None = None
    """Responses: the `store` member; None leaves it out unless the prompt says."""
    send_item_ids: bool = False
    """Responses: send provider item ids back (only where responses are stored)."""
    prompt_cache_key: bool = False
    cache_control: bool = False
    """Messages, and Chat servers in front of models that cache up to a mark (Claude at OpenRouter, LiteLLM): place
    breakpoints by rule, on the instructions, the tools, and the ends of the newest two turns of what is not the
    model's. A wish, not a fact: no row sets it. Not where content must be a string."""
    tool_breakpoint: Literal["part", "message"] = "part"
    """Chat: where a tool message carries its breakpoint. LiteLLM would put that of a part inside of the result, where
    Anthropic does not take one; OpenRouter reads those of parts only."""

    # decoding
    output_excludes_reasoning: bool = False
    """`completion_tokens` does not contain reasoning tokens (xAI: providers.md 3c)."""
    charge_member: tuple[str, ...] = ()
    """Where in `usage` the server says what the answer costs, e.g. `("cost",)` of OpenRouter; empty: it does not."""
    charges_per_usd: float = 1.0
    """How many of what it counts there are a US dollar (xAI: 10^10 ticks)."""
    finish_may_be_missing: bool = False
    """Chat: EOF without a finish_reason is a normal end (Snowflake never sends one)."""

    model_in_body: bool = True
    """Messages: False: the model is in the URL and refused in the body (Vertex)."""
    unknown_members: tuple[str, ...] = ()
    """Chat: those of `service_tier`, `metadata`, `user`, `verbosity`, `store` that the server refuses."""
    extra_body: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    """Members added to every body, before `Prompt.extra`."""


class Loss(Struct, frozen=True):
    """Something the prompt says that this wire (or server) cannot carry. Soft: the request goes out without it.

    A hard loss is not a value: it is an UnsupportedError raised before anything is sent.
    """

    feature: str
    detail: str = ""


RepairKind = Literal[
    "answered_open_call",  # a call without an output got a synthetic one
    "dropped_orphan_output",  # an output that answers no call
    "dropped_duplicate_output",  # a second output for one call
    "moved_output",  # an output was brought next to its call
    "moved_message",  # text between a call and its output was moved before the calls
    "renamed_call_id",  # a call id this wire refuses, or used twice
    "replaced_arguments",  # arguments that are no JSON object
    "replaced_name",  # a tool name servers refuse (a model can make one up)
    "moved_reasoning",  # brought before the item it belongs to
    "joined_reasoning",  # several reasonings of one item made one, on a wire with one field for them
    "dropped_opaque",  # sealed provider data of another origin, cut off an item that stays
    "dropped_reasoning",  # foreign, unanchored, blank or not wanted by the profile
    "textified_reasoning",  # foreign reasoning made text, because the caller asked for it
    "dropped_duplicate_message",  # the same assistant text twice in a row
    "dropped_empty_message",
    "dropped_item",  # kinds that are never sent, or belong to another origin
    "lowered_item",  # a kind this wire lacks, written as one it has
    "replaced_image",  # an image for a text-only model
    "replaced_file",  # a file for a model that reads none
    "replaced_characters",  # lone surrogates
    "inserted_message",  # a message the wire insists on (role alternation, first role)
]


class Repair(Struct, frozen=True):
    """One change replay made. `item_index` is the place in the prompt's items; `reason` holds no conversation text."""

    kind: RepairKind
    item_index: int
    reason: str = ""


class Encoded(Struct, frozen=True):
    """A request body ready to send, with everything that was not carried as it stood."""

    body: bytes
    losses: tuple[Loss, ...] = ()
    repairs: tuple[Repair, ...] = ()


class DecodedRequest(Struct, frozen=True):
    """A request somebody sent us: the prompt, and whether they want a stream (and on Chat, usage in it)."""

    prompt: Prompt
    stream: bool = False
    include_usage: bool = False
    losses: tuple[Loss, ...] = ()


class StreamDecoder(Protocol):
    """Bytes of one response stream in, events out. Made per stream; not thread-safe; never raises for what a peer sent.

    Feed bytes as they come, in any split, until `done` or `error` is set; then feed nothing more. At EOF call `close`
    once: it flushes, and decides whether EOF was a legal end on this wire. Then exactly one of two things is true:
    the last event returned was `Completed`, or `error` is set (events that came before it are still returned, partial
    items as `OutputItemDone` with status `incomplete`, and `error.partial` holds the response so far).
    """

    error: ModelError | None
    done: bool
    """`Completed` was returned or `error` is set: stop reading."""
    finishing: bool
    """The answer is whole but usage may still come (Chat after a finish_reason): read on for a short grace only."""
    frames: int
    """SSE events dispatched so far."""

    def feed(self, data: bytes) -> list[ResponseEvent]: ...

    def close(self) -> list[ResponseEvent]: ...

    def snapshot(self) -> Response:
        """The response so far, unfinished items marked incomplete; after the end, the whole of it."""
        ...


class StreamEncoder(Protocol):
    """Events of one response in, bytes of this wire's stream out: what a server sends. Deterministic: ids come from the
    events (`Created.response_id`, call ids) and are derived from them where the wire wants more.

    `fail` writes the wire's in-stream error and ends; nothing may follow. `close` after `Completed` writes what the
    wire puts last (`[DONE]` on Chat). A stream that is closed without `Completed` or `fail` must not look complete.
    """

    def feed(self, event: ResponseEvent) -> bytes: ...

    def fail(self, error: ModelError) -> bytes: ...

    def close(self) -> bytes: ...


class RequestEncoder(Protocol):
    """`encode_request` for one server, again and again: always gives the same, but keeps what it wrote, so that a
    request costs what is new in it and one copy of its body. It keeps the newest few conversations, their items too;
    dropping it drops them. Items must not change. Not for several threads.
    """

    def encode(self, prompt: Prompt, *, stream: bool = True) -> Encoded: ...


class WireCodec(Protocol):
    """One wire. Stateless: one instance serves the whole process."""

    wire: WireName
    path: str
    """What follows the base URL: `/chat/completions`, `/responses`, `/messages`."""
    losses: frozenset[str]
    """Features of a prompt this wire never carries (`Loss.feature` names)."""

    def encode_request(self, prompt: Prompt, compat: Compat, *, stream: bool = True) -> Encoded:
        """Raises InvalidPromptError or UnsupportedError; nothing else."""
        ...

    def request_encoder(self, compat: Compat) -> RequestEncoder: ...

    def decode_request(self, body: bytes) -> DecodedRequest:
        """Raises InvalidRequestError (status 400) naming the member that is wrong."""
        ...

    def decode_response(self, body: bytes, prompt: Prompt, compat: Compat) -> Response:
        """A whole (non-stream) answer. Raises ApiError for an error object in a 200, MalformedStream for anything
        else that is no answer of this wire."""
        ...

    def encode_response(self, response: Response, prompt: Prompt) -> bytes:
        """A whole answer. One that an error stopped (`finish_reason` error) is written as failed, never as complete."""
        ...

    def answer_losses(self, said: ResponseItem | Completed) -> Iterator[Loss]:
        """What an answer of this wire, streamed or whole, cannot carry of an item, or of how the answer ended. Beside
        that, texts and calls keep their order only as far as the wire has one, and only the wire's own ids survive."""
        ...

    def stream_decoder(self, prompt: Prompt, compat: Compat) -> StreamDecoder: ...

    def stream_encoder(self, prompt: Prompt, *, include_usage: bool = True) -> StreamEncoder: ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        """An HTTP error answer. Never raises: an unreadable body still gives the class its status calls for."""
        ...

    def encode_error(self, error: ModelError) -> tuple[int, dict[str, str], bytes]: ...


def json_object(value: object) -> JsonObject | None:
    """`value` if it is a JSON object, else None: the first look at anything a peer sent."""
    return value if isinstance(value, dict) else None  # pyright: ignore[reportUnknownVariableType]  # cast() is a call


def json_list(value: object) -> list[JsonValue]:
    """`value` if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # cast() is a call


def json_str(value: object) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def json_int(*candidates: object) -> int | None:
    """The first whole number among `candidates` (booleans and infinities are none; floats are cut), or None."""
    for value in candidates:
        if type(value) is int:
            return value
        if isinstance(value, float) and isfinite(value):
            return int(value)
    return None


def first_look(kind: type[_Seen]) -> Callable[[bytes], _Seen | None]:
    """Reads JSON that is a `kind`, a struct; None for any other data, which is then to be read in full.

    For what comes once per token: a struct of the few members that count is decoded in half the time of a dict.
    """
    decode = Decoder(kind).decode

    def look(data: bytes) -> _Seen | None:
        try:
            return decode(data.decode())  # as text: msgspec does not look at the UTF-8 of members that it leaves out
        except (ValueError, RecursionError):
            return None

    return look


def torn_event(data: bytes) -> MalformedStream | None:
    """The error of an event whose data begins as a JSON object and is none; None for any other data.

    Part of it was lost on the way, and text or arguments with it: what is left must not pass for the answer, and a
    patch with a hole must not be applied. No recorded stream has one. Data that never was an object (a `ping`, a bare
    list) holds nothing of the answer and is skipped by the codecs (behaviours.md S1-32), as is what nests too deeply.
    """
    if data.lstrip()[:1] != b"{":
        return None
    try:
        json.loads(data)
    except RecursionError:
        return None
    except ValueError:
        return MalformedStream(
            f"an event of {len(data)} bytes is broken JSON",
            remedy="sample again; if it keeps happening, the server or a proxy before it is broken",
            retryable=True,
        )
    return None


def json_bytes(value: JsonValue) -> bytes:
    """`value` as compact JSON, members in their order: the same value always gives the same bytes.

    Lone surrogates, which JSON written as UTF-8 cannot hold, are mended where they are pairs and else become U+FFFD;
    infinities, which JSON lacks, become null. Raises ValueError (RecursionError for a value that holds itself) for what
    is no JSON: a caller's schema may hold anything.
    """
    try:
        return to_json(value, inf_nan_mode="null", fallback=_plain)
    except ValueError:
        return to_json(_without_surrogates(value), inf_nan_mode="null", fallback=_plain)


def text_json(text: str) -> bytes:
    """`json_bytes` of a string, for those that are written once per token."""
    try:
        return _encode_text(text)
    except UnicodeEncodeError:  # lone surrogates
        return json_bytes(text)


def prompt_json(value: JsonValue) -> bytes:
    """`json_bytes` of what a prompt says. Raises InvalidPromptError for what is no JSON."""
    try:
        return json_bytes(value)
    except (ValueError, RecursionError) as error:
        raise InvalidPromptError(
            f"the prompt holds something that is no JSON: {error}", remedy="use strings, numbers, lists and mappings"
        ) from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):  # a read-only view, for example
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def _without_surrogates(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [_without_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return {str(_without_surrogates(name)): _without_surrogates(entry) for name, entry in value.items()}
    return value
