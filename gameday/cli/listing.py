"""`gameday list`."""

from __future__ import annotations

from pathlib import Path

from gameday.app.history import last_run
from gameday.cli.output import print_json, table
from gameday.spec import Catalog, Kind, load_experiment

__all__ = ["show_experiments"]


def show_experiments(project: Path, output: str) -> None:
    """Every experiment of the catalog, with the faults it injects and its last run here."""
    catalog = Catalog.default(project)
    found = [load_experiment(catalog, name).value for name in catalog.names(Kind.EXPERIMENT)]
    rows = [
        {
            "name": one.metadata.name,
            "title": one.metadata.title,
            "proves": one.metadata.proves,
            "faults": [fault.kind.value for fault in one.spec.faults],
            "roles": [*one.spec.roles.services],
            "runbook": one.spec.runbook,
            "lastRun": last_run(project, one.metadata.name),
        }
        for one in found
    ]
    if output == "json":
        print_json(rows)  # type: ignore[arg-type]  # a list of plain dicts is JSON
        return
    table(
        ("name", "faults", "last run", "proves"),
        [
            (str(r["name"]), ",".join(map(str, r["faults"] or ())), str(r["lastRun"] or "-"), str(r["proves"]))
            for r in rows
        ],
    )
