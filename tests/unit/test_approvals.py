"""Approval policies: the default is no, and "for this session" means the same action only."""

from __future__ import annotations

import pytest

from agent_core.approvals import (
    APPROVED,
    APPROVED_FOR_SESSION,
    ApprovalRequest,
    AskPolicy,
    Decision,
    DecisionKind,
    allow_all,
    deny_all,
)


def request(tool: str = "shell", key: str = "ls") -> ApprovalRequest:
    return ApprovalRequest(call_id="c", tool=tool, summary="run ls", key=key)


@pytest.mark.parametrize(
    ("kind", "approved"),
    [("approved", True), ("approved_for_session", True), ("denied", False), ("abort", False)],
)
def test_only_the_two_approvals_approve(kind: DecisionKind, approved: bool) -> None:
    """A decision is a yes only if it says approved."""
    assert Decision(kind).approved is approved


@pytest.mark.anyio
async def test_the_two_constant_policies() -> None:
    """deny_all says no with a reason the model can be told; allow_all says yes."""
    denied = await deny_all.decide(request())
    assert (denied.kind, bool(denied.reason), await allow_all.decide(request())) == ("denied", True, APPROVED)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (True, APPROVED),
        (False, Decision("denied", "the user said no")),
        (Decision("abort", "stop it"), Decision("abort", "stop it")),
    ],
)
async def test_ask_takes_a_bool_or_a_decision(answer: bool | Decision, expected: Decision) -> None:
    """A callback may answer in either form, at once or awaitably."""

    async def later(_: ApprovalRequest) -> bool | Decision:
        return answer

    now = AskPolicy(lambda _: answer)
    assert (await now.decide(request()), await AskPolicy(later).decide(request())) == (expected, expected)


@pytest.mark.anyio
async def test_for_this_session_is_remembered_by_tool_and_key() -> None:
    """The same action is not asked again; another key or tool is."""
    asked: list[ApprovalRequest] = []

    def ask(request: ApprovalRequest) -> Decision:
        asked.append(request)
        return APPROVED_FOR_SESSION

    policy = AskPolicy(ask)
    rows = [request(), request(), request(key="rm"), request(tool="other"), request(key="rm")]
    answers = [await policy.decide(row) for row in rows]
    assert all(answer.approved for answer in answers)
    assert asked == [rows[0], rows[2], rows[3]]


@pytest.mark.anyio
async def test_a_request_without_a_key_is_always_asked() -> None:
    """An empty key names no action, so nothing can be remembered of it."""
    asked: list[ApprovalRequest] = []

    def ask(request: ApprovalRequest) -> Decision:
        asked.append(request)
        return APPROVED_FOR_SESSION

    policy = AskPolicy(ask)
    for _ in range(2):
        await policy.decide(request(key=""))
    assert len(asked) == 2
