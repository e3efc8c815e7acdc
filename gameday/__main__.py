"""``python -m gameday`` is ``gameday``."""

from gameday.cli import main

main()
