"""Our apply_patch beside the real one, that of Codex: the same files afterwards, the same refusals.

Everyday a sample; with AGENT_CORE_LONG=1 2,500 patches, or as many as AGENT_CORE_PATCHES says.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from .codex_patches import codex_binary, difference, tried
from .patch_cases import case

PATCHES = int(os.environ.get("AGENT_CORE_PATCHES", "2500" if os.environ.get("AGENT_CORE_LONG") == "1" else "24"))
SEED = 20261129_000000
SHARES = 4


@pytest.mark.parametrize("share", range(SHARES))
def test_generated_patches(share: int, tmp_path: Path) -> None:
    """Every patch ends as the real one does, but for differences that are named and argued."""
    binary = codex_binary()
    ends = Counter[str]()
    unexplained: list[str] = []
    for seed in range(SEED + share, SEED + PATCHES, SHARES):
        pair = tried(case(seed), tmp_path, binary)
        if pair.same:
            ends["refused by both" if pair.real.refused else "same files"] += 1
        elif (named := difference(pair)) is not None:
            ends[named] += 1
        else:
            unexplained.append(f"{seed}: ours {pair.ours.refused!r}, real {pair.real.refused!r}\n{pair.case.patch}")
    print(dict(ends.most_common()))
    assert not unexplained, f"{len(unexplained)} of them:\n" + "\n\n".join(unexplained[:5])
