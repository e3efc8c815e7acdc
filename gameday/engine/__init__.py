"""The engine: carries a plan out, and removes what it injected whatever happens.

Read in this order: `ledger` (what must still be undone, durable before it is done), `undo` (how one entry is
closed), `agenda` (what is due when), `steps` (the runbook), `preparation` (what a run is given), `attempts` (calls
that may land late), `continuation` (faults that take many calls), `effect` (what shows that a fault takes effect),
`loop` (the whole; it alone decides what comes before what). Nothing here knows a substrate, a file format or a
network: drivers, observers, load and time are passed in (``gameday.ports``).
"""

from __future__ import annotations

from gameday.engine.ledger import REQUEST, Entry, Ledger, LedgerLocked, LedgerUnreadable
from gameday.engine.loop import Ending, run
from gameday.engine.preparation import Load, Prepared, Setup
from gameday.engine.steps import StepActions
from gameday.engine.undo import Undone, undo_entry
from gameday.engine.wait import Waker, Wakes

__all__ = [
    "REQUEST",
    "Ending",
    "Entry",
    "Ledger",
    "LedgerLocked",
    "LedgerUnreadable",
    "Load",
    "Prepared",
    "Setup",
    "StepActions",
    "Undone",
    "Waker",
    "Wakes",
    "run",
    "undo_entry",
]
