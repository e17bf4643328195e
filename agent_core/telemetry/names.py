"""Every name that leaves this program in a span, a metric or an event: the only file that spells them.

They are those of the OpenTelemetry GenAI semantic conventions as released in v0.1.0 of semantic-conventions-genai (all
of them of status "development", so they will change, and then only here), of the general conventions for servers,
errors and HTTP, and, where there is none, ours under `agent_core.`. docs/tracing.md has them as tables, which a test
compares with `TABLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "BEFORE_0_1",
    "DURATIONS_S",
    "PROVIDERS",
    "TABLE",
    "TOKENS",
    "Kind",
    "Name",
    "provider_name",
]

# Span names: what is done, and to what.
INVOKE_AGENT = "invoke_agent"
CHAT = "chat"
EXECUTE_TOOL = "execute_tool"
COMPACT = "compact"
POST = "POST"

# Attributes of the conventions.
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
CONVERSATION = "gen_ai.conversation.id"
COMPACTED = "gen_ai.conversation.compacted"
OUTPUT_TYPE = "gen_ai.output.type"
REQUEST_MODEL = "gen_ai.request.model"
STREAM = "gen_ai.request.stream"
MAX_TOKENS = "gen_ai.request.max_tokens"
TEMPERATURE = "gen_ai.request.temperature"
TOP_P = "gen_ai.request.top_p"
TOP_K = "gen_ai.request.top_k"
SEED = "gen_ai.request.seed"
FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty"
PRESENCE_PENALTY = "gen_ai.request.presence_penalty"
REASONING_LEVEL = "gen_ai.request.reasoning.level"
PREVIOUS_RESPONSE = "gen_ai.request.previous_response.id"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOOL = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOKEN_TYPE = "gen_ai.token.type"
TOKEN_MODALITY = "gen_ai.token.modality"
SERVER = "server.address"
PORT = "server.port"
METHOD = "http.request.method"
ROUTE = "http.route"
STATUS_CODE = "http.response.status_code"
ERROR = "error.type"

# Content, recorded where it is asked for.
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

# Ours.
TURN = "agent_core.turn.id"
WIRE = "agent_core.wire"
REQUEST_ID = "agent_core.request.id"
STOP_REASON = "agent_core.stop_reason"
SAMPLES = "agent_core.samples"
TOOL_CALLS = "agent_core.tool_calls"
OUTCOME = "agent_core.tool.outcome"
COST = "agent_core.cost.amount"
CURRENCY = "agent_core.cost.currency"
COMPACTION_REASON = "agent_core.compaction.reason"
COMPACTION_KIND = "agent_core.compaction.kind"
TOKENS_BEFORE = "agent_core.compaction.tokens_before"
TOKENS_AFTER = "agent_core.compaction.tokens_after"
REPLACED = "agent_core.compaction.replaced"
RETRY = "agent_core.retry"
RESTART = "agent_core.restart"
ATTEMPT = "agent_core.retry.attempt"
REASON = "agent_core.retry.reason"
DELAY_S = "agent_core.retry.delay_s"
WILL_RETRY = "agent_core.retry.will_retry"
FALLBACK = "agent_core.fallback"
FAILED_MODEL = "agent_core.fallback.failed"
NEXT_MODEL = "agent_core.fallback.model"
GATEWAY_OUTCOME = "agent_core.gateway.outcome"
GATEWAY_KEY = "agent_core.gateway.key"
GATEWAY_REQUEST_ID = "agent_core.gateway.request.id"
DEPLOYMENT = "agent_core.gateway.deployment"

# Metrics.
CALL_DURATION = "gen_ai.client.inference.duration"
FIRST_CHUNK = "gen_ai.client.inference.time_to_first_chunk"
CALL_INPUT = "gen_ai.client.inference.operation.input_tokens"
CALL_OUTPUT = "gen_ai.client.inference.operation.output_tokens"
USED_INPUT = "gen_ai.client.inference.usage.input_tokens"
USED_OUTPUT = "gen_ai.client.inference.usage.output_tokens"
USED_CACHE_READ = "gen_ai.client.inference.usage.cache_read.input_tokens"
USED_CACHE_WRITE = "gen_ai.client.inference.usage.cache_write.input_tokens"
USED_REASONING = "gen_ai.client.inference.usage.reasoning.output_tokens"
AGENT_DURATION = "gen_ai.invoke_agent.duration"
AGENT_CALLS = "gen_ai.invoke_agent.inference_calls"
AGENT_TOOL_CALLS = "gen_ai.invoke_agent.tool_calls"
TOOL_DURATION = "gen_ai.execute_tool.duration"
OLD_DURATION = "gen_ai.client.operation.duration"
OLD_FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
OLD_TOKENS = "gen_ai.client.token.usage"

# Events (log records), for content that is not to be on spans.
DETAILS = "gen_ai.client.inference.operation.details"

BEFORE_0_1 = frozenset({OLD_DURATION, OLD_FIRST_CHUNK, OLD_TOKENS})
"""Metrics by their names up to v1.41 of the conventions, recorded too because dashboards know them; not where
OTEL_SEMCONV_STABILITY_OPT_IN has `gen_ai_latest_experimental`."""

DURATIONS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
RUNS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
"""The buckets the conventions give to their histograms."""

PROVIDERS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Rows whose provider the conventions call otherwise; any other has its row's name."""

Kind: TypeAlias = Literal["span", "attribute", "content", "span event", "metric", "event"]


class Name(Struct, frozen=True):
    """One line of the tables: a name, what kind of thing it names, where it is found, what it says."""

    name: str
    kind: Kind
    where: str
    says: str


def provider_name(row: str) -> str:
    """`gen_ai.provider.name` of a provider row."""
    return PROVIDERS.get(row, row)


def span_name(operation: str, of: str) -> str:
    """`chat gpt-5.6`; the operation alone where nothing is known of what it is done to."""
    return f"{operation} {of}" if of else operation


TABLE: tuple[Name, ...] = (
    Name(INVOKE_AGENT, "span", "`invoke_agent {agent}`, INTERNAL", "one turn of an agent"),
    Name(CHAT, "span", "`chat {model}`, CLIENT", "one answer of a model, its retries included"),
    Name(EXECUTE_TOOL, "span", "`execute_tool {tool}`, INTERNAL", "one call of a tool that was run"),
    Name(COMPACT, "span", "`compact`, INTERNAL", "a summary takes the place of a history; its requests are below it"),
    Name(POST, "span", "`POST {path}`, SERVER", "one request to the gateway, below the caller's `traceparent`"),
    Name(OPERATION, "attribute", "all", "the first word of the span's name; of the gateway's `chat`"),
    Name(PROVIDER, "attribute", "agent, chat, gateway", "the provider, by the conventions' word where they have one"),
    Name(AGENT, "attribute", "agent, tool", "`Agent(name=…)`"),
    Name(CONVERSATION, "attribute", "agent, chat, compact", "the session's id"),
    Name(COMPACTED, "attribute", "chat", "true where a summary stands for the beginning of the history"),
    Name(OUTPUT_TYPE, "attribute", "agent, chat", "`json` where a schema was asked for"),
    Name(REQUEST_MODEL, "attribute", "agent, chat, gateway", "the model that was asked for"),
    Name(STREAM, "attribute", "chat, gateway", "true for streams"),
    Name(MAX_TOKENS, "attribute", "chat", "`max_output_tokens`"),
    Name(TEMPERATURE, "attribute", "chat", "sampling"),
    Name(TOP_P, "attribute", "chat", "sampling"),
    Name(TOP_K, "attribute", "chat", "sampling"),
    Name(SEED, "attribute", "chat", "sampling"),
    Name(FREQUENCY_PENALTY, "attribute", "chat", "sampling"),
    Name(PRESENCE_PENALTY, "attribute", "chat", "sampling"),
    Name(REASONING_LEVEL, "attribute", "chat", "the effort that was asked for"),
    Name(PREVIOUS_RESPONSE, "attribute", "chat", "the stored response the request goes on from"),
    Name(RESPONSE_ID, "attribute", "chat", "the provider's id of the answer"),
    Name(RESPONSE_MODEL, "attribute", "chat, gateway", "the model that answered, as the answer says"),
    Name(FINISH_REASONS, "attribute", "chat", "why it stopped, in one word: events.FinishReason"),
    Name(TIME_TO_FIRST_CHUNK, "attribute", "chat, gateway", "seconds to the first content event, waits included"),
    Name(INPUT_TOKENS, "attribute", "agent, chat, gateway", "all input, cached included"),
    Name(OUTPUT_TOKENS, "attribute", "agent, chat, gateway", "all output, reasoning included"),
    Name(CACHE_READ_TOKENS, "attribute", "agent, chat, gateway", "of the input, read from a cache"),
    Name(CACHE_WRITE_TOKENS, "attribute", "agent, chat, gateway", "of the input, written to a cache"),
    Name(REASONING_TOKENS, "attribute", "agent, chat, gateway", "of the output, reasoning"),
    Name(TOOL, "attribute", "tool", "the tool's name"),
    Name(TOOL_TYPE, "attribute", "tool", "`function`"),
    Name(TOOL_CALL_ID, "attribute", "tool", "the id of the call it answers"),
    Name(TOKEN_TYPE, "attribute", "metrics", "`input` or `output`, in the old token histogram"),
    Name(TOKEN_MODALITY, "attribute", "metrics", "`unknown`: no provider says it of all its tokens"),
    Name(SERVER, "attribute", "chat", "the host of the base URL"),
    Name(PORT, "attribute", "chat", "its port"),
    Name(METHOD, "attribute", "gateway", "`POST`"),
    Name(ROUTE, "attribute", "gateway", "the path that was asked"),
    Name(STATUS_CODE, "attribute", "chat, gateway", "of an error answer; what the gateway's client was told"),
    Name(ERROR, "attribute", "all", "a model's error by its `reason`, any other by its class, a tool's by its outcome"),
    Name(INPUT_MESSAGES, "content", "agent, chat", "what was sent of the history; of an agent, what the user said"),
    Name(OUTPUT_MESSAGES, "content", "agent, chat", "what the model answered"),
    Name(INSTRUCTIONS, "content", "agent, chat", "the instructions"),
    Name(TOOL_DEFINITIONS, "content", "chat", "type and name of each tool"),
    Name(TOOL_ARGUMENTS, "content", "tool", "the arguments, as the model wrote them"),
    Name(TOOL_RESULT, "content", "tool", "what the tool answered"),
    Name(TURN, "attribute", "agent", "the turn's id, as in the session's file"),
    Name(WIRE, "attribute", "chat, gateway", "chat, responses or messages"),
    Name(REQUEST_ID, "attribute", "chat", "the provider's id of the request, for its support"),
    Name(STOP_REASON, "attribute", "agent", "why the turn ended: turn_events.StopReason, or `error`"),
    Name(SAMPLES, "attribute", "agent", "how often the model was asked"),
    Name(TOOL_CALLS, "attribute", "agent", "how many calls it made"),
    Name(OUTCOME, "attribute", "tool", "ok, failed, timed_out or cancelled"),
    Name(COST, "attribute", "agent, gateway", "what the turn or the request cost, where that is known"),
    Name(CURRENCY, "attribute", "agent, gateway", "in which currency"),
    Name(COMPACTION_REASON, "attribute", "compact", "limit, overflow or asked"),
    Name(COMPACTION_KIND, "attribute", "compact", "local or endpoint"),
    Name(TOKENS_BEFORE, "attribute", "compact", "an estimate of the next request before"),
    Name(TOKENS_AFTER, "attribute", "compact", "and after"),
    Name(REPLACED, "attribute", "compact", "how many items the summary stands for"),
    Name(RETRY, "span event", "chat", "an attempt failed before anything of it was shown"),
    Name(RESTART, "span event", "agent", "a stream broke after some of it was shown"),
    Name(FALLBACK, "span event", "agent", "a model gave no answer, and another one goes on"),
    Name(ATTEMPT, "attribute", "retry, restart", "how many have failed like that by now"),
    Name(REASON, "attribute", "retry, restart, fallback", "the error's `reason`"),
    Name(DELAY_S, "attribute", "retry, restart", "seconds until the next one"),
    Name(WILL_RETRY, "attribute", "retry, restart", "whether there is a next one"),
    Name(FAILED_MODEL, "attribute", "fallback", "the model that gave none, provider/model"),
    Name(NEXT_MODEL, "attribute", "fallback", "the one that goes on"),
    Name(GATEWAY_OUTCOME, "attribute", "gateway", "completed, refused, backend_error or client_left"),
    Name(GATEWAY_KEY, "attribute", "gateway", "the name of the key it came with"),
    Name(GATEWAY_REQUEST_ID, "attribute", "gateway", "the id the client knows, `x-request-id`"),
    Name(DEPLOYMENT, "attribute", "gateway", "which one of a model's deployments answered"),
    Name(CALL_DURATION, "metric", "histogram, s", "of `chat`"),
    Name(FIRST_CHUNK, "metric", "histogram, s", "of streamed `chat`"),
    Name(CALL_INPUT, "metric", "histogram, {token}", "of one answer"),
    Name(CALL_OUTPUT, "metric", "histogram, {token}", "of one answer"),
    Name(USED_INPUT, "metric", "counter, {token}", "all input; failed attempts too, where they were counted"),
    Name(USED_OUTPUT, "metric", "counter, {token}", "all output"),
    Name(USED_CACHE_READ, "metric", "counter, {token}", "of the input"),
    Name(USED_CACHE_WRITE, "metric", "counter, {token}", "of the input"),
    Name(USED_REASONING, "metric", "counter, {token}", "of the output"),
    Name(AGENT_DURATION, "metric", "histogram, s", "of `invoke_agent`"),
    Name(AGENT_CALLS, "metric", "histogram, {inference_call}", "requests of one turn"),
    Name(AGENT_TOOL_CALLS, "metric", "histogram, {tool_call}", "calls of one turn"),
    Name(TOOL_DURATION, "metric", "histogram, s", "of `execute_tool`"),
    Name(OLD_DURATION, "metric", "histogram, s", "of `chat`, by its name up to v1.41"),
    Name(OLD_FIRST_CHUNK, "metric", "histogram, s", "of streamed `chat`, by its name up to v1.41"),
    Name(OLD_TOKENS, "metric", "histogram, {token}", "of one answer, by type; its name up to v1.41"),
    Name(DETAILS, "event", "chat", "a log record with the content, where it is asked for as events"),
)  # fmt: skip
