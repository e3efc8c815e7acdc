"""The operator's own script around the deployer of the staging system: what the environment's commands run.

``release.py deploy REVISION | deployed | back | status``; the system's folder is in STAGING_DIR.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.staging.system.status import Status, status_of

_SHARE = 0.25
_FOLDER = os.environ["STAGING_DIR"]


def _deployer(*words: str) -> None:
    argv = [sys.executable, "-m", "tests.staging.system", "deploy", *words, "--dir", _FOLDER]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=25, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)


def _status() -> Status:
    found = status_of(Path(_FOLDER))
    if found.takes_traffic is None:
        sys.stderr.write("the front can not be asked\n")
        sys.exit(2)
    return found


def _releases() -> dict[str, Any]:
    found = _status()
    canary = _SHARE if found.takes_traffic else 0.0
    back = None
    if found.rolled_back:
        back = {"revision": "canary", "at": f"{found.rolled_back_at}", "reason": found.reason or ""}
    revisions = [{"revision": "stable", "weight": 1 - canary}, {"revision": "canary", "weight": canary}]
    return {"revisions": revisions, "rolled_back": back}


def main() -> int:
    """0 or, for ``deployed``, 1 where no canary takes traffic."""
    call = sys.argv[1]
    if call == "deploy":
        more = ["--no-auto-rollback"] if os.environ["STAGING_FLAW"] == "no-rollback" else []
        _deployer(sys.argv[2], *more)
    elif call == "deployed":
        return 0 if _status().takes_traffic else 1
    elif call == "back" and _status().takes_traffic:
        _deployer("rollback")
    elif call == "status":
        sys.stdout.write(json.dumps(_releases()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
