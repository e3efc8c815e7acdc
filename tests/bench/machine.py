"""What the bench ran on."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["describe"]

_PACKAGES = (
    "gameday",
    "chaostoolkit",
    "chaostoolkit-lib",
    "chaostoolkit-addons",
    "aiohttp",
    "requests",
    "pydantic",
)


def describe(folder: Path) -> Mapping[str, str]:
    """Cores, memory, kernel, versions; and the disk that ``folder`` (ledger, timelines) lies on."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}, {_processor()}",
        "memory": f"{memory:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "disk of ledger and timelines": _disk(folder),
        "load average at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _disk(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    found = max(mounts, key=lambda part: len(part.mountpoint), default=None)
    free = shutil.disk_usage(folder).free / 2**30
    return f"{found.fstype if found else 'unknown'}, {free:.0f} GiB free"
