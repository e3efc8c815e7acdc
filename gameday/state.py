"""Where gameday keeps what must outlive a run: ``$GAMEDAY_STATE_DIR``, else the XDG state folder."""

from __future__ import annotations

import os
from pathlib import Path

from gameday.errors import UsageError

__all__ = ["state_dir"]


def state_dir() -> Path:
    """The state folder; not created here. Absolute, whatever the working directory becomes later."""
    own = os.environ.get("GAMEDAY_STATE_DIR")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_STATE_HOME", "")
    if Path(base).is_absolute():  # the XDG specification: a relative path is ignored
        return Path(base) / "gameday"
    try:
        return Path.home() / ".local" / "state" / "gameday"
    except RuntimeError as error:
        raise UsageError("no home folder is known", hint="set GAMEDAY_STATE_DIR to a folder that lasts") from error
