"""The crash matrix on a PostgreSQL that gameday did not start: the replay of a standby is paused.

One primary and one standby stay up for all cases. Whether the pause stands is told by the standby itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from gameday.databases import DatabaseError
from gameday.grade.faults_removed import LIMIT
from tests.e2e.case import LEFT, PROMISE, Case
from tests.e2e.conftest import Cli, command_line, wait_for
from tests.postgres import Cluster, Server, cluster

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ENDED = 15.0
"""Real seconds from a killed engine until no process of its run is left: the driver settles in 2."""
PAUSED = "paused"
ROLE, SECRET = "gameday", "s3cret of gameday"
EXPERIMENT = """
apiVersion: gameday/v1
kind: Experiment
metadata: {name: standby-pause, title: A standby, proves: "It stands still, and catches up afterwards"}
spec:
  hypothesis: The standby catches up as soon as its replay goes on.
  roles: {services: [standby], probes: [lag]}
  steadyState: [{probe: lag, atLeast: 95%, minEvents: 15}]
  faults:
    - {kind: replay_pause, service: standby, at: 3s, for: 6s, proof: {probe: lag}}
  after: 6s
  expect: []
"""
ENVIRONMENT = """
apiVersion: gameday/v1
kind: Environment
metadata: {name: theirs}
spec:
  tier: staging
  probeRate: 10/s
  services:
    standby:
      name: standby
      url: "URL"
      login: {user: gameday, password: "env:STANDBY_PASSWORD"}
      faults:
        replay_pause: {driver: postgres, api: "URL", user: gameday, password: "env:STANDBY_PASSWORD"}
  probes: {lag: standby-lag}
  blastRadius: {faults: [replay_pause], share: 100%, atOnce: {replicas: 1}}
"""
PROBE = """
apiVersion: gameday/v1
kind: Probe
metadata: {name: standby-lag}
spec:
  sql: {service: standby, query: "SELECT extract(epoch FROM clock_timestamp() - at) FROM heartbeat", below: 2}
"""


class Login(Cli):
    """With the secret that the environment refers to."""

    @property
    def environment(self) -> dict[str, str]:
        """As the others', and that."""
        return {**super().environment, "STANDBY_PASSWORD": SECRET}


@dataclass
class Theirs:
    """A primary, its standby, and a heartbeat."""

    cli: Cli
    servers: Cluster
    cases: int = 0
    cleared: list[float] = field(default_factory=list)

    @property
    def standby(self) -> Server:
        """The second of them."""
        return self.servers.servers[1]

    def standing(self) -> set[str]:
        """What stands, as the standby says."""
        state = self.standby.ask("SELECT pg_get_wal_replay_pause_state()")
        assert state is not None
        return set() if state == "not paused" else {PAUSED}

    def serves(self) -> bool:
        """Whether what is written at the primary is there."""
        wait_for(
            lambda: (
                float(self.standby.ask("SELECT extract(epoch FROM clock_timestamp() - at) FROM heartbeat") or 9) < 2
            ),
            10,
        )
        return True

    def processes(self, module: str = "") -> dict[psutil.Process, str]:
        """Living processes of a run."""
        return self.cli.processes(module)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    folder = tmp_path_factory.mktemp("theirs")
    over = threading.Event()

    def beat(primary: Server) -> None:
        while not over.wait(0.1):
            with suppress(DatabaseError):  # one that came to nothing must not end it for all cases
                primary.do("UPDATE heartbeat SET at = clock_timestamp()")

    with cluster() as servers, command_line(folder) as plain:
        servers.primary.do(
            "CREATE TABLE heartbeat AS SELECT clock_timestamp() AS at",
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{SECRET}'",
            f"GRANT EXECUTE ON FUNCTION pg_wal_replay_pause(), pg_wal_replay_resume() TO {ROLE}",
            f"GRANT SELECT ON heartbeat TO {ROLE}",
        )
        standby = servers.standby("standby")
        files = {
            "experiments/standby-pause.yaml": EXPERIMENT,
            "experiments/environments/theirs.yaml": ENVIRONMENT.replace("URL", standby.url),
            "probes/standby-lag.yaml": PROBE,
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        heart = threading.Thread(target=beat, args=(servers.primary,))
        heart.start()
        try:
            yield Theirs(Login(plain.folder), servers)
        finally:
            over.set()
            heart.join()


@dataclass
class TheirCase(Case):
    """A run on them."""

    ground: Theirs

    def begin(self, point: str) -> None:
        """Begin a run, and wait until it is at the point."""
        project = str(self.ground.cli.folder)
        self.start(
            point, "postgres", "standby-pause", "--env", "theirs", "--confirm", "theirs", "--project", project
        )


@pytest.fixture
def case(theirs: Theirs, tmp_path: Path) -> Iterator[TheirCase]:
    """Before and after it nothing stands, and no process is left."""
    assert theirs.standing() == set()
    one = TheirCase(theirs, tmp_path)
    try:
        yield one
        assert theirs.standing() == set()
        assert not theirs.processes()
    finally:
        one.close()
        theirs.standby.do("SELECT pg_wal_replay_resume()")


def test_a_whole_run(case: TheirCase) -> None:
    """The password is in none of its files."""
    case.begin("report")
    case.go()
    assert case.engine.wait(LEFT) == 0, case.log.read_text(encoding="utf-8")
    wait_for(lambda: not case.ground.processes(), ENDED)
    case.assert_nothing_is_left(0)
    kept = [path for path in (*case.run.rglob("*"), case.log) if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("point", ["injected", "hold", "undo", "undone"])
def test_the_engine_is_killed(case: TheirCase, point: str) -> None:
    case.begin(point)
    assert case.ground.standing() == (set() if point == "undone" else {PAUSED})
    since = time.monotonic()
    case.engine.kill()
    case.watch_until_clear(since, ENDED)
    case.assert_nothing_is_left(5)


def test_the_engine_is_killed_as_its_hand_begins_to_inject(case: TheirCase) -> None:
    case.begin("inject")
    since = time.monotonic()
    case.engine.kill()
    with suppress(ProcessLookupError):  # fenced already
        os.kill(case.hand(), signal.SIGCONT)
    case.watch_until_clear(since, ENDED)
    case.assert_nothing_is_left(5)


def test_ctrl_c(case: TheirCase) -> None:
    case.begin("hold")
    since = time.monotonic()
    case.engine.send_signal(signal.SIGINT)
    case.watch_until_clear(since, LEFT)
    assert case.end() == 5
    case.assert_nothing_is_left(5)


def test_the_engine_is_killed_and_the_standby_is_started_again(case: TheirCase) -> None:
    """While it is away nothing is clear; a standby that was started again has lost the pause.

    It stays away for longer than a removal may take, so that how long it takes to start decides no verdict.
    """
    case.begin("hold")
    case.ground.standby.stop()
    case.engine.kill()
    undone = case.run / "reaper.jsonl"
    wait_for(lambda: undone.exists() and b"fault.undo" in undone.read_bytes(), ENDED)
    since = time.monotonic()
    wait_for(lambda: case.ground.cli("status", "-o", "json").stdout.count("standby-pause") > 0, 10)
    assert case.ground.processes("gameday.app.reaper")
    wait_for(lambda: time.monotonic() > since + LIMIT, 2 * LIMIT)
    case.ground.standby.start()
    case.watch_until_clear(time.monotonic(), ENDED)
    case.assert_nothing_is_left(1)


def test_figures(theirs: Theirs, capsys: pytest.CaptureFixture[str]) -> None:
    """Last: what the cases took."""
    took = sorted(theirs.cleared)
    if not took:
        pytest.skip("no case was run")
    text = f"clear after p50 {took[len(took) // 2]:.2f} s, max {took[-1]:.2f} s"
    with capsys.disabled():  # on stderr: that is seen from a worker of xdist as well
        sys.stderr.write(f"\ncrashes on a PostgreSQL: {theirs.cases} cases: {text}\n")
    assert took[-1] < PROMISE
