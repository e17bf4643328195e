"""No scenario is lost: every id of the specification about requests, histories, streams and tools is in a test."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

BEHAVIOURS = (
    *(f"T-B{n}" for n in range(1, 9)),
    *(f"T-D{n}" for n in range(1, 27)),
    # Of 6.G the request half; T-G12 and T-G13 are about a gateway's headers and paths.
    *(f"T-G{n}" for n in (*range(1, 12), 22, 23)),
    *(f"T-O{n}" for n in range(1, 33)),
    # X-S0-18 is about what a gateway's client sees.
    *(f"X-S0-{n:02}" for n in (4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17, 19, 20)),
    *(f"X-S1-{n:02}" for n in range(1, 9)),
    "X-S3-11",
    # Of 6.C what is no configuration: T-C14 to T-C17.
    *(f"T-C{n}" for n in (*range(1, 14), *range(18, 24))),
    *(f"T-P{n}" for n in range(2, 6)),
    *(f"X-S0-{n}" for n in range(23, 31)),
    *(f"X-S1-{n:02}" for n in range(9, 21)),
)
"""behaviours.md 6.B, 6.D, 6.G, 6.O, of 6.R what concerns requests, histories and running tools; then 6.C, 6.P, and of
6.R what concerns streams, retries and turns."""

CODEX: dict[str, str | tuple[str, ...]] = {
    "user, assistant -> no `reasoning` key": "T-B1",
    "user, assistant a1, reasoning rA -> a1 has reasoning rA": "T-B2",
    "user, reasoning, function_call -> the tool_calls message has reasoning": "T-B3",
    "user, reasoning, local_shell_call -> same": "T-B4",
    "assistant, reasoning, user -> no reasoning anywhere": "T-B5",
    "u1, a1, u2, reasoning -> none": "T-B6",
    'reasoning "" and "   " -> none': "T-B7",
    "assistant dup, assistant dup -> one message": "T-B8",
    "user, 3 calls, 3 outputs -> 6 messages": "codex builder: three calls, three outputs",
    "conversation id + review sub-agent -> headers set": "codex builder (conversation id",
    "each call kind without output": ("T-D16", "T-D17", "T-D18", "client tool search without output"),
    "orphan of each kind": ("T-D19", "T-D20", "codex history (orphan of each kind)"),
    "mixed": "T-D21",
    "existing pairs untouched": ("T-D7", "codex history: custom pair"),
    "server tool_search kept": "codex history: server tool search is kept",
    "empty-output kept if matched": "codex history: empty output of a call is kept",
    "record: system dropped": "codex history (record: system dropped)",
    "output cut to policy x1.2; custom limit": "codex history (record: output cut",
    "remove_first on call removes output and vice versa; local shell pair; custom pair": "codex history (remove_first)",
    "drop_last_n": "codex history (drop_last_n)",
    "strip images": ("codex 2.1c images for a text-only model", "codex 2.1c a generated image"),
    "replace_last_turn_images only for tool output": "codex history (replace_last_turn_images)",
    "token estimate": "codex.md 2.4",
    # Responses SSE
    "2 items + completed in 3 chunks": "T-C1 items without ids",
    "chunk split in mid line -> same": "test_frames_do_not_depend_on_the_cuts",
    "item, no completed -> item then Stream": "T-C2 EOF without a terminal event",
    "failed rate_limit with a wait": ("T-C3 failed, with a wait in words", "# T-C8", "# T-C10", "# Azure"),
    "failed, each code its own class": ("T-C4 context length", "T-C6 quota", "codex.md 8, failed streams"),
    "incomplete reason max_output_tokens": '"length": Case(',
    "completed without id": "codex responses: completed without an id",
    "created w/o response; unknown event": ("T-C7 created without a response", "an unknown event"),
    "failed then EOF -> failure": "an error event, then EOF",
    "header set -> order": "rate limits before created",
    "idle timeout, transport error": ("test_the_timers", "test_a_stream_that_breaks"),
    # client and retry
    "path per wire; accept header": ("test_a_stream_on_every_wire", "test_a_whole_answer_on_every_wire"),
    "auth headers": "test_the_header_of_a_style",
    "first send network error, then OK": "test_a_first_attempt_that_is_lost_is_made_again",
    "make_request called per attempt (fresh auth)": "test_a_key_is_asked_for_at_every_attempt",
    "5xx retried; delay; max attempts": ("test_t_p2_what_is_retried", "test_t_p3_waits", "test_when_it_gives_up"),
    "cancel during wait": "codex.md 8, cancel during wait",
    "map errors": ("codex.md 8, map errors", "codex.md 8: the API's own id"),
    "rate-limit headers": "test_families_of_headers",
    # turn suite
    "stream_no_completed": "T-C18, stream_no_completed",
    "stream_error_allows_next_turn": "T-C19, stream_error_allows_next_turn",
    "quota_exceeded": "quota_exceeded: one error, no retry",
    "tool_parallelism: overlap, also of mixed kinds": "test_tool_parallelism_safe_tools_overlap",
    "tool_parallelism: the others alone": "test_tool_parallelism_other_tools_run_alone",
    "tool_parallelism: results grouped": "test_tool_parallelism_results_are_grouped",
    "tool_parallelism: start before response.completed": "test_tool_parallelism_tools_start_before",
    "abort_tasks": "test_abort_tasks_a_long_tool_is_interrupted",
    "pending_input: second request, no pre-emption": "test_pending_input_is_in_the_second_request",
    "pending_input: with mid-turn compaction": "codex.md 8, pending_input",
    "truncation: marker, once; custom limit": "test_truncation_over_the_limit",
    "truncation: image kept": "test_truncation_keeps_images",
    "compact: summary replaces history": "codex.md 8, compact: summary replaces history",
    "compact: twice": "codex.md 8, compact: a second compaction",
    "compact: context exceeded in compaction": "codex.md 8, compact; behaviours.md S1-66",
    "compact: auto": ("codex.md 8, compact: auto at the limit mid-turn", "test_auto_at_the_limit_before_the_next_turn"),
    "compact: persists; manual": "codex.md 8, compact: manual, persists",
    "compact: local vs remote": "codex.md 8, compact: local vs remote parity",
    "compact: resume, fork, rollback": (
        "codex.md 8, compact: resume", "codex.md 8, compact: fork", "codex.md 8, compact: rollback past",
    ),
    "fork_thread": ("codex.md 8, fork_thread", "test_resume_and_fork_go_on"),
    "prompt_caching": ("test_prompt_caching_requests_grow", "codex.md 8, prompt_caching"),
    "resume": "test_resume_and_fork_go_on",
    "tool_harness: bad update_plan payload": "test_tool_harness_a_bad_plan",
    "tool_harness: unknown tool": ("test_tool_harness_an_unknown_tool", "test_tool_harness_an_unknown_custom_tool"),
    "tool_harness: failing patch": "test_tool_harness_a_patch_that_fails",
    "responses headers": "codex builder (conversation id",
    "otel": "test_a_turn_is_a_tree",
    # what belongs to a part that is not here: the reason
    "turn_state": "- turn_state: ",
    "websocket_fallback, client_websockets": "- client_websockets, websocket_fallback: ",
    "models_etag": "- models_etag: ",
    "request_compression": "- request_compression: ",
    "safety_check_downgrade; ServerModel": "- safety_check_downgrade: ",
    "turn_aborted marker; instruction for a new model": "- abort_tasks' turn_aborted marker",
}  # fmt: skip
"""codex.md 8, chat builder, history, Responses, client and turn tests: the lines, and what the tests of each are
called; or where it says why there are none."""


@pytest.mark.parametrize("scenario", BEHAVIOURS)
def test_every_scenario_has_a_row(scenario: str) -> None:
    """The id stands in the name of a row, a docstring or the name of a test."""
    assert scenario in named(), f"no test names {scenario}"


@pytest.mark.parametrize("line", CODEX)
def test_every_line_of_codex_has_a_row(line: str) -> None:
    """What the line is covered by is in the tests, every part of it."""
    names = CODEX[line]
    for name in (names,) if isinstance(names, str) else names:
        assert name in sources(), f"{line!r}: no test names {name!r}"


@cache
def named() -> frozenset[str]:
    """The ids that stand somewhere in a test."""
    return frozenset(re.findall(r"\b(?:T-[A-Z]\d+|X-S\d-\d+)", sources()))


@cache
def sources() -> str:
    """All tests but this one."""
    return "\n".join(path.read_text() for path in TESTS.rglob("test_*.py") if path.name != Path(__file__).name)
