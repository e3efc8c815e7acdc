"""All commands, by subject. Each imports what it needs when it runs: ``gameday --help`` stays quick."""

from __future__ import annotations

from gameday.cli.commands.root import gameday

__all__ = ["gameday"]
