"""The facilitator's terminal: what is due and what happens on one screen, and keys that answer.

`situation` knows what the events say, `dialog` what keys mean, `layout` what the screen shows; none of them touches
a terminal. `screen` and `keyboard` do, each in a thread of its own, so that no terminal ever holds the engine up.
`desk` puts them together.
"""

from __future__ import annotations

from gameday.cli.facilitator.desk import Desk, check_terminal

__all__ = ["Desk", "check_terminal"]
