"""`gameday init`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from gameday.app.looking import checked, look
from gameday.app.starting import DECIDE, EXPERIMENT, SLOWEST, decisions, start_project
from gameday.model.quantities import duration_text

__all__ = ["init_project"]


def init_project(folder: Path, url: str, prometheus: str | None) -> None:
    """Look, write, and say what is left to do; UsageError as `start_project`."""
    named = checked(prometheus, "--prometheus") if prometheus is not None else None
    seen = look(checked(url, "--url"), named)
    paths = start_project(folder, seen)
    for path in paths:
        click.echo(path)
    click.echo(f"{seen.url} {seen.answer}", err=True)
    click.echo(f"{seen.prometheus_url}: {seen.prometheus}", err=True)
    if seen.counters:
        click.echo(f"Counters that look like requests: {', '.join(one.name for one in seen.counters)}", err=True)
    if seen.scrape is not None and seen.scrape > SLOWEST:
        told = f"scraped every {duration_text(seen.scrape)}: that is too seldom to tell a steady state"
        click.echo(f"{told}; the files bind once it is {duration_text(SLOWEST)} or less", err=True)
    where = shlex.quote(f"./{folder}" if str(folder).startswith("-") else str(folder))
    click.echo(f"{decisions(paths)} places are yours to decide:  grep -rn {DECIDE} {where}", err=True)
    go = "" if folder == Path() else f"cd {where} && "
    on = f"{EXPERIMENT} --env staging"
    click.echo(f"Next: {go}gameday validate {on} && gameday run {on} --dry-run", err=True)
