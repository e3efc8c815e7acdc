"""`gameday slo watchdog`."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.app.planning import file_or_name
from gameday.app.watchdog import additions
from gameday.spec import Catalog, load_environment

__all__ = ["show_watchdog"]


def show_watchdog(environment: str, only: str | None, project: Path) -> None:
    """Print the rules file, the configuration of Alertmanager, or both as two YAML documents."""
    added = additions(load_environment(Catalog.default(project), file_or_name(environment)))
    texts = {"prometheus": added.prometheus, "alertmanager": added.alertmanager}
    click.echo("---\n".join(text for name, text in texts.items() if only in (None, name)), nl=False)
