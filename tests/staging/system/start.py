"""Bring the staging system up in a folder, and down again."""

import json
import random
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from tests.staging.system import processes
from tests.staging.system.model import (
    Address,
    ProcessRecord,
    StagingError,
    System,
    locked,
    now,
    read_system,
    write_system,
)

__all__ = ["Wishes", "down", "planned", "up"]

HERE = Path(__file__).resolve().parent
READY_SECONDS = 30.0
LONGEST_SOCKET_PATH = 90  # Linux allows 107 bytes, and haproxy binds a longer name first.


@dataclass(frozen=True)
class Wishes:
    """What is given from outside."""

    stock_as_called: Address | None = None
    """Where the shop is to look for the stock; None for the stock itself."""
    stock_port: int | None = None
    """Where the stock is to listen; None for a free port."""
    webhook: str | None = None
    """Where Alertmanager sends to; None for no alerting at all."""
    part: tuple[int, int] = (0, 1)
    """Of so many equal parts of the free ports, the one to take from: what is started side by side has its own."""


def up(folder: Path, wishes: Wishes) -> System:
    """Start everything and wait until it answers. Where a step fails, everything that was started is ended."""
    _refuse_bad_webhook(wishes.webhook)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        _refuse_second(folder)
        (folder / "deployment.json").unlink(missing_ok=True)
        write_system(folder, planned(folder, wishes))
        try:
            _start_all(folder)
        except BaseException:
            with processes.undisturbed():
                _end_all(folder)
            raise
        return read_system(folder)


def down(folder: Path) -> int:
    """End what is up in the folder; how many processes were still there."""
    with locked(folder):
        return _end_all(folder)


def _end_all(folder: Path) -> int:
    # The watcher came last and goes with the others: what it would do next needs the lock, which is ours.
    alive = [each for each in reversed(read_system(folder).processes) if processes.is_alive(each)]
    processes.end(alive)
    (folder / "system.json").unlink()
    (folder / "haproxy.sock").unlink(missing_ok=True)
    return len(alive)


def _refuse_second(folder: Path) -> None:
    if not (folder / "system.json").exists():
        return
    if any(processes.is_alive(each) for each in read_system(folder).processes):
        raise StagingError(f"A system is up in {folder} already: end it with `down --dir {folder}`.")


def _refuse_bad_webhook(webhook: str | None) -> None:
    if webhook is None:
        return
    parts = urlsplit(webhook)
    with suppress(ValueError):
        if parts.scheme == "http" and parts.hostname:
            Address.parse(f"{parts.hostname}:{parts.port or 80}")
            return
    raise StagingError(f"{webhook!r} is no webhook: write http://127.0.0.1:PORT/PATH.")


def planned(folder: Path, wishes: Wishes) -> System:
    """What is going to be up, before anything is."""
    front, stock, stable, canary, prometheus, alertmanager = _free_addresses(6, wishes.part)
    if wishes.stock_port is not None:
        stock = Address(host="127.0.0.1", port=wishes.stock_port)
    path = folder / "haproxy.sock"
    if len(bytes(path)) > LONGEST_SOCKET_PATH:
        raise StagingError(f"{folder} is too long a name for haproxy's socket: take a shorter --dir.")
    alerts = wishes.webhook is not None
    return System(
        started=now(),
        front=front,
        stock=stock,
        stock_as_called=wishes.stock_as_called or stock,
        shop_stable=stable,
        shop_canary=canary,
        prometheus=prometheus if alerts else None,
        alertmanager=alertmanager if alerts else None,
        webhook=wishes.webhook,
        haproxy_socket=path,
    )


def _free_addresses(count: int, part: tuple[int, int]) -> list[Address]:
    """Addresses that nobody listens on, out of the kernel's way: it gives its own ports to outgoing connections."""
    number, parts = part
    lowest_of_kernel = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    highest = lowest_of_kernel if lowest_of_kernel > 21_000 else 65_536
    ours = range(20_000 + number, highest, parts)
    candidates = random.sample(ours, min(1000, len(ours)))
    free = (Address(host="127.0.0.1", port=port) for port in candidates if _is_free(port))
    found = [address for address, _ in zip(free, range(count), strict=False)]
    if len(found) < count:
        raise StagingError(f"Not {count} free ports from 20000 to {highest}: see `ss -ltn`.")
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _start_all(folder: Path) -> None:
    system = read_system(folder)
    _start_stock(folder, system)
    _start_stable(folder, system)
    _start_haproxy(folder, system)
    if system.alertmanager is not None and system.prometheus is not None:
        _start_alertmanager(folder, system, system.alertmanager)
        _start_prometheus(folder, system, system.prometheus)
    write_system(folder, read_system(folder).model_copy(update={"ready": True}))


def _wait_for(record: ProcessRecord, address: Address, path: str) -> None:
    processes.wait_until(f"{record.name} answers", processes.listens(address, path), READY_SECONDS, record)


def _start_stock(folder: Path, system: System) -> None:
    record = processes.launch_module(folder, "stock", "stock", "--port", str(system.stock.port))
    _wait_for(record, system.stock, "/healthz")


def _start_stable(folder: Path, system: System) -> None:
    options = (
        "--revision",
        "stable",
        "--port",
        str(system.shop_stable.port),
        "--stock",
        str(system.stock_as_called),
    )
    record = processes.launch_module(folder, "shop-stable", "shop", *options)
    _wait_for(record, system.shop_stable, "/healthz")


def _start_haproxy(folder: Path, system: System) -> None:
    config = _filled(
        folder,
        "haproxy.cfg",
        socket=system.haproxy_socket,
        front_port=system.front.port,
        stable_port=system.shop_stable.port,
        canary_port=system.shop_canary.port,
    )
    record = processes.launch(folder, "haproxy", [_binary("haproxy"), "-db", "-f", config])
    _wait_for(record, system.front, "/healthz")


def _start_alertmanager(folder: Path, system: System, address: Address) -> None:
    config = _filled(folder, "alertmanager.yml", webhook=json.dumps(system.webhook))
    argv = [
        _binary("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={_data(folder, system) / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    _wait_for(processes.launch(folder, "alertmanager", argv), address, "/-/ready")


def _start_prometheus(folder: Path, system: System, address: Address) -> None:
    assert system.alertmanager is not None
    config = _filled(
        folder,
        "prometheus.yml",
        rules=json.dumps(str(HERE / "rules.yml")),
        alertmanager_port=system.alertmanager.port,
        stable_port=system.shop_stable.port,
        canary_port=system.shop_canary.port,
    )
    argv = [
        _binary("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={_data(folder, system) / 'prometheus'}",
        f"--web.listen-address={address}",
        "--rules.alert.resend-delay=1s",
    ]
    _wait_for(processes.launch(folder, "prometheus", argv), address, "/-/ready")


def _data(folder: Path, system: System) -> Path:
    """Where alerting keeps its data: what an earlier system in this folder measured is not this one's."""
    return folder / f"data-{system.started:%Y%m%dT%H%M%S.%f}"


def _filled(folder: Path, name: str, **values: object) -> Path:
    """Write a configuration from its template; every place has to be filled."""
    template = Template((HERE / "templates" / name).read_text(encoding="utf-8"))
    path = folder / name
    path.write_text(template.substitute(values), encoding="utf-8")
    return path


def _binary(name: str) -> str:
    # Debian keeps daemons in /usr/sbin, which is not on everybody's path.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise StagingError(f"{name} is not installed: `apt-get install {name}` on Debian.")
    return found
