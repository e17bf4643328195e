"""Compaction: a summary takes the place of a history that grows too large for its model.

    before a sample   estimate ≥ limit           ─► compact, then sample            (what was just said is counted too)
    after one         "does not fit"             ─► compact, then sample once more
    when asked        agent.compact()            ─► compact, or say why not

    compact: cut before what no model has answered yet, ask for a summary of the rest, record one marker

`session.compact` says where a history may be cut and what of it stays; `policy` when it is; `summary` asks for the
summary; `compactor` puts them together and is all the loop sees.
"""

from __future__ import annotations

from .policy import SUMMARY_PROMPT, CompactionMode, CompactionPolicy, WindowMemory, checked_compaction

__all__ = ["SUMMARY_PROMPT", "CompactionMode", "CompactionPolicy", "WindowMemory", "checked_compaction"]
