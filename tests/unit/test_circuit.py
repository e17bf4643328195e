"""The circuit, in virtual time: when it opens, who is let through, and when it closes again."""

from __future__ import annotations

import anyio
import pytest

from agent_core.circuit import Circuit
from agent_core.errors import (
    AuthenticationError,
    CircuitOpen,
    ConfigError,
    ModelError,
    NotAdmitted,
    OverloadedError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportError,
    TransportTimeout,
)

from ..virtual_time import anyio_backend

__all__ = ["anyio_backend"]

pytestmark = pytest.mark.anyio


def ask(circuit: Circuit, error: ModelError | None = None) -> str:
    """One request: `ok`, the error's word, or that it was not let through."""
    try:
        with circuit.request():
            if error is not None:
                raise error
    except ModelError as raised:
        return raised.reason
    return "ok"


async def test_closed_open_half_open_closed() -> None:
    """Three failures open it, its time lets one trial through, an answer closes it."""
    circuit = Circuit(failures=3, cooldown_s=30)
    assert [ask(circuit, ServerError("x")) for _ in range(3)] == ["server_error"] * 3
    assert (circuit.state, ask(circuit)) == ("open", "circuit_open")
    await anyio.sleep(29)
    assert ask(circuit) == "circuit_open"
    await anyio.sleep(1)
    assert (circuit.state, ask(circuit), circuit.state, ask(circuit)) == ("half_open", "ok", "closed", "ok")


async def test_it_says_when_and_why() -> None:
    """The error has the wait, what the last failure was, and how many there were."""
    circuit = Circuit(failures=2, cooldown_s=30)
    for error in (ServerError("x"), OverloadedError("x")):
        ask(circuit, error)
    await anyio.sleep(10)
    with pytest.raises(CircuitOpen) as caught:
        circuit.check()
    assert caught.value.retry_after_s == pytest.approx(20)
    assert caught.value.message == (
        "the server failed 2 times in a row, last with overloaded; it is left alone for 20.0 s more"
    )


async def test_one_trial_at_a_time_and_longer_waits() -> None:
    """While the trial is under way others are refused; each that fails doubles the wait, up to the cap."""
    circuit = Circuit(failures=1, cooldown_s=10, max_cooldown_s=30)
    ask(circuit, ServerError("x"))
    for wait_s in (10, 20, 30, 30):
        await anyio.sleep(wait_s - 1)
        assert ask(circuit) == "circuit_open"
        await anyio.sleep(1)
        with pytest.raises(ServerError), circuit.request():
            assert ask(circuit) == "circuit_open"
            raise ServerError("x")


async def test_a_cancelled_trial_is_no_verdict() -> None:
    """The next one may try: nobody holds the trial for ever."""
    circuit = Circuit(failures=1, cooldown_s=10)
    ask(circuit, ServerError("x"))
    await anyio.sleep(10)
    with anyio.move_on_after(1), circuit.request():
        await anyio.sleep_forever()
    assert (circuit.state, ask(circuit), circuit.state) == ("half_open", "ok", "closed")


JUDGED: dict[str, tuple[ModelError, bool]] = {
    "5xx": (ServerError("x", status=500), True),
    "overload": (OverloadedError("x"), True),
    "no connection": (TransportError("x", kind="refused"), True),
    "no answer in time": (TransportTimeout("x", timeout="first_event", after_s=1), True),
    "a stream that broke": (StreamInterrupted("x"), True),
    "a rate limit is an answer": (RateLimitError("x"), False),
    "a refusal is an answer": (AuthenticationError("x"), False),
    "the caller's own patience": (TransportTimeout("x", timeout="total", after_s=1), False),
    "what was not sent": (NotAdmitted("x"), False),
}


@pytest.mark.parametrize("name", JUDGED)
async def test_what_counts(name: str) -> None:
    """Trouble of the server's, and nothing else."""
    error, counts = JUDGED[name]
    circuit = Circuit(failures=1)
    ask(circuit, error)
    assert circuit.state == ("open" if counts else "closed")


async def test_in_a_row() -> None:
    """An answer in between begins the count anew, a refusal too."""
    circuit = Circuit(failures=2)
    for between in (None, AuthenticationError("x")):
        ask(circuit, ServerError("x"))
        ask(circuit, between)
    assert circuit.state == "closed"


async def test_streams_that_break_count_by_themselves() -> None:
    """A server that begins every answer and ends none is in trouble too; an answer that is whole begins anew."""
    circuit = Circuit(failures=2, cooldown_s=10)
    for end in ("broke", "completed", "broke", "broke"):
        assert ask(circuit) == "ok"
        if end == "broke":
            circuit.broke(StreamInterrupted("x"))
        else:
            circuit.completed()
    assert circuit.state == "open"
    await anyio.sleep(10)
    assert ask(circuit) == "ok"
    circuit.broke(StreamInterrupted("x"))
    assert circuit.state == "open"


async def test_what_was_under_way_does_not_prolong_it() -> None:
    """Failures of requests that began before it opened come late, and an answer among them closes it."""
    circuit = Circuit(failures=1, cooldown_s=10)
    with pytest.raises(ServerError), circuit.request():
        ask(circuit, ServerError("x"))
        await anyio.sleep(9)
        raise ServerError("late")
    await anyio.sleep(1)
    states = [circuit.state]
    circuit.completed()
    assert [*states, circuit.state] == ["half_open", "closed"]


@pytest.mark.parametrize(
    ("option", "value"), [("failures", 0), ("failures", "3"), ("cooldown_s", 0), ("max_cooldown_s", float("inf"))]
)
async def test_circuits_that_make_no_sense(option: str, value: object) -> None:
    """Refused when they are made, naming the option."""
    with pytest.raises(ConfigError, match=option):
        Circuit(**{option: value})  # type: ignore[arg-type]  # wrong on purpose
