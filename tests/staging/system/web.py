"""One HTTP request without any proxy of the environment in between."""

import http.client
from dataclasses import dataclass

from tests.staging.system.model import Address

__all__ = ["Reply", "get"]


@dataclass(frozen=True)
class Reply:
    """What was answered."""

    status: int
    text: str


def get(address: Address, path: str, timeout: float = 1.0) -> Reply:
    """GET http://ADDRESS/PATH; OSError where there is no whole answer. Every wait is at most `timeout` seconds."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Reply(response.status, response.read().decode())
    except http.client.HTTPException as error:
        raise ConnectionError(f"no whole answer from {address}: {error!r}") from error
    finally:
        connection.close()
