"""When a history is compacted, what is asked of the model for it, and what is left when that goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agent_core.codecs.base import Compat
from agent_core.compaction import SUMMARY_PROMPT, CompactionPolicy, WindowMemory, checked_compaction
from agent_core.compaction.compactor import Compactor
from agent_core.compaction.summary import SUMMARY_GAP, SUMMARY_LEAD, Summariser
from agent_core.errors import (
    AgentCoreError,
    AuthenticationError,
    CallerError,
    CompactionError,
    ConfigError,
    ContextLengthError,
    ModelError,
    OverloadedError,
    ServerError,
    StreamInterrupted,
    TransportError,
)
from agent_core.events import Attempt, FinishReason, OutputItemAdded, OutputItemDone, OutputTextDelta, Response, Usage
from agent_core.items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    Message,
    Refusal,
    ResponseItem,
    assistant_message,
    text_of,
    user_message,
)
from agent_core.prompt import OutputSchema, Prompt, ToolSpec
from agent_core.providers import Resolved, resolve
from agent_core.retry import RetryPolicy
from agent_core.session import OutputBudget, Session
from agent_core.session.estimate import estimate_item
from agent_core.testing.model import ScriptedEvent, ScriptedModel
from agent_core.turn_events import CompactionFailed, CompactionFinished, CompactionStarted, TurnEvent

pytestmark = pytest.mark.anyio

TOOLS = (ToolSpec("look"),)
BASE = Prompt(instructions="Be brief.", tools=TOOLS, output_schema=OutputSchema({"type": "object"}))
USED = Usage(input=90, output=10)
LEAD = SUMMARY_LEAD.format(gap="")
SMALL = CompactionPolicy(window=1000, keep_tokens=100)


def summary(text: str = "All is done.", finish: FinishReason = "stop", *more: ResponseItem) -> Response:
    return Response(items=(assistant_message(text), *more), finish_reason=finish, usage=USED, status="completed")


def too_long(message: str = "too long") -> ContextLengthError:
    return ContextLengthError(message, status=400)


def words(tokens: int) -> str:
    return "x" * (4 * tokens)


def turns(count: int, tokens: int = 100) -> list[ResponseItem]:
    """Turns of one call each, of about so many tokens, which are in the output."""
    items: list[ResponseItem] = []
    for n in range(count):
        items += (
            user_message(f"u{n}"),
            FunctionCall(call_id=f"c{n}", name="look"),
            FunctionCallOutput(call_id=f"c{n}", output=words(tokens)),
            assistant_message(f"a{n}"),
        )
    return items


@dataclass
class Stage:
    """A session, a model that is asked for summaries, and a compactor between them, watched."""

    model: ScriptedModel
    session: Session = field(default_factory=lambda: Session(items=turns(4)))
    policy: CompactionPolicy = SMALL
    base: Prompt = BASE
    compat: Compat = field(default_factory=Compat)
    name: str = "lab/m"
    memory: WindowMemory = field(default_factory=WindowMemory)
    budget: OutputBudget | None = None
    seen: list[TurnEvent] = field(default_factory=list[TurnEvent])
    spent: Usage = field(default_factory=Usage)

    @property
    def compactor(self) -> Compactor:
        """As a turn has it: what is remembered from one to the next is in `memory`."""

        async def emit(event: TurnEvent) -> None:
            self.seen.append(event)

        def spend(attempt: Attempt) -> None:
            self.spent += attempt.response.usage or Usage()

        def resolved() -> Resolved:
            return replace(resolve(self.name, base_url="http://127.0.0.1"), compat=self.compat)

        summariser = Summariser(
            model=self.model,
            prompt_for=lambda items: replace(self.base, items=items),
            resolved=resolved,
            spend=spend,
            retry=RetryPolicy(max_restarts=3, base_delay_s=0.0, jitter_s=0.0),
            budget=self.budget,
        )
        return Compactor(
            self.session,
            summariser,
            policy=self.policy,
            memory=self.memory,
            base=self.base,
            resolved=resolved,
            budget=self.budget,
            emit=emit,
        )

    @property
    def kinds(self) -> list[str]:
        return [type(event).__name__.removeprefix("Compaction") for event in self.seen]


def shown(items: Sequence[ResponseItem]) -> list[str]:
    return [text_of(item) if isinstance(item, Message) else item.type for item in items]


# when


def answered(tokens: int) -> Callable[[Session], None]:
    """The provider counted so many tokens for the last response."""
    return lambda session: session.sample_finished(Usage(input=tokens))


def said(tokens: int, before: int) -> Callable[[Session], None]:
    """It counted `before`, and the user said so much more since."""

    def say(session: Session) -> None:
        answered(before)(session)
        session.append(user_message(words(tokens)))

    return say


WHEN: dict[str, tuple[CompactionPolicy, Callable[[Session], None], bool]] = {
    "below the limit": (CompactionPolicy(window=1000), answered(899), False),
    "at the limit": (CompactionPolicy(window=1000), answered(900), True),
    "what was just said counts (codex.md 2.5: a TODO there)": (CompactionPolicy(window=1000), said(200, 800), True),
    "the same, small": (CompactionPolicy(window=1000), said(50, 800), False),
    "at another share": (CompactionPolicy(at=0.5, window=1000), answered(500), True),
    "never by itself (codex#9419)": (CompactionPolicy(at=None, window=1000), answered(5000), False),
    "no window is known": (CompactionPolicy(), answered(10**9), False),
    "the estimate alone, before any count": (CompactionPolicy(window=500), lambda session: None, True),
}


@pytest.mark.parametrize("name", WHEN)
async def test_when_a_history_is_compacted(name: str) -> None:
    """By the provider's count and an estimate of what came after it, before the request is made."""
    policy, prepare, happens = WHEN[name]
    stage = Stage(ScriptedModel(summary()), policy=policy)
    prepare(stage.session)
    await stage.compactor.make_room()
    assert bool(stage.model.prompts) == happens
    assert stage.kinds == (["Started", "Finished"] if happens else [])


LIMITS: list[tuple[int | None, int | None, int | None, int | None, int | None]] = [
    # policy's window, row's, cap of the prompt, cap of the row → limit
    (None, None, None, None, None),
    (200_000, None, None, None, 180_000),
    (None, 200_000, None, None, 180_000),
    (100_000, 200_000, None, None, 90_000),
    (200_000, None, None, 32_000, 158_000),
    (200_000, None, 64_000, 32_000, 126_000),
    (1_000_000, None, None, 32_000, 900_000),
    (8_000, None, 8_000, None, 4_000),
]


@pytest.mark.parametrize(("window", "row", "cap", "row_cap", "limit"), LIMITS)
async def test_the_limit(
    window: int | None, row: int | None, cap: int | None, row_cap: int | None, limit: int | None
) -> None:
    """A share of the window, and at most what leaves room for the answer and for asking; at least half of it."""
    stage = Stage(
        ScriptedModel(),
        policy=CompactionPolicy(window=window),
        base=Prompt(max_output_tokens=cap),
        compat=Compat(context_window=row, default_max_tokens=row_cap),
    )
    assert stage.compactor.limit == limit


SHARES = [(0.9, 90_000), (0.5, 50_000), (0.1, 10_000), (1.0, 95_000)]


@pytest.mark.parametrize(("at", "limit"), SHARES)
async def test_a_share_is_kept_to(at: float, limit: int) -> None:
    """However small; at most what leaves room to ask for a summary. What stays is a quarter of it at most."""
    items = [item for n in range(40) for item in (user_message(f"u{n}" + words(2000)), assistant_message("a"))]
    stage = Stage(ScriptedModel(summary()), Session(items=items), CompactionPolicy(at=at, window=100_000))
    assert stage.compactor.limit == limit
    await stage.compactor.compact()
    kept = sum(estimate_item(item) for item in stage.session.items if isinstance(item, Message))
    assert limit // 8 < kept <= min(20_000, limit // 4)


async def test_instructions_and_tools_count_until_a_provider_has_counted_them() -> None:
    """Their estimate is in what a compaction says before and after."""
    stage = Stage(ScriptedModel(summary()), base=Prompt(instructions=words(300)))
    items = sum(map(estimate_item, stage.session.items))
    assert stage.compactor.tokens() == items + 300
    finished = await stage.compactor.compact()
    assert finished.tokens_before == items + 300
    assert finished.tokens_after == sum(map(estimate_item, stage.session.items)) + 300
    answered(1234)(stage.session)
    assert stage.compactor.tokens() == 1234


# what is asked


async def test_a_summary_is_asked_for_with_the_prompt_as_it_was() -> None:
    """Same instructions, tools and items, and one more user message (codex#37305); no call, no schema."""
    stage = Stage(ScriptedModel(summary()))
    before = stage.session.items
    await stage.compactor.compact("the failing tests")
    (prompt,) = stage.model.prompts
    assert (prompt.instructions, prompt.tools) == (BASE.instructions, TOOLS)
    assert prompt.items[:-1] == before
    ask = shown(prompt.items)[-1]
    assert ask.startswith(SUMMARY_PROMPT) and ask.endswith("the failing tests")
    assert (prompt.tool_choice, prompt.output_schema) == ("none", None)


CHOICES = [("auto", True, "auto"), ("required", True, "none"), ("auto", False, "none"), ("none", False, "none")]


@pytest.mark.parametrize(("choice", "cached", "asked"), CHOICES)
async def test_a_tool_choice_that_would_lose_the_cache_is_left(choice: str, cached: bool, asked: str) -> None:
    """Where the cache of the conversation hangs on it, a model is asked in words alone not to call tools."""
    base = replace(BASE, tool_choice=choice)  # type: ignore[arg-type]  # rows of choices
    stage = Stage(ScriptedModel(summary()), base=base, compat=Compat(choice_in_cache=cached))
    await stage.compactor.compact()
    assert stage.model.prompts[0].tool_choice == asked


async def test_a_call_it_was_only_asked_not_to_make_is_forbidden_the_second_time() -> None:
    """The summary comes from the second request; both are paid for."""
    call = Response(items=(FunctionCall(call_id="x", name="look"),), finish_reason="tool_calls", usage=USED)
    stage = Stage(ScriptedModel(call, summary()), compat=Compat(choice_in_cache=True))
    finished = await stage.compactor.compact()
    assert [prompt.tool_choice for prompt in stage.model.prompts] == ["auto", "none"]
    assert finished.usage == stage.spent == USED + USED


@pytest.mark.parametrize(("cap", "asked"), [(None, None), (100, 8192), (50_000, 50_000)])
async def test_a_small_cap_on_answers_does_not_cut_summaries(cap: int | None, asked: int | None) -> None:
    """One that is cut off is none."""
    stage = Stage(ScriptedModel(summary()), base=replace(BASE, max_output_tokens=cap))
    await stage.compactor.compact()
    assert stage.model.prompts[0].max_output_tokens == asked


# what becomes of it


async def test_what_the_model_sees_afterwards() -> None:
    """codex.md 8, compact: summary replaces history. The newest words of the user, the summary, and what nobody has
    answered yet."""
    session = Session(items=[*turns(3), user_message("u3"), FunctionCall(call_id="c3", name="look")])
    session.append(FunctionCallOutput(call_id="c3", output="fresh"))
    stage = Stage(ScriptedModel(summary("Read two files.")), session)
    before = session.items
    finished = await stage.compactor.compact()
    assert shown(session.items) == [
        "u0", "u1", "u2", "u3", "compaction", "function_call", "function_call_output",
    ]  # fmt: skip
    made = session.items[4]
    assert isinstance(made, Compaction) and made.summary == LEAD + "Read two files."
    assert session.items[5:] == before[-2:] and session.transcript == before
    assert stage.seen == [CompactionStarted("asked", finished.tokens_before), finished]
    assert (finished.reason, finished.kind, finished.replaced, finished.usage) == ("asked", "local", 9, USED)
    assert finished.tokens_after == stage.compactor.tokens() < finished.tokens_before


async def test_an_earlier_summary_goes_into_the_next_one() -> None:
    """It is in the request; afterwards there is one summary, and the user's words are still there."""
    stage = Stage(ScriptedModel(summary("one"), summary("two")))
    await stage.compactor.compact()
    stage.session.append(*turns(1))
    await stage.compactor.compact()
    assert [item.type for item in stage.model.prompts[1].items].count("compaction") == 1
    summaries = [item.summary for item in stage.session.items if isinstance(item, Compaction)]
    assert summaries == [LEAD + "two"]
    assert shown(stage.session.items)[:4] == ["u0", "u1", "u2", "u3"]


async def test_the_users_words_have_a_quarter_of_a_small_window() -> None:
    """Else what was kept would fill it again (codex#35032)."""
    items = [item for n in range(10) for item in (user_message(f"u{n}" + words(97)), assistant_message("a"))]
    stage = Stage(ScriptedModel(summary()), Session(items=items), CompactionPolicy(window=1600))
    await stage.compactor.compact()
    kept = [item for item in stage.session.items if isinstance(item, Message)]
    assert 300 < sum(map(estimate_item, kept)) <= 400
    assert text_of(kept[-1]).startswith("u9")


# nothing twice for nothing


async def test_a_history_that_stays_large_is_not_compacted_again_at_once() -> None:
    """codex#40213: it has to grow by a tenth of its limit first."""
    large = user_message(words(5000))
    stage = Stage(ScriptedModel(summary(), summary()), Session(items=[*turns(4), large]))
    await stage.compactor.make_room()
    assert stage.compactor.tokens() > 1000
    stage.session.append(assistant_message("a"), user_message("and?"))
    await stage.compactor.make_room()
    assert len(stage.model.prompts) == 1
    stage.session.append(assistant_message(words(120)))
    await stage.compactor.make_room()
    assert len(stage.model.prompts) == 2


async def test_a_failed_compaction_is_not_tried_again_at_once() -> None:
    """The turn goes on with the history as it is, and the next attempt waits for it to grow."""
    stage = Stage(ScriptedModel(summary(""), summary()))
    answered(950)(stage.session)
    await stage.compactor.make_room()
    await stage.compactor.make_room()
    assert stage.kinds == ["Started", "Failed"]
    stage.session.append(user_message(words(100)))
    await stage.compactor.make_room()
    assert stage.kinds[2:] == ["Started", "Finished"]


NOTHING: dict[str, Sequence[ResponseItem]] = {
    "an empty session": (),
    "nothing was answered": (user_message("u"),),
    "an open call": (user_message("u"), FunctionCall(call_id="c", name="look")),
}


@pytest.mark.parametrize("name", NOTHING)
async def test_nothing_to_compact(name: str) -> None:
    """Asked for, that is an error that says so; by itself nothing happens. The model is not asked."""
    stage = Stage(ScriptedModel(), Session(items=NOTHING[name]), CompactionPolicy(window=1))
    await stage.compactor.make_room()
    with pytest.raises(CompactionError, match="nothing to compact"):
        await stage.compactor.compact()
    assert stage.kinds == []


async def test_right_after_a_compaction_there_is_nothing_to_compact() -> None:
    """A summary of a summary says nothing new."""
    stage = Stage(ScriptedModel(summary()))
    await stage.compactor.compact()
    with pytest.raises(CompactionError, match="nothing to compact"):
        await stage.compactor.compact()


async def test_open_calls_stay_open() -> None:
    """A paused run is compacted before its calls, which the next turn answers."""
    session = Session(items=[*turns(3), user_message("u"), FunctionCall(call_id="c9", name="look")])
    stage = Stage(ScriptedModel(summary()), session)
    await stage.compactor.compact()
    assert session.items[-1] == session.transcript[-1] == session.open_calls()[0]
    assert not any(isinstance(i, FunctionCall) and i.call_id == "c9" for i in stage.model.prompts[0].items)


# what goes wrong

Answers = Sequence[Response | ModelError | Sequence[ScriptedEvent]]

BAD: dict[str, tuple[Answers, type[AgentCoreError], str]] = {
    "empty": ([summary("")], CompactionError, "empty"),
    "blank": ([summary(" \n")], CompactionError, "empty"),
    "no item at all": ([Response(finish_reason="stop")], CompactionError, "empty"),
    "cut off": ([summary("All is", "length")], CompactionError, "cut off"),
    "filtered": ([summary("All is", "content_filter")], CompactionError, "filter"),
    "refused in words": (
        [Response(items=(Message(role="assistant", content=(Refusal(refusal="no"),)),), finish_reason="stop")],
        CompactionError,
        "refused",
    ),
    "refused": ([summary("No.", "refusal")], CompactionError, "refused"),
    "a tool call": (
        [summary("", "tool_calls", FunctionCall(call_id="x", name="look"))],
        CompactionError,
        "called a tool",
    ),
    "text and a tool call": (
        [summary("So far:", "tool_calls", FunctionCall(call_id="x", name="look"))],
        CompactionError,
        "called a tool",
    ),
    "no key": ([AuthenticationError("who are you?", status=401)], AuthenticationError, "who are you"),
    "a server that fails": ([ServerError("oops", status=500)], ServerError, "oops"),
    "overloaded": ([OverloadedError("busy", status=529)], OverloadedError, "busy"),
    "no network": ([TransportError("reset", kind="reset")], TransportError, "reset"),
    "too long whatever is left out": ([too_long() for _ in range(8)], CompactionError, "newest part"),
}


@pytest.mark.parametrize("by_itself", [True, False])
@pytest.mark.parametrize("name", BAD)
async def test_a_failure_leaves_the_session_as_it_was(tmp_path: Path, name: str, by_itself: bool) -> None:
    """Items, transcript, estimate and file. By itself it is an event, asked for it is an error too."""
    answers, kind, message = BAD[name]
    with Session.create(tmp_path / "s.jsonl") as session:
        session.append(*turns(4, tokens=300))
        answered(1200)(session)
        stage = Stage(ScriptedModel(*answers), session)
        before, content = session.items, (tmp_path / "s.jsonl").read_bytes()
        if by_itself:
            await stage.compactor.make_room()
        else:
            with pytest.raises(kind, match=message):
                await stage.compactor.compact()
        assert (session.items, session.transcript) == (before, before)
        assert session.estimated_tokens() == 1200
        assert (tmp_path / "s.jsonl").read_bytes() == content
    assert stage.kinds == ["Started", "Failed"]
    failed = stage.seen[1]
    assert isinstance(failed, CompactionFailed) and isinstance(failed.error, kind) and message in failed.error.message


async def test_a_summary_longer_than_what_it_stands_for_is_none() -> None:
    """By itself; who asks for a compaction gets it."""
    stage = Stage(ScriptedModel(summary(words(2000)), summary(words(2000))), policy=CompactionPolicy(window=500))
    before = stage.session.items
    await stage.compactor.make_room()
    assert (stage.kinds, stage.session.items) == (["Started", "Failed"], before)
    await stage.compactor.compact()
    assert stage.session.items != before


def broken(*, emitted: bool = True) -> list[ScriptedEvent]:
    added = OutputItemAdded(0, assistant_message("")), OutputTextDelta(0, "All")
    error = StreamInterrupted("cut", partial=Response(usage=Usage(input=5)))
    return [*(added if emitted else ()), error]


async def test_a_broken_stream_is_read_again() -> None:
    """As for a sample: at most three times in a row, only what is worth another try, and everything is paid for."""
    stage = Stage(ScriptedModel(broken(), broken(), summary()))
    finished = await stage.compactor.compact()
    assert (len(stage.model.prompts), finished.usage) == (3, Usage(input=100, output=10))
    stage = Stage(ScriptedModel(*[broken() for _ in range(4)]))
    with pytest.raises(StreamInterrupted):
        await stage.compactor.compact()
    assert stage.spent == Usage(input=20)


async def test_a_stream_without_its_end_is_no_summary() -> None:
    """What the client does not notice, folding does."""
    stage = Stage(ScriptedModel([OutputItemDone(0, assistant_message("All"))]))
    with pytest.raises(StreamInterrupted):
        await stage.compactor.compact()


# too long even for that


async def test_context_exceeded_in_compaction_drops_the_oldest() -> None:
    """codex.md 8, compact; behaviours.md S1-66: whole steps, oldest first, until it fits; the newest words stay."""
    stage = Stage(ScriptedModel(too_long(), too_long(), summary()))
    items = stage.session.items
    await stage.compactor.compact()
    first, second, third = (prompt.items[:-1] for prompt in stage.model.prompts)
    assert first == items
    assert items[-len(second) :] == second and items[-len(third) :] == third
    assert len(first) > len(second) > len(third) > 0
    assert not any(isinstance(item, FunctionCallOutput) for item in (second[0], third[0]))
    assert isinstance(stage.seen[1], CompactionFinished) and stage.seen[1].left_out == len(first) - len(third)
    made = stage.session.items[-1]
    assert isinstance(made, Compaction) and SUMMARY_GAP.format(len(first) - len(third)) in (made.summary or "")
    assert shown(stage.session.items) == ["u0", "u1", "u2", "u3", "compaction"]


async def test_a_step_that_is_too_long_alone_is_sent_with_its_outputs_cut() -> None:
    """Dropping what is older would not help, and a session with such a step must not be lost (codex#8632, #43963)."""
    outputs = [FunctionCallOutput(call_id=f"c{n}", output=words(3000)) for n in range(4)]
    calls = [FunctionCall(call_id=f"c{n}", name="look") for n in range(4)]
    stage = Stage(ScriptedModel(summary()), Session(items=[*turns(2), user_message("u"), *calls, *outputs]))
    await stage.compactor.make_room()
    sent = stage.model.prompts[0].items[:-1]
    assert [item.type for item in sent] == ["function_call"] * 4 + ["function_call_output"] * 4
    assert sum(map(estimate_item, sent)) <= 1000
    assert stage.kinds == ["Started", "Finished"]


async def test_what_is_known_not_to_fit_is_not_sent() -> None:
    """The window says how much of the history goes into the request."""
    stage = Stage(ScriptedModel(summary()), Session(items=turns(20)))
    await stage.compactor.make_room()
    (prompt,) = stage.model.prompts
    assert 500 < sum(map(estimate_item, prompt.items[:-1])) <= 1000


async def test_an_earlier_summary_is_not_left_out() -> None:
    """It is the oldest item, and tells of everything before."""
    stage = Stage(ScriptedModel(summary("one"), too_long(), summary("two")))
    await stage.compactor.compact()
    stage.session.append(*turns(4))
    await stage.compactor.compact()
    sent = stage.model.prompts[2].items
    assert isinstance(sent[0], Compaction) and sent[0].summary == LEAD + "one"
    assert len(sent) < len(stage.model.prompts[1].items)


OVERFLOWS: dict[str, tuple[ModelError, CompactionPolicy, bool]] = {
    "it did not fit": (too_long(), CompactionPolicy(), True),
    "with automatic compaction off": (too_long(), CompactionPolicy(at=None, on_overflow=False), False),
    "by share off, on overflow on": (too_long(), CompactionPolicy(at=None), True),
    "another error": (ServerError("oops", status=500), CompactionPolicy(), False),
}


@pytest.mark.parametrize("name", OVERFLOWS)
async def test_after_a_request_that_did_not_fit(name: str) -> None:
    """Whether it is worth sampling again; the summary is not asked for with what did not fit already."""
    error, policy, happens = OVERFLOWS[name]
    stage = Stage(ScriptedModel(summary()), policy=policy)
    assert await stage.compactor.overflowed(error) is happens
    if happens:
        assert stage.model.prompts[0].items[0] is not stage.session.transcript[0]
        assert isinstance(stage.seen[0], CompactionStarted) and stage.seen[0].reason == "overflow"
        assert isinstance(stage.seen[1], CompactionFinished)


WINDOWS = {
    # Anthropic, OpenRouter, llama.cpp and Perplexity as recorded
    "prompt is too long: 3333404 tokens > 200000 maximum": 200_000,
    "This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021": 200_000,
    "request (2009 tokens) exceeds the available context size (512 tokens), try increasing it": 512,
    "This model's maximum context length is 128,000 tokens. However, your messages resulted in 1": 128_000,
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000": 200_000,
    "The total length of all messages is too long.": None,
    "your input exceeds the context window of this model": None,
    "maximum context length is 5 tokens": None,
}


@pytest.mark.parametrize("message", WINDOWS)
async def test_the_window_a_server_names_is_remembered(message: str) -> None:
    """From then on the limit is known, in later turns too."""
    stage = Stage(ScriptedModel(summary()), policy=CompactionPolicy())
    await stage.compactor.overflowed(too_long(message))
    window = WINDOWS[message]
    stage.compat = Compat(context_window=window and 10 * window)  # the server knows better than a table
    assert stage.compactor.window == window
    assert stage.compactor.limit == (None if window is None else int(window * 0.9))


@pytest.mark.parametrize(("given", "named", "window"), [(8000, 4500, 4500), (4000, 4500, 4000)])
async def test_of_two_windows_the_smaller_counts(given: int, named: int, window: int) -> None:
    """The caller's and the server's own: else the larger one would be run into again and again."""
    stage = Stage(ScriptedModel(summary()), policy=CompactionPolicy(window=given))
    await stage.compactor.overflowed(too_long(f"maximum context length is {named} tokens"))
    assert stage.compactor.window == window


async def test_another_model_has_another_window() -> None:
    """What stands in for a model is held to its own: what a server named, or what is known of it."""
    stage = Stage(ScriptedModel(summary()), policy=CompactionPolicy(), compat=Compat(context_window=9000))
    compactor = stage.compactor
    await compactor.overflowed(too_long("maximum context length is 4500 tokens"))
    assert compactor.window == 4500
    stage.name, stage.compat = "lab/other", Compat(context_window=2000)
    assert (compactor.window, compactor.limit) == (2000, 1800)


async def test_what_fits_is_measured_by_what_prompts_show() -> None:
    """An output of which a request shows a part counts with that part, where the oldest items have to go too."""
    long = Session(items=[*turns(8, tokens=100), *turns(1, tokens=50_000)])
    stage = Stage(ScriptedModel(summary()), long, SMALL, budget=OutputBudget(bytes=512))
    await stage.compactor.make_room()
    sent = stage.model.prompts[0].items[:-1]
    assert sum(isinstance(item, FunctionCallOutput) for item in sent) > 3


# options

POLICIES: dict[str, Callable[[], object]] = {
    "no share": lambda: CompactionPolicy(at=0),
    "more than everything": lambda: CompactionPolicy(at=90),
    "no window": lambda: CompactionPolicy(window=0),
    "a negative budget": lambda: CompactionPolicy(keep_tokens=-1),
    "no prompt": lambda: CompactionPolicy(prompt=" "),
}


@pytest.mark.parametrize("name", POLICIES)
async def test_policies_that_cannot_be(name: str) -> None:
    """Told when they are made."""
    with pytest.raises(ConfigError):
        POLICIES[name]()


async def test_what_the_option_takes() -> None:
    """Two words or a policy."""
    assert checked_compaction("auto") == CompactionPolicy()
    assert checked_compaction("off") == CompactionPolicy(at=None, on_overflow=False)
    assert checked_compaction(CompactionPolicy(at=0.5)).at == 0.5
    with pytest.raises(CallerError, match="CompactionPolicy"):
        checked_compaction("90%")  # type: ignore[arg-type]  # that is the point
