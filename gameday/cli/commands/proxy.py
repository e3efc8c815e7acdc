"""The embedded proxy, alone."""

from __future__ import annotations

from pathlib import Path

import click

from gameday.cli.commands.options import with_debug

__all__ = ["proxy_"]


@click.command("proxy")
@click.option("--host", default="127.0.0.1", show_default=True, help="The API's address.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8474,
    show_default=True,
    help="The API's port; 0 takes a free one.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON list of proxies to begin with, as POST /populate takes it.",
)
@with_debug
def proxy_(host: str, port: int, config: Path | None) -> None:
    """Run gameday's own proxy alone, with Toxiproxy's HTTP API, until Ctrl-C.

    Toxics: latency, timeout, reset_peer, noop and, for HTTP, http_error.
    """
    from gameday.cli.proxying import run_proxy

    run_proxy(host, port, config)
