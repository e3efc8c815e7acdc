"""``python -m gameday.proxy``: the proxy as a process of its own, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from gameday.proxy.listener import Flaw
from gameday.proxy.serve import Served, serve
from gameday.proxy.wire import ApiError, decode

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; prints one JSON line ``{"api": URL}`` when it answers. Exit code 2: it could not start."""
    options = _parser().parse_args(arguments)
    try:
        proxies = decode(options.config.read_bytes()) if options.config else []
        asyncio.run(serve(Served(options.host, options.port, proxies, options.flaw), _announce))
    except (ApiError, OSError, OverflowError) as error:
        sys.stderr.write(f"gameday.proxy: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gameday.proxy", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8474, help="port of the API; 0 takes a free one")
    parser.add_argument("--config", type=Path, help="JSON file of proxies, as POST /populate takes them")
    parser.add_argument("--flaw", type=Flaw, choices=list(Flaw), help="a deliberate defect, for the lab")
    return parser


def _announce(api: str) -> None:
    sys.stdout.write(json.dumps({"api": api}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
