"""Where a secret is: never the secret itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["REFERENCE", "Reference"]

REFERENCE = r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"
"""What `gameday.references` understands."""
Reference = Annotated[str, Field(pattern=REFERENCE)]
