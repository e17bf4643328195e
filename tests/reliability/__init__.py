"""Faults, and what becomes of a run under them.

Everyday these tests try a part of what there is to try; with AGENT_CORE_LONG=1 in the environment, all of it.
"""

import os

LONG = os.environ.get("AGENT_CORE_LONG") == "1"
