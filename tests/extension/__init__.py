"""Where an extension for the tests lies; the folder, put on the path, makes it ``chaosx``."""

from pathlib import Path

__all__ = ["FOLDER", "MODULE"]

FOLDER = Path(__file__).parent
MODULE = "chaosx"
