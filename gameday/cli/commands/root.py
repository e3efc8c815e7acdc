"""``gameday`` itself, and which commands it has."""

from __future__ import annotations

import click

from gameday import __version__
from gameday.cli.commands.experiments import list_, plan, run, validate
from gameday.cli.commands.lab import lab
from gameday.cli.commands.project import init_, runbook, slo
from gameday.cli.commands.proxy import proxy_
from gameday.cli.commands.records import grade, report
from gameday.cli.commands.selftest import selftest
from gameday.cli.commands.standing import abort, recover, status

__all__ = ["gameday"]

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_COMMANDS = (
    run,
    plan,
    validate,
    list_,
    grade,
    report,
    status,
    abort,
    recover,
    lab,
    selftest,
    init_,
    slo,
    runbook,
    proxy_,
)


@click.group(context_settings=_CONTEXT, commands=_COMMANDS)
@click.version_option(__version__, message="gameday %(version)s")
@click.option("--debug", is_flag=True, help="Show a traceback where something goes wrong.")
def gameday(debug: bool) -> None:
    """Prove under fire that a system and its people do what the runbooks promise.

    \b
    Try it here, without a cluster, then see it fail, as it should:
      gameday run api-dependency-brownout
      gameday run api-dependency-brownout --flaw no-rollback

    \b
    Exit codes: 0 passed, 1 failed, 2 usage or configuration, 3 internal error,
    4 inconclusive, 5 aborted with everything undone, 6 something still stands.
    """
    del debug  # read from the arguments by the guard around all commands
