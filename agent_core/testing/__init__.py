"""What users test their agents with: a scripted model over real HTTP, judges of events and requests, shipped scripts.

    with RehearsalServer([Step(text="Hello")]) as server:
        ...                                    # point any client of any of the three wires at server.base_url

Nothing here is loaded before it is asked for, and no test framework is needed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..codecs.grammar import EventGrammar as EventGrammar
    from ..codecs.grammar import GrammarError as GrammarError
    from ..codecs.grammar import check_events as check_events
    from .chaos import ChaosTransport as ChaosTransport
    from .collecting import collect as collect
    from .connection import RecordedRequest as RecordedRequest
    from .demo_project import write_demo_project as write_demo_project
    from .fault_server import FaultServer as FaultServer
    from .faults import EVERYDAY_FAULTS as EVERYDAY_FAULTS
    from .faults import PHASES as PHASES
    from .faults import Fault as Fault
    from .faults import FaultKind as FaultKind
    from .faults import Faults as Faults
    from .faults import Phase as Phase
    from .faults import Struck as Struck
    from .faults import phases_of as phases_of
    from .faults import random_faults as random_faults
    from .model import ScriptedModel as ScriptedModel
    from .scripts import Call as Call
    from .scripts import Script as Script
    from .scripts import Step as Step
    from .scripts import asks_for_summary as asks_for_summary
    from .scripts import last_user_text as last_user_text
    from .scripts import turn_items as turn_items
    from .server import RehearsalServer as RehearsalServer
    from .shipped import SCRIPTS as SCRIPTS
    from .validators import Violation as Violation
    from .validators import assert_valid_request as assert_valid_request
    from .validators import check_request as check_request

__all__ = [
    "Call",
    "ChaosTransport",
    "EVERYDAY_FAULTS",
    "EventGrammar",
    "Fault",
    "FaultKind",
    "FaultServer",
    "Faults",
    "GrammarError",
    "PHASES",
    "Phase",
    "RecordedRequest",
    "RehearsalServer",
    "SCRIPTS",
    "Script",
    "ScriptedModel",
    "Step",
    "Struck",
    "Violation",
    "asks_for_summary",
    "assert_valid_request",
    "check_events",
    "check_request",
    "collect",
    "last_user_text",
    "phases_of",
    "random_faults",
    "turn_items",
    "write_demo_project",
]

_HOMES = {
    "Call": ".scripts",
    "ChaosTransport": ".chaos",
    "EVERYDAY_FAULTS": ".faults",
    "Fault": ".faults",
    "FaultKind": ".faults",
    "FaultServer": ".fault_server",
    "Faults": ".faults",
    "PHASES": ".faults",
    "Phase": ".faults",
    "Struck": ".faults",
    "phases_of": ".faults",
    "random_faults": ".faults",
    "EventGrammar": "..codecs.grammar",
    "GrammarError": "..codecs.grammar",
    "RecordedRequest": ".connection",
    "RehearsalServer": ".server",
    "SCRIPTS": ".shipped",
    "Script": ".scripts",
    "ScriptedModel": ".model",
    "Step": ".scripts",
    "asks_for_summary": ".scripts",
    "Violation": ".validators",
    "assert_valid_request": ".validators",
    "check_events": "..codecs.grammar",
    "check_request": ".validators",
    "collect": ".collecting",
    "last_user_text": ".scripts",
    "turn_items": ".scripts",
    "write_demo_project": ".demo_project",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
