"""The operator's own way to pause the stock, as ``docker compose pause`` would: it is there, and says nothing.

``stock.py pause | paused | resume``; the system's folder is in STAGING_DIR, and what a test asks of the script in
STAGING_FLAW: ``refused`` complains instead of pausing, ``ineffective`` claims to have paused.
"""

import json
import os
import signal
import sys
from pathlib import Path


def _pid() -> int:
    system = json.loads((Path(os.environ["STAGING_DIR"]) / "system.json").read_text(encoding="utf-8"))
    found = next(one for one in system["processes"] if one["name"] == "stock")
    if _stat(found["pid"])[19] != str(found["start_ticks"]):
        sys.exit(f"{found['pid']} is not the stock any more")
    return int(found["pid"])


def _stat(pid: int) -> list[str]:
    """What the kernel says of it, from its state on."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()


def main() -> int:
    """0 or, for ``paused``, 1 where it goes on."""
    call, flaw = sys.argv[1], os.environ["STAGING_FLAW"]
    if call == "pause" and flaw == "refused":
        sys.stderr.write("not today\n")
        return 3
    if call == "pause" and flaw != "ineffective":
        os.kill(_pid(), signal.SIGSTOP)
    elif call == "paused":
        return 0 if _stat(_pid())[0] == "T" else 1
    elif call == "resume":
        os.kill(_pid(), signal.SIGCONT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
