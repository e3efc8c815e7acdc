"""The front, haproxy, spoken to by its admin socket."""

import csv
import socket
from dataclasses import dataclass
from pathlib import Path

from tests.staging.system.model import StagingError

__all__ = ["CANARY_PERCENT", "Front", "Server"]

CANARY_PERCENT = 25
TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Server:
    """What haproxy says of a server of the shop."""

    up: bool
    weight: int
    sessions: int


@dataclass(frozen=True)
class Front:
    """haproxy, by the path of its admin socket."""

    path: Path

    def server(self, name: str) -> Server:
        """How a server does. StagingError where haproxy does not say."""
        rows = csv.DictReader(self._ask("show stat shop 4 -1").removeprefix("# ").splitlines())
        for row in rows:
            if row["svname"] == name:
                return Server(row["status"].startswith("UP"), int(row["weight"]), int(row["scur"]))
        raise StagingError(f"haproxy knows no server {name} of the shop.")

    def give_canary(self, percent: int) -> None:
        """Give the canary so many percent of the requests and the stable revision the rest."""
        for server, weight in (("stable", 100 - percent), ("canary", percent)):
            said = self._ask(f"set server shop/{server} weight {weight}").strip()
            if said:
                raise StagingError(f"haproxy did not set the weight of {server}: {said}")

    def _ask(self, command: str) -> str:
        try:
            return self._exchange(command)
        except OSError as error:
            raise StagingError(f"haproxy cannot be asked by {self.path} ({error}): is it up?") from error

    def _exchange(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(self.path))
            connection.sendall(f"{command}\n".encode())
            parts = iter(lambda: connection.recv(65536), b"")
            return b"".join(parts).decode()
