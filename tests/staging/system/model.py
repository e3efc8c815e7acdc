"""What the staging system writes to its folder, and how that is read, written and locked."""

import fcntl
import ipaddress
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import click
from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator

__all__ = [
    "Address",
    "Deployment",
    "ProcessRecord",
    "StagingError",
    "System",
    "locked",
    "now",
    "read_deployment",
    "read_system",
    "write_deployment",
    "write_system",
]

LOCK_SECONDS = 30.0

FileT = TypeVar("FileT", bound="File")


class StagingError(click.ClickException):
    """An error for the person at the keyboard: one sentence and what to do."""


class File(BaseModel):
    """What comes from a file: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Address(File):
    """A TCP address on this machine; in files it is written HOST:PORT."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """HOST:PORT; StagingError where it is none or leaves the machine."""
        host, _, port = text.rpartition(":")
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise StagingError(f"{text!r} is no address: write HOST:PORT, for example 127.0.0.1:9000.")
        if not _is_loopback(host):
            raise StagingError(f"{text!r} leaves this machine: the staging system speaks on loopback only.")
        return cls(host=host, port=int(port))

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, _, port = value.rpartition(":")
        return {"host": host, "port": port}

    @model_serializer
    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class ProcessRecord(File):
    """A process that was started: its number, and its start by the kernel's clock, as numbers are used again."""

    name: str
    pid: int
    start_ticks: int


class System(File):
    """system.json: what is up. Rewritten whenever a process is started or ended on purpose."""

    started: datetime
    ready: bool = False
    front: Address
    """Customers come here."""
    stock: Address
    """Where the stock listens."""
    stock_as_called: Address
    """Where the shop looks for the stock: the same, or what stands in between."""
    shop_stable: Address
    shop_canary: Address
    prometheus: Address | None = None
    alertmanager: Address | None = None
    webhook: str | None = None
    haproxy_socket: Path
    processes: tuple[ProcessRecord, ...] = ()

    def process(self, name: str) -> ProcessRecord | None:
        """The record of a process by its name, None where there is none."""
        return next((each for each in self.processes if each.name == name), None)

    def with_process(self, record: ProcessRecord) -> "System":
        """The same, with one process more (or another of that name)."""
        return self.model_copy(update={"processes": (*self.without(record.name).processes, record)})

    def without(self, name: str) -> "System":
        """The same, without the process of that name."""
        return self.model_copy(update={"processes": tuple(p for p in self.processes if p.name != name)})


class Deployment(File):
    """deployment.json: the last revision that was put under test. What it takes of the traffic haproxy knows."""

    revision: str
    since: datetime
    auto_rollback: bool
    failed_intervals: int = 0
    rolled_back: bool = False
    rolled_back_at: datetime | None = None
    reason: str | None = None


def now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


def read_system(folder: Path) -> System:
    """What is up; StagingError where nothing is."""
    text = _text(folder / "system.json")
    if text is None:
        raise StagingError(f"Nothing is up in {folder}: start it with `up --dir {folder}`.")
    return _parsed(System, text, folder / "system.json")


def write_system(folder: Path, system: System) -> None:
    """Replace system.json, whole or not at all."""
    _replace(folder / "system.json", system)


def read_deployment(folder: Path) -> Deployment | None:
    """The last deployment, None before the first."""
    text = _text(folder / "deployment.json")
    return None if text is None else _parsed(Deployment, text, folder / "deployment.json")


def write_deployment(folder: Path, deployment: Deployment) -> None:
    """Replace deployment.json, whole or not at all."""
    _replace(folder / "deployment.json", deployment)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _parsed(kind: type[FileT], text: str, path: Path) -> FileT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise StagingError(
            f"{path} cannot be read ({error.error_count()} errors): was it written by hand?"
        ) from error


def _replace(path: Path, content: File) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
    beside.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Alone in changing the system in this folder. StagingError after LOCK_SECONDS."""
    deadline = time.monotonic() + LOCK_SECONDS
    with (folder / "lock").open("a") as file:
        while not _locked(file.fileno()):
            if time.monotonic() > deadline:
                raise StagingError(
                    f"Another command holds {folder}/lock for {LOCK_SECONDS:g} s: see who with `fuser`."
                )
            time.sleep(0.02)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
