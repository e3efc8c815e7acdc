"""What is under test: what the deployer noted, next to what haproxy and the kernel say now."""

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tests.staging.system.front import Front
from tests.staging.system.model import StagingError, System, read_deployment, read_system
from tests.staging.system.processes import is_alive

__all__ = ["Status", "status_of"]


class Status(BaseModel):
    """The deployer's state, as JSON. Times are UTC; None where there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: str | None
    """The revision under test, or that was so last; None before the first deployment."""
    since: datetime | None
    takes_traffic: bool | None
    """By haproxy, now; None where it cannot be asked."""
    watched: bool
    """Whether the watcher runs."""
    auto_rollback: bool | None
    failed_intervals: int
    rolled_back: bool
    rolled_back_at: datetime | None
    """When its traffic was taken away."""
    reason: str | None


def status_of(folder: Path) -> Status:
    """The state now. StagingError where nothing is up."""
    system = read_system(folder)
    deployed = read_deployment(folder)
    watcher = system.process("watcher")
    return Status(
        revision=deployed.revision if deployed else None,
        since=deployed.since if deployed else None,
        takes_traffic=_takes_traffic(system),
        watched=watcher is not None and is_alive(watcher),
        auto_rollback=deployed.auto_rollback if deployed else None,
        failed_intervals=deployed.failed_intervals if deployed else 0,
        rolled_back=deployed is not None and deployed.rolled_back,
        rolled_back_at=deployed.rolled_back_at if deployed else None,
        reason=deployed.reason if deployed else None,
    )


def _takes_traffic(system: System) -> bool | None:
    try:
        canary = Front(system.haproxy_socket).server("canary")
    except StagingError:
        return None
    return canary.up and canary.weight > 0
