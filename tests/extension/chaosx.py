"""An extension of Chaos Toolkit of nobody's, for the tests: what it breaks is whether a file is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus


def break_it(path: str, times: int = 1, configuration: dict[str, Any] | None = None) -> dict[str, Any]:
    """Sound."""
    text = "\n".join([str((configuration or {}).get("gameday_fault"))] * times)
    Path(path).write_text(text, encoding="utf-8")
    return {"broken": path}


def mend_it(path: str) -> None:
    """Sound, also where there is nothing to mend."""
    Path(path).unlink(missing_ok=True)


def is_broken(path: str) -> bool:
    """Sound."""
    return Path(path).exists()


def standing(path: str) -> list[str]:
    """What stands."""
    return [f"some-run/{Path(path).read_text(encoding='utf-8')}"] if Path(path).exists() else []


def echo(value: Any = None) -> Any:
    """Whatever it is given."""
    return value


def break_and_echo(path: str, value: Any = None) -> Any:
    """Breaks it, and returns whatever it is given."""
    Path(path).touch()
    return value


def break_and_raise(path: str) -> None:
    """Breaks it, and complains."""
    Path(path).touch()
    sys.stdout.write("chaosx was here\n")
    raise RuntimeError("403: forbidden")


def break_and_hang(path: str) -> None:
    """Breaks it, and does not return."""
    Path(path).touch()
    time.sleep(600)


def hang_unless(path: str) -> bool:
    """Hangs if there is no such file, and makes it."""
    if not Path(path).exists():
        Path(path).touch()
        time.sleep(600)
    return True


def given(configuration: dict[str, Any], secrets: dict[str, Any], argument: str = "") -> dict[str, Any]:
    """All that it is given."""
    return {"configuration": configuration, "secrets": secrets, "argument": argument}


def variables() -> dict[str, str]:
    """The environment of its process."""
    return dict(os.environ)


def tells(secrets: dict[str, Any]) -> None:
    """Gives its secrets away, in every way that there is."""
    for stream in (sys.stdout, sys.stderr):
        stream.write(f"{secrets['token']}\n")
        stream.flush()
    raise RuntimeError(f"no such token: {secrets['token']}")


def quotes(secrets: dict[str, Any], how: str) -> Any:
    """Gives a secret away, spelled in another way."""
    token = secrets["token"]
    if how == "key":
        raise KeyError(token)
    if how == "texts":
        return [f"run/{token}"]
    return {"value": {"token": token}, "url": f"https://x/?t={quote_plus(token)}", "json": json.dumps(token)}[how]


def ignored() -> list[str]:
    """The signals that its process ignores, and so would all that it starts."""
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return [one.name for one in asked if signal.getsignal(one) is signal.SIG_IGN]


def comes_back_twice(path: str) -> bool:
    """A fork that nobody ended: its copy is first, and says the opposite."""
    there = Path(path).exists()
    child = os.fork()
    if child == 0:
        return not there
    os.waitpid(child, 0)
    return there


def fails(why: str) -> None:
    """Raises."""
    raise ValueError(why)


def leaves_behind(path: str, pid: str, broken: bool = False) -> str:
    """Breaks or mends it, and what it started goes on: its number is in ``pid``."""
    Path(path).touch() if broken else mend_it(path)
    started = subprocess.Popen(["/bin/sleep", "600"])
    Path(pid).write_text(str(started.pid), encoding="utf-8")
    return "started"


def leaves() -> None:
    """Ends the interpreter, as a command line would."""
    sys.exit(0)


def dies() -> None:
    """Ends the process."""
    os._exit(0)


async def later() -> bool:
    """A coroutine: to call it does nothing."""
    return True


def bit_by_bit() -> Iterator[bool]:
    """A generator: to call it does nothing."""
    yield True


def hidden_later() -> Any:
    """Returns a coroutine that nobody waits for."""
    return later()


class Thing:
    """No function."""
