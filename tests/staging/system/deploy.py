"""The deployer: puts the canary under test, watches it, and takes it back when it answers orders with errors."""

import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families

from tests.staging.system import processes
from tests.staging.system.front import CANARY_PERCENT, Front
from tests.staging.system.model import (
    Deployment,
    StagingError,
    System,
    locked,
    now,
    read_deployment,
    read_system,
    write_deployment,
    write_system,
)
from tests.staging.system.status import status_of
from tests.staging.system.web import get

__all__ = ["deploy", "deploy_canary", "main", "roll_back", "watch"]

CANARY = "shop-canary"
WATCHER = "watcher"
INTERVAL_SECONDS = 3.0
FEWEST_REQUESTS = 10
LARGEST_ERROR_RATIO = 0.01
FAILED_INTERVALS = 3
READY_SECONDS = 20.0
DRAIN_SECONDS = 3.0
ROLLED_BACK = "rolled back: all traffic to stable, canary stopped"
NONE_DEPLOYED = "no canary is deployed"


@dataclass(frozen=True)
class Orders:
    """Orders that the canary answered since it was started."""

    all: int = 0
    errors: int = 0

    def since(self, earlier: "Orders") -> "Orders":
        """What came since; all of it where the counters start anew."""
        if self.all < earlier.all:
            return self
        return Orders(self.all - earlier.all, self.errors - earlier.errors)


@dataclass(frozen=True)
class Interval:
    """What one interval of watching showed."""

    failed: bool
    words: str


def deploy_canary(folder: Path, auto_rollback: bool) -> None:
    """Start the canary, give it its share of the traffic and have it watched; none of it where a step fails."""
    with locked(folder):
        system = read_system(folder)
        if system.process(CANARY) is not None:
            raise StagingError("A canary is deployed already: roll it back first (`deploy rollback`).")
        try:
            _start_canary(folder, system)
            # The watcher notes nothing before it has the lock, which is ours.
            processes.launch_module(folder, WATCHER, "deploy", "watch", "--dir", folder)
            Front(system.haproxy_socket).give_canary(CANARY_PERCENT)
            write_deployment(folder, Deployment(revision="canary", since=now(), auto_rollback=auto_rollback))
        except BaseException:
            with processes.undisturbed():
                _taken_away(folder, system)
            raise


def _taken_away(folder: Path, system: System) -> None:
    with suppress(StagingError):
        Front(system.haproxy_socket).give_canary(0)
    _ended(folder, WATCHER)
    _ended(folder, CANARY)


def _start_canary(folder: Path, system: System) -> None:
    options = (
        "--revision",
        "canary",
        "--port",
        str(system.shop_canary.port),
        "--stock",
        str(system.stock_as_called),
    )
    canary = processes.launch_module(folder, CANARY, "shop", *options)
    processes.wait_until(
        "the canary answers", processes.listens(system.shop_canary, "/healthz"), READY_SECONDS, canary
    )
    front = Front(system.haproxy_socket)
    processes.wait_until("haproxy sees the canary", lambda: front.server("canary").up, READY_SECONDS, canary)


def _ended(folder: Path, name: str) -> None:
    """End a process, where there is one, and strike it out of system.json."""
    record = read_system(folder).process(name)
    if record is not None:
        processes.end([record])
        write_system(folder, read_system(folder).without(name))


def roll_back(folder: Path, reason: str, by_watcher: bool = False) -> bool:
    """All traffic to the stable revision, the canary ended. False where none is deployed."""
    with locked(folder):
        system = read_system(folder)
        deployed = read_deployment(folder)
        if deployed is None or system.process(CANARY) is None:
            return False
        front = Front(system.haproxy_socket)
        front.give_canary(0)
        at = now()
        _drain(front)
        _ended(folder, CANARY)
        write_deployment(
            folder, deployed.model_copy(update={"rolled_back": True, "rolled_back_at": at, "reason": reason})
        )
        if not by_watcher:
            _ended(folder, WATCHER)
        return True


def _drain(front: Front) -> None:
    """Let the canary finish what it has begun; what takes too long is lost with it."""
    with suppress(StagingError):
        processes.wait_until("the canary is idle", lambda: front.server("canary").sessions == 0, DRAIN_SECONDS)


def watch(folder: Path, say: Callable[[str], None]) -> None:
    """Look at the canary every interval; roll it back at the last failed interval that is allowed, and then end."""
    seen = Orders()
    begun = time.monotonic()
    for number in itertools.count(1):
        time.sleep(max(0.0, begun + number * INTERVAL_SECONDS - time.monotonic()))
        interval, seen = _look(read_system(folder), seen)
        failed = _noted(folder, interval)
        say(f"interval {number}: {interval.words}; failed so far: {failed}")
        if failed >= FAILED_INTERVALS and _taken_back(folder, say):
            return


def _look(system: System, seen: Orders) -> tuple[Interval, Orders]:
    try:
        orders = _orders(get(system.shop_canary, "/metrics").text)
    except (OSError, ValueError) as error:
        return Interval(failed=True, words=f"the canary's metrics cannot be read ({error})"), seen
    return _judged(orders.since(seen)), orders


def _judged(orders: Orders) -> Interval:
    words = f"{orders.errors} of {orders.all} orders failed"
    if orders.all < FEWEST_REQUESTS:
        return Interval(failed=False, words=f"{words}, too few to tell")
    return Interval(failed=orders.errors / orders.all > LARGEST_ERROR_RATIO, words=words)


def _orders(metrics: str) -> Orders:
    found = Orders()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "shop_orders_total":
                count = int(sample.value)
                errors = count if sample.labels["outcome"] == "error" else 0
                found = replace(found, all=found.all + count, errors=found.errors + errors)
    return found


def _noted(folder: Path, interval: Interval) -> int:
    """Count the interval in deployment.json; how many have failed."""
    with locked(folder):
        deployed = read_deployment(folder)
        if deployed is None:
            raise StagingError("The deployment that is watched is gone.")
        failed = deployed.failed_intervals + interval.failed
        write_deployment(folder, deployed.model_copy(update={"failed_intervals": failed}))
        return failed


def _taken_back(folder: Path, say: Callable[[str], None]) -> bool:
    """Whether watching is over. An attempt that fails is told, and made again at the next interval."""
    deployed = read_deployment(folder)
    if deployed is not None and not deployed.auto_rollback:
        say("the automatic rollback is off: nothing is done")
        return False
    try:
        done = roll_back(folder, f"{FAILED_INTERVALS} intervals failed", by_watcher=True)
    except StagingError as error:
        say(f"rollback failed: {error.message}")
        return False
    say(ROLLED_BACK if done else NONE_DEPLOYED)
    return True


_DIR = click.option("--dir", "folder", type=click.Path(path_type=Path, file_okay=False), required=True)


@click.group()
def deploy() -> None:
    """Deploy the canary, roll it back, see how it does."""


@deploy.command("canary")
@_DIR
@click.option(
    "--auto-rollback/--no-auto-rollback",
    default=True,
    envvar="STAGING_AUTO_ROLLBACK",
    help="Off is a flaw: the canary stays, whatever it answers.",
)
def _canary_command(folder: Path, auto_rollback: bool) -> None:
    """Start the canary and give it 25 % of the requests; a watcher stays with it."""
    read_system(folder)
    processes.end_in_order()
    deploy_canary(folder.absolute(), auto_rollback)
    click.echo(f"canary deployed: it takes {CANARY_PERCENT} % of the requests")


@deploy.command("rollback")
@_DIR
def _rollback_command(folder: Path) -> None:
    """All traffic to the stable revision, the canary stopped."""
    read_system(folder)
    done = roll_back(folder, "by hand")
    click.echo(ROLLED_BACK if done else NONE_DEPLOYED)


@deploy.command("status")
@_DIR
def _status_command(folder: Path) -> None:
    """Say as JSON what is under test, since when, and what became of it."""
    click.echo(status_of(folder).model_dump_json(indent=2))


@deploy.command("watch", hidden=True)
@_DIR
def _watch_command(folder: Path) -> None:
    watch(folder, lambda words: click.echo(f"{now():%H:%M:%S} {words}"))


main = deploy

if __name__ == "__main__":
    main()
