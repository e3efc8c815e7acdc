"""A pool of nodes, in numbers alone: who has room, who may be evicted, who took what. No clock, no processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from gameday.model.base import Model

__all__ = ["Mark", "Node", "Phase", "Pool", "Replica", "Scaling", "Service"]


class Mark(Model):
    """Whose doing something is: a run, and its fault or stimulus."""

    run: str
    id: str


class Scaling(Model):
    """What a service's number of replicas was before it was marked."""

    run: str
    id: str
    was: int

    @property
    def mark(self) -> Mark:
        """Whose."""
        return Mark(run=self.run, id=self.id)


class Phase(StrEnum):
    """Of a replica."""

    PENDING = "pending"
    """No node has room for it."""
    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"
    """It is told to go; its slot is free once it has gone."""


@dataclass
class Replica:
    """One of a service; ``node`` is empty while it has none."""

    name: str
    node: str = ""
    phase: Phase = Phase.PENDING


@dataclass
class Node:
    """``balloons``: one mark for each slot that is taken by none of the services."""

    name: str
    slots: int
    cordoned: bool = False
    mark: Mark | None = None
    """Whose the cordon is; None: nobody's who left a mark."""
    leaving: bool = False
    """It is given back once it is empty."""
    balloons: list[Mark] = field(default_factory=list)


@dataclass
class Service:
    """The service that runs here, and its disruption budget."""

    name: str
    desired: int
    max_unavailable: int
    scaling: Scaling | None = None
    replicas: list[Replica] = field(default_factory=list)
    started: int = 0

    @property
    def min_available(self) -> int:
        """Ready replicas that an eviction has to leave."""
        return max(0, self.desired - self.max_unavailable)

    def count(self, *phases: Phase) -> int:
        """How many replicas are in one of these phases."""
        return sum(one.phase in phases for one in self.replicas)

    @property
    def kept(self) -> list[Replica]:
        """Those that are not ending, in the order in which they came."""
        return [one for one in self.replicas if one.phase is not Phase.ENDING]


class Pool:
    """A pool, and the one service whose replicas are placed in it."""

    def __init__(self, name: str, service: Service, nodes: int, slots: int) -> None:
        self.name = name
        self.service = service
        self.nodes: dict[str, Node] = {}
        self._slots = slots
        self._numbers = iter(range(1, 1 << 30))
        for _ in range(nodes):
            self.add_node()
        self.first = tuple(self.nodes)
        """The nodes that it began with."""

    def add_node(self) -> Node:
        """One node more."""
        node = Node(f"node-{next(self._numbers)}", self._slots)
        self.nodes[node.name] = node
        return node

    def on(self, node: Node) -> list[Replica]:
        """The replicas on a node, those that are ending included."""
        return [one for one in self.service.replicas if one.node == node.name]

    def used(self, node: Node) -> int:
        """Slots that are taken there."""
        return len(node.balloons) + len(self.on(node))

    def free(self, node: Node) -> int:
        """Slots that something new may take there."""
        return 0 if node.cordoned or node.leaving else max(0, node.slots - self.used(node))

    def settle(self) -> None:
        """As many replicas as are wanted: new ones are pending; of too many the last go, pending ones first."""
        service = self.service
        while len(service.kept) < service.desired:
            service.started += 1
            service.replicas.append(Replica(f"{service.name}-{service.started}"))
        surplus = len(service.kept) - service.desired
        pending = [one for one in service.kept if one.phase is Phase.PENDING][::-1]
        others = [one for one in service.kept if one.phase is not Phase.PENDING][::-1]
        for replica in [*pending, *others][: max(0, surplus)]:
            self.end(replica)

    def end(self, replica: Replica) -> None:
        """It goes; one that never had a node is gone."""
        if replica.phase is Phase.PENDING:
            self.service.replicas.remove(replica)
        else:
            replica.phase = Phase.ENDING

    def place(self) -> list[Replica]:
        """Give pending replicas a slot each, on the node with the most room; those that found one."""
        placed = []
        for replica in self.service.replicas:
            room = [node for node in self.nodes.values() if self.free(node) > 0]
            if replica.phase is Phase.PENDING and room:
                replica.node = max(room, key=self.free).name
                replica.phase = Phase.STARTING
                placed.append(replica)
        return placed

    def gone(self, replica: Replica) -> None:
        """Its process has ended: its slot is free if it was to go, else it is started there again."""
        if replica.phase is Phase.ENDING:
            self.service.replicas.remove(replica)
        else:
            replica.phase = Phase.STARTING

    def may_evict(self, replica: Replica) -> bool:
        """Whether the disruption budget lets it go now."""
        left = self.service.count(Phase.READY) - (replica.phase is Phase.READY)
        return left >= self.service.min_available

    def inflate(self, mark: Mark) -> int:
        """Take every free slot; how many."""
        taken = 0
        for node in self.nodes.values():
            free = self.free(node)
            node.balloons += [mark] * free
            taken += free
        return taken

    def deflate(self, mark: Mark) -> None:
        """Give back what that mark took."""
        for node in self.nodes.values():
            node.balloons = [one for one in node.balloons if one != mark]

    def cordon(self, node: Node, mark: Mark | None) -> bool:
        """Have it take nothing new; False if it does already, by another's doing."""
        if node.cordoned and node.mark != mark:
            return False
        node.cordoned, node.mark = True, mark
        return True

    def uncordon(self, node: Node, mark: Mark | None) -> None:
        """Have it take something new again, if the cordon is of that mark."""
        if node.mark == mark:
            node.cordoned, node.mark = False, None

    def scale(self, desired: int, mark: Mark | None) -> None:
        """Want that many; whatever mark there was is gone, as the number is not of it any more."""
        was = self.service.desired
        self.service.scaling = None if mark is None else Scaling(run=mark.run, id=mark.id, was=was)
        self.service.desired = desired

    def unscale(self, mark: Mark) -> None:
        """Want as many as before, if the number is of that mark."""
        scaling = self.service.scaling
        if scaling is not None and scaling.mark == mark:
            self.service.desired, self.service.scaling = scaling.was, None

    def retire(self) -> None:
        """Give back the nodes that were added: what runs there goes elsewhere."""
        for node in self.nodes.values():
            if node.name not in self.first:
                node.leaving = True
                for replica in self.on(node):
                    self.end(replica)

    def take(self, node: Node) -> None:
        """Take a node away at once, with all that is there: nobody's disruption budget is asked."""
        node.leaving = True
        node.balloons.clear()
        for replica in self.on(node):
            self.end(replica)

    def renew(self) -> None:
        """Have those that are starting go: others take their place."""
        for replica in list(self.service.replicas):
            if replica.phase is Phase.STARTING:
                self.end(replica)

    def remove_left(self) -> None:
        """Nodes that were given back and are empty are no more."""
        empty = [one for one in self.nodes.values() if one.leaving and not self.used(one)]
        for node in empty:
            del self.nodes[node.name]

    def marks(self) -> Iterator[Mark]:
        """Whoever left one."""
        for node in self.nodes.values():
            yield from node.balloons
            if node.mark is not None:
                yield node.mark
        if self.service.scaling is not None:
            yield self.service.scaling.mark
