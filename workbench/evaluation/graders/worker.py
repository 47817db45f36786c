"""math-verify in a process that is kept, and ended when an answer takes it too long.

A computer algebra system can be made to work, or to fill the memory, for ever, and cannot be
interrupted while it does. So it has a process of its own, which is killed after some seconds
and started anew for the next answer. Threads share it and wait for one another.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from workbench.evaluation.graders import verdict

SECONDS = 4.0  # for one answer; an ordinary one takes milliseconds
MEMORY = 2 << 30  # bytes of address space

_START = 60.0  # seconds, on a disk that has never read it
_KEPT = 4096  # answers of which the outcome is remembered
_SCRIPT = Path(__file__).with_name("checking.py")
_SAID: Mapping[str, str] = MappingProxyType(
    {
        "equal": verdict.EQUAL,
        "different": verdict.DIFFERENT,
        "unreadable": verdict.NOT_MATHEMATICS,
    }
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one comparison."""

    reason: str  # one of ``verdict``'s
    by: str  # math-verify with its version


class Checker:
    """Compares answers by math-verify, from any thread, in one process at a time.

    The process is started by the first comparison, about a second before its answer. It ends
    with ``close``, and by itself when this process is gone, however it went.

    Args:
        seconds: After which a comparison ends as a timeout.
        memory: Bytes of address space of the process.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._known: OrderedDict[tuple[str, str], Outcome] = OrderedDict()

    def compare(self, gold: str, given: str) -> Outcome:
        """Whether an answer is mathematically the one that was wanted.

        Neither an answer that hangs or kills the process nor a process that cannot be started
        raises: each is an outcome of its own. The last few thousand are remembered.

        Args:
            gold: The right answer, as LaTeX.
            given: What is compared with it: the answer alone.
        """
        with self._lock:
            known = self._known.get((gold, given))
            if known is not None:
                return known
            try:
                outcome = self._ask(gold, given)
                if outcome.reason == verdict.CRASHED:  # of it, or was it killed by somebody?
                    outcome = self._ask(gold, given)
            except _NotStartedError:
                self._end()
                return Outcome(verdict.NOT_STARTED, "math-verify")
            except BaseException:  # interrupted: its answer would be taken for the next one's
                self._end()
                raise
            self._known[gold, given] = outcome
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return outcome

    def close(self) -> None:
        """End the process; the next comparison starts another."""
        with self._lock:
            self._end()

    @property
    def pid(self) -> int | None:
        """The process that there is, if there is one."""
        return None if self._process is None else self._process.pid

    def cpu_seconds(self) -> float:
        """What the process that there is has had of a processor."""
        return 0.0 if self._process is None else self._process.cpu_seconds()

    def _ask(self, gold: str, given: str) -> Outcome:
        if self._process is None or not self._process.usable:
            self._end()
            self._process = _Process(self._seconds, self._memory)
        process = self._process
        try:
            said = process.ask(gold, given, self._seconds)
        except TimeoutError:
            reason = verdict.TIMEOUT
        except (OSError, EOFError):
            reason = verdict.CRASHED
        else:
            return Outcome(_SAID[said], process.name)
        self._end()
        return Outcome(reason, process.name)

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None


@cache
def shared() -> Checker:
    """The checker of this process, closed when Python ends."""
    checker = Checker()
    atexit.register(checker.close)
    return checker


class _NotStartedError(Exception):
    """There is no math-verify here, or it does not run."""


class _Process:
    """The process and the pipes to it; for one thread at a time."""

    def __init__(self, seconds: float, memory: int) -> None:
        self._owner = os.getpid()
        self._asked = 0
        self._rest = b""
        try:
            self._child = _spawn(seconds, memory)
        except (OSError, PackageNotFoundError) as error:
            raise _NotStartedError from error
        try:
            self.name = f"math-verify {self._read(_START)['ready']}"
        except (TimeoutError, OSError, EOFError) as error:
            self.end()
            raise _NotStartedError from error
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def usable(self) -> bool:
        """It runs, and is not that of the process that this one was forked from."""
        return self._owner == os.getpid() and self._child.poll() is None

    def cpu_seconds(self) -> float:
        """What it has had of a processor, user's and system's."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def ask(self, gold: str, given: str, seconds: float) -> str:
        """What it says of an answer.

        Raises:
            TimeoutError: It has said nothing for so many seconds.
            OSError: It is not there any more.
            EOFError: It ended over the question.
        """
        self._asked += 1
        question = {"id": self._asked, "gold": gold, "given": given}
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(question).encode() + b"\n")
        self._child.stdin.flush()
        reply = self._read(seconds)
        if reply["id"] != self._asked:
            raise EOFError
        return str(reply["said"])

    def end(self) -> None:
        """Kill it and wait for its end; the pipes of a fork's parent are only closed."""
        if self._owner == os.getpid():
            self._child.kill()
            self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _read(self, seconds: float) -> Mapping[str, Any]:
        """Its next line."""
        assert self._child.stdout is not None
        pipe = self._child.stdout.fileno()
        ready = select.poll()
        ready.register(pipe, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not ready.poll(left * 1000):
                raise TimeoutError
            part = os.read(pipe, 65536)
            if not part:
                raise EOFError
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        found: Mapping[str, Any] = json.loads(line)
        return found


def _spawn(seconds: float, memory: int) -> subprocess.Popen[bytes]:
    """The process: in no shell, without the environment's secrets, out of reach of Ctrl-C.

    Raises:
        PackageNotFoundError: math-verify is not installed.
        OSError: There is no room for another process.
    """
    folder = str(distribution("math-verify").locate_file(""))
    script = [str(_SCRIPT), str(seconds), str(memory), folder]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-B", *script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        start_new_session=True,
    )
