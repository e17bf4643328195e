"""What a live endpoint really takes: some twenty small requests, and the provider row that follows from the answers.

    report = await probe("lab/qwen3", base_url="http://localhost:8000/v1")
    print(report.row)                                      # Provider("lab", …, compat={…}), to be pasted

    asking   what a question, an answer and a finding are
    facts, tool_facts   the questions, each a generator: it yields requests, is sent what came, returns what it means
    usage_place         where a Chat stream says its usage
    run      sends them, one after the other, each once
    row      the findings as source text

A request is made by the wire's own codec from a prompt and the `Compat` in question, so what is measured is what this
package would send. Facts build on each other: what one has learned, the next ones ask with. Only `run` does I/O.
"""

from __future__ import annotations

from .asking import Finding
from .run import ProbeReport, probe

__all__ = ["Finding", "ProbeReport", "probe"]
