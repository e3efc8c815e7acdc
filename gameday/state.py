"""Where gameday keeps what must outlive a run: ``$GAMEDAY_STATE_DIR``, else the XDG state folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["state_dir"]


def state_dir() -> Path:
    """The state folder; not created here. Absolute, whatever the working directory becomes later."""
    own = os.environ.get("GAMEDAY_STATE_DIR")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "gameday"
