"""`gameday proxy`: the embedded proxy alone."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

from gameday.errors import UsageError
from gameday.model.base import JSON
from gameday.proxy.serve import Served, serve
from gameday.proxy.wire import ApiError, decode

__all__ = ["run_proxy"]


def run_proxy(host: str, port: int, config: Path | None) -> None:
    """Serve until SIGINT or SIGTERM; UsageError if it can not start."""
    proxies = _proxies(config)
    try:
        asyncio.run(serve(Served(host, port, proxies), _announce))
    except ApiError as error:
        raise UsageError(f"{config}: {error.message}") from error
    except UnicodeError as error:
        raise UsageError(f"{host} is no address to listen at") from error
    except OSError as error:
        raise _refused(f"{host}:{port}", error) from error


def _proxies(config: Path | None) -> JSON:
    try:
        return decode(config.read_bytes()) if config is not None else []
    except ApiError as error:
        raise UsageError(f"{config}: {error.message}", hint="a list of proxies, as POST /populate takes") from error


def _refused(address: str, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(f"{address} is in use by another program", hint="--port 0 takes a free port")
    return UsageError(f"the proxy's API can not listen at {address}: {error.strerror or error}")


def _announce(api: str) -> None:
    print(f"The proxy's API is at {api}; Ctrl-C ends it.", flush=True)
