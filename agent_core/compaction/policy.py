"""When a history is compacted, and what of it stays: the option of an agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from msgspec import Struct

from ..errors import CallerError, ConfigError

__all__ = ["SUMMARY_PROMPT", "CompactionMode", "CompactionPolicy", "WindowMemory", "checked_compaction"]

SUMMARY_PROMPT = """\
This conversation is about to be replaced by a summary of it, because it nearly fills the context window. Write the \
summary now. Whoever goes on with the work sees only it and the user's newest messages. Do not go on with the work \
yourself, and call no tool.

Say, as far as there is something to say:
- what the user wants: every requirement, preference and correction, in the user's own words where words matter;
- what was found out and decided, and why; files, commands, names, values and errors exactly as they are written;
- what is done and works, what was tried and given up, and why;
- what remains to be done, in order, beginning with what was under way just now.

Be complete about facts and short about everything else."""

CompactionMode: TypeAlias = Literal["auto", "off"]


class CompactionPolicy(Struct, frozen=True):
    """When a history is compacted, and what of it stays.

    `at`: as soon as the next request would take this share of the model's window, or leaves no room for the cap on the
    answer; None: never by itself. The window is `window` (tokens) and what the server said when it refused a prompt,
    the smaller of them, else what is known of the model; while it is unknown, only such a refusal compacts
    (`on_overflow`).
    `keep_tokens`: how much of the user's own words stays word for word, newest first, and how large a step may be that
    no model has answered yet and that stays whole; at most a quarter of the limit. `endpoint`: use the provider's own
    compaction where its row has one; what it makes only that provider can read. `prompt`: how a summary is asked for.
    Raises ConfigError for values that cannot be.
    """

    at: float | None = 0.9
    window: int | None = None
    keep_tokens: int = 20_000
    on_overflow: bool = True
    endpoint: bool = True
    prompt: str = SUMMARY_PROMPT

    def __post_init__(self) -> None:
        if self.at is not None and not 0 < self.at <= 1:
            raise ConfigError(f"at must be a share of the window, above 0 and at most 1, got {self.at!r}")
        if self.window is not None and self.window < 1:
            raise ConfigError(f"window must be a number of tokens, got {self.window!r}")
        if self.keep_tokens < 0:
            raise ConfigError(f"keep_tokens must not be negative, got {self.keep_tokens!r}")
        if not self.prompt.strip():
            raise ConfigError("prompt is empty", remedy="leave it out, or say how to summarise")


@dataclass(slots=True)
class WindowMemory:
    """What an agent learns about its models and its session, from one turn to the next."""

    windows: dict[str, int] = field(default_factory=dict[str, int])
    """As servers gave them when they refused a prompt, by the names of the models."""
    not_before: int = 0
    """How many tokens the next request must take before the history is compacted by itself again."""


def checked_compaction(compaction: CompactionMode | CompactionPolicy) -> CompactionPolicy:
    """The policy an agent's option stands for. Raises CallerError for anything else."""
    if isinstance(compaction, CompactionPolicy):
        return compaction
    if compaction == "auto":
        return CompactionPolicy()
    if compaction == "off":
        return CompactionPolicy(at=None, on_overflow=False)
    raise CallerError(
        f"compaction must be 'auto', 'off' or a CompactionPolicy, got {compaction!r:.100}",
        remedy="use CompactionPolicy(at=0.8) for 80 % of the window",
    )
