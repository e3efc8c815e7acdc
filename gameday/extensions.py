"""How functions of Chaos Toolkit's extensions are called: in a child process, ``python -m PROGRAM``.

The child is `gameday.drivers.chaostoolkit.child`, the one file that imports chaoslib; it is named here, not
imported. What it is asked and what it answers are the two models below, a line of JSON each on its standard input
and output: no other user of the machine can read that, as they could arguments. Secrets are in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from pydantic import ValidationError

from gameday import processes, programs, references
from gameday.errors import DriverError
from gameday.model.base import JSON, Model
from gameday.model.chaostoolkit import OURS, Call, Given, Tolerance
from gameday.model.token import ProcessIdentity

__all__ = ["PROGRAM", "SECRETS", "Question", "Reply", "Worker", "facts", "masked", "once"]

PROGRAM = "gameday.drivers.chaostoolkit.child"
SECRETS = "GAMEDAY_SECRETS"
"""The variable in which it gets the secrets; it takes it out before anything is called."""
_INHERITED = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV")
_READ = 65536
_START = 15.0
"""Real seconds in which an extension is imported."""
_LINGER = 1.0
"""Real seconds in which what a function left behind may end by itself."""
_LOOK = 0.02


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
    """The answer of a process of its own, and whether it left processes behind; see `Worker`."""
    return Worker(given, alone).ask_last(question, leaves)


class Worker:
    """A child process that imports an extension once and answers questions. One thread asks; any may `interrupt`.

    ``alone``: in a session of its own, for a caller whose session is not fenced. Else in the caller's, so that a
    fence of that ends it. It ends by itself at the end of its input, also in the middle of a call.
    """

    def __init__(self, given: Given, alone: bool = False) -> None:
        self._given = given
        self._alone = alone
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: ProcessIdentity | None = None
        self._secrets: tuple[str, ...] = ()
        self._buffer = b""
        self._pending = 0

    @property
    def begun(self) -> bool:
        """Whether there is a child."""
        return self._process is not None

    def prepare(self, calls: Sequence[Call], configuration: Mapping[str, JSON]) -> None:
        """Let it import, and look whether these functions take what they are given; nothing is waited for.

        DriverError if a secret is not to be had, or there can be no process.
        """
        question = Question(verify=tuple(calls), configuration=dict(configuration), seconds=_START)
        self._send(self._process or self._begin(), question)
        self._pending += 1

    def prepared(self) -> Reply:
        """What became of `prepare`; TimeoutError if that takes too long: then there is no child any more."""
        reply = Reply()
        while self._pending and not reply.failed:
            reply = self._receive(_START, PROGRAM)
            self._pending -= 1
        return reply

    def ask(self, question: Question) -> Reply:
        """Its answer, from a new child if there is none. TimeoutError: then there is none any more. DriverError as
        `prepare`."""
        process = self._process or self._begin()
        reply = self.prepared()
        if reply.failed:
            return reply
        self._forget_printed()
        self._send(process, question)
        return self._receive(question.seconds, question.call.name if question.call is not None else PROGRAM)

    def ask_last(self, question: Question, leaves: bool = False) -> tuple[Reply, bool]:
        """`ask`, then `end`, also where that raises: the answer, and whether processes were left behind."""
        try:
            reply = self.ask(question)
        except BaseException:
            self.end()
            raise
        return reply, self.end(leaves)

    def interrupt(self) -> None:
        """Kill the child: whoever waits for its answer waits no more."""
        identity = self._identity
        if identity is not None:
            processes.end([identity], 0.0)

    def end(self, leaves: bool = False) -> bool:
        """Kill the child with all that it started, and wait for it; whether it had left any behind. Idempotent.

        ``leaves``: what it started may live on.
        """
        process, self._process = self._process, None
        if process is None:
            return False
        left = [] if leaves else self._left(process.pid)
        self.interrupt()
        processes.end(left, 0.0)
        self._identity, self._pending = None, 0
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what was not written any more
                assert pipe is not None  # for mypy
                pipe.close()
        self._errors.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # in the kernel
            process.wait(2.0)
        return bool(left)

    def _begin(self) -> subprocess.Popen[bytes]:
        environment, self._secrets = _environment(self._given)
        self._buffer, self._pending = b"", 0
        # In memory: an undo must not fail for want of a disk with room. Closed by `end`.
        self._errors = os.fdopen(os.memfd_create("printed"), "r+b", buffering=0)
        try:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROGRAM],
                env=environment,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=self._alone,
                process_group=None if self._alone else 0,
            )
        except (OSError, ValueError) as error:
            self._errors.close()
            raise DriverError(f"no process for {PROGRAM}: {error}") from error
        found = processes.identify(process.pid)
        self._identity = found or ProcessIdentity(pid=process.pid, start=0, boot="")
        return process

    def _send(self, process: subprocess.Popen[bytes], question: Question) -> None:
        assert process.stdin is not None  # for mypy
        with contextlib.suppress(OSError):  # it is dead: that is told where its answer is missing
            process.stdin.write(question.model_dump_json().encode() + b"\n")
            process.stdin.flush()

    def _receive(self, seconds: float, who: str) -> Reply:
        process = self._process
        if process is None or process.stdout is None:
            raise DriverError("nobody was asked")
        try:
            line = self._line(process.stdout, seconds)
        except TimeoutError as error:
            self.end()
            raise TimeoutError(f"{who} did not end within {seconds:g} s, and was killed") from error
        try:
            reply = Reply.model_validate_json(line)
        except ValidationError:
            reply = Reply(failed=f"{who}: its process ended without an answer")
        printed = self._printed() if reply.failed and not reply.hint else ""
        if not line:
            self.end()
        return reply.model_copy(update={"failed": f"{reply.failed}; it printed: {printed}"}) if printed else reply

    def _line(self, pipe: IO[bytes], seconds: float) -> bytes:
        """The next one, empty at the end."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not processes.readable([pipe.fileno()], left):
                raise TimeoutError
            data = os.read(pipe.fileno(), _READ)
            if not data:
                return b""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _forget_printed(self) -> None:
        """What was printed before says nothing of the next call; the child goes on at the same place, the start."""
        os.ftruncate(self._errors.fileno(), 0)
        os.lseek(self._errors.fileno(), 0, os.SEEK_SET)

    def _printed(self) -> str:
        """The end of what was printed, secrets masked."""
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), _READ, max(0, size - _READ)).decode("utf-8", "replace")
        if size > _READ:
            text = text.partition("\n")[2]  # in a line that is cut, a secret might not be recognised
        return masked(text, programs.parts(self._secrets)).strip()[-programs.KEPT :]

    def _left(self, leader: int) -> list[ProcessIdentity]:
        """What it started and did not wait for, once that had a moment to end by itself."""
        until = time.monotonic() + _LINGER
        while (members := self._members(leader)) and time.monotonic() < until:
            time.sleep(_LOOK)  # nothing tells when the last of a group ends
        return members

    def _members(self, leader: int) -> list[ProcessIdentity]:
        found = processes.session_members(leader) if self._alone else processes.group_members(leader)
        return [one for one in found if one.pid != leader]


def masked(text: str, secrets: Iterable[str]) -> str:
    """Without these."""
    for secret in secrets:
        text = text.replace(secret, programs.MASK)
    return text


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


def facts(of: Mapping[str, JSON]) -> dict[str, JSON]:
    """What gameday itself tells functions, by the names in ``configuration``; nothing for what is None."""
    return {f"{OURS}{name.strip('_')}": value for name, value in of.items() if value is not None}
