"""The types a user of `reframe` sees, held by the type checkers: this file is checked, not run."""

from __future__ import annotations

from typing import assert_type

from agent_core import Prompt, Response
from agent_core.codecs import reframe
from agent_core.codecs.base import Compat, Loss
from agent_core.codecs.reframing import Reframed
from agent_core.errors import ModelError


def reframed(error: ModelError) -> None:
    reframer = reframe("chat", "messages", Prompt("x"), compat=Compat(), include_usage=True)
    assert_type(reframer.feed(b"") + reframer.fail(error) + reframer.close(), bytes)
    assert_type(reframer.answer(200, b"{}", {"date": "x"}), Reframed)
    assert_type((reframer.done, reframer.wrote, reframer.error), tuple[bool, bool, ModelError | None])
    assert_type((reframer.response, reframer.losses), tuple[Response, tuple[Loss, ...]])
