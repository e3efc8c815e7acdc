"""The embedded environment: a small system of real processes on this machine, and its deliberate flaws.

It is a system under test: the engine reaches it only over its addresses, as it would reach staging.
"""

from __future__ import annotations

from gameday.model.enums import FaultKind
from gameday.ports import DriverInfo, Options, OptionShape, ProvisionerInfo

__all__ = ["CLUSTER", "DRIVER_INFO", "INFO"]

INFO = ProvisionerInfo(
    scheme="lab",
    path="gameday.lab.provisioner:LabProvisioner",
    features=frozenset({"http_error", "latency", "reset_peer", "timeout"}),
    default_scale=True,
)
"""What starts environments whose addresses are ``lab://NAME``."""

DRIVER_INFO = DriverInfo(
    name="deployer",
    path="gameday.lab.driver:DeployerDriver",
    kinds=frozenset({FaultKind.RELEASE}),
    deadline=1.0,
    settle=0.3,
)
"""The driver of the lab's own deployer."""

CLUSTER = DriverInfo(
    name="cluster",
    path="gameday.lab.cluster:ClusterDriver",
    kinds=frozenset({FaultKind.EXHAUST, FaultKind.DRAIN, FaultKind.SCALE}),
    faults=Options(required={"pool": OptionShape.TEXT}),
    deadline=2.0,
    settle=0.3,
)
"""The driver of the lab's own nodes and the replicas on them."""
