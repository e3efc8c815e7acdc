"""How functions of Chaos Toolkit's extensions are called: in a child process, ``python -m PROGRAM``.

The child is `gameday.drivers.chaostoolkit`, the one file that imports chaoslib; it is named here, not imported.
What it is asked and what it answers are the two models below, one line of JSON each. What is asked reaches it in
its environment (of one call) or on its standard input (of `Worker`), which no other user of the machine can read.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO

from pydantic import ValidationError

from gameday import processes, programs, references
from gameday.errors import DriverError
from gameday.model.base import JSON, Model
from gameday.model.chaostoolkit import OURS, Call, ChaosCheck, Given, Tolerance
from gameday.model.token import ProcessIdentity

__all__ = ["ASKED", "PROGRAM", "SECRETS", "SERVE", "Question", "Reply", "Worker", "facts", "once"]

PROGRAM = "gameday.drivers.chaostoolkit"
SERVE = "--serve"
"""Its argument where it answers a line for each line, until its input ends."""
ASKED, SECRETS = "GAMEDAY_ASKED", "GAMEDAY_SECRETS"
"""The variables in which it gets what it is asked, and the secrets; it takes them out before anything is called."""
_INHERITED = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
_KEPT = 65536
"""Bytes of an answer."""
_START = 15.0
"""Real seconds in which it imports an extension, where that is not a part of a call."""


class Question(Model):
    """What the child is to do."""

    verify: tuple[Call, ...] = ()
    """Only look: whether these functions are there, and take exactly these arguments."""
    call: Call | None = None
    configuration: dict[str, JSON] = {}
    path: tuple[str | int, ...] = ()
    judge: tuple[Tolerance, ...] = ()
    """What the value that stands at ``path`` is held against."""
    texts: bool = False
    """It has to return a list of texts; they are in the answer."""
    seconds: float
    """Real seconds after which the child ends by itself, should whoever asked be gone."""


class Reply(Model):
    """What became of it."""

    returned: str = ""
    """What the function returned, for people."""
    nothing: bool = False
    """It returned False, or an empty text, list or mapping: nothing was done."""
    good: tuple[bool | None, ...] = ()
    """Of each of ``judge``; None: it can not be judged by that."""
    number: float | None = None
    """The value, if it is a number."""
    texts: tuple[str, ...] = ()
    unclear: str = ""
    """Why it can not be judged."""
    failed: str = ""
    """What it raised, or why it can not be called."""
    hint: str = ""
    """What to do about that."""

    def sound(self) -> Reply:
        """Itself; DriverError if it failed."""
        if self.failed:
            raise DriverError(self.failed, hint=self.hint)
        return self


def once(question: Question, given: Given, alone: bool = False, leaves: bool = False) -> tuple[Reply, bool]:
    """The answer of a process of its own, and whether it left processes behind, which were ended.

    TimeoutError after its time, DriverError if it can not be started; see `programs.Call` for ``alone`` and
    ``leaves``.
    """
    environment, secrets = _environment(given)
    environment[ASKED] = question.model_dump_json()
    call = programs.Call(
        _argv(),
        question.seconds,
        environment,
        secrets=secrets,
        kept=_KEPT,
        alone=alone,
        leaves=leaves,
    )
    try:
        ended = programs.run(call)
    except TimeoutError as error:
        what = question.call.name if question.call else "looking at the extension"
        raise TimeoutError(f"{what} did not end within {question.seconds:g} s, and was killed") from error
    except (OSError, ValueError) as error:
        raise DriverError(f"no process for {PROGRAM}: {error}") from error
    reply = _reply(ended.output.text)
    said = ended.errors.text.strip()[-programs.KEPT :]
    if reply is None:
        who = question.call.name if question.call else PROGRAM
        reply = Reply(failed=f"{who}: its process ended without an answer (code {ended.code})")
    if reply.failed and not reply.hint:
        reply = reply.model_copy(update={"failed": reply.failed + _after(said)})
    return reply, ended.left


def _after(said: str) -> str:
    return f"; it printed: {said}" if said else ""


def _reply(text: str) -> Reply | None:
    try:
        return Reply.model_validate_json(text)
    except ValidationError:
        return None


def _argv(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", PROGRAM, *words]


def _environment(given: Given) -> tuple[dict[str, str], tuple[str, ...]]:
    """All variables of the child, and what must not be shown; DriverError if a secret is not to be had."""
    try:
        env = {name: references.secret(reference) for name, reference in given.env.items()}
        secrets = {name: references.secret(reference) for name, reference in given.secrets.items()}
    except LookupError as error:
        raise DriverError(str(error.args[0]), hint="see 'secrets' and 'env' beside the function") from error
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    if "PYTHONPATH" in inherited:  # the child works in the root
        places = filter(None, inherited["PYTHONPATH"].split(os.pathsep))
        inherited["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, places))
    told = json.dumps({"secrets": secrets, "masked": list(env.values())})
    return {"PATH": os.defpath, **inherited, **env, SECRETS: told}, (*env.values(), *secrets.values())


class Worker:
    """A child that stays, for what is called again and again. One thread asks it; another may end it."""

    def __init__(self, check: ChaosCheck) -> None:
        self._given: Given = check
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: ProcessIdentity | None = None
        self._buffer = b""

    def ask(self, question: Question) -> Reply:
        """Its answer, from a new child if there is none; TimeoutError, DriverError: then there is none any more."""
        process = self._process or self._begin()
        try:
            assert process.stdin is not None and process.stdout is not None  # noqa: PT018 - for mypy: pipes
            process.stdin.write(question.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            line = self._line(process.stdout, question.seconds)
        except (OSError, TimeoutError) as error:
            self.end()
            if isinstance(error, TimeoutError):
                raise
            raise DriverError("the process of the extension died") from error
        reply = _reply(line.decode("utf-8", "replace"))
        if reply is None:
            self.end()
            raise DriverError("the process of the extension died")
        return reply

    def _begin(self) -> subprocess.Popen[bytes]:
        environment, _ = _environment(self._given)
        self._buffer = b""
        self._process = subprocess.Popen(
            _argv(SERVE),
            env=environment,
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        found = processes.identify(self._process.pid)
        self._identity = found or ProcessIdentity(pid=self._process.pid, start=0, boot="")
        return self._process

    def _line(self, pipe: IO[bytes], seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not processes.readable([pipe.fileno()], left):
                raise TimeoutError(f"no answer within {seconds:g} s")
            data = os.read(pipe.fileno(), _KEPT)
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def warm(self, check: ChaosCheck) -> Reply:
        """Import the extension, and see whether the function takes what it is given."""
        return self.ask(Question(verify=(check,), configuration=check.configuration, seconds=_START))

    @property
    def begun(self) -> bool:
        """Whether there is a child."""
        return self._process is not None

    def interrupt(self) -> None:
        """Kill the child, from any thread: whoever waits for its answer waits no more."""
        identity = self._identity
        if identity is not None:
            processes.fence_session(identity)

    def end(self) -> None:
        """Kill the child with all that it started, and wait for it; idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        self.interrupt()
        self._identity = None
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not written any more
                assert pipe is not None  # for mypy
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel
            process.wait(2.0)


def facts(of: Mapping[str, JSON]) -> dict[str, JSON]:
    """What gameday itself tells functions, by the names in ``configuration``; nothing for what is None."""
    return {f"{OURS}{name.strip('_')}": value for name, value in of.items() if value is not None}
