"""Build the extension in a process of its own, followed object by object."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import EngineError
from workbench.extension.following import Follower
from workbench.extension.headers import headers
from workbench.extension.place import Place
from workbench.extension.trouble import remedy_for

Progress = Callable[[int, int], None]

OBJECTS = 47  # of ExLlamaV2 0.3.2, and one library
MODULE = "exllamav2.ext"  # whose import builds it
_MINUTES = 26  # of one core, for all objects: measured with CUDA 13.0 for one architecture
_LONGEST = 3  # minutes of one core, for the largest object; none is split
_MEMORY = 2 * 2**30  # bytes that a compiler is given; a guess on the safe side
_QUIET = 10.0  # seconds between lines of a bar that nobody watches


@dataclass(frozen=True, slots=True)
class Cost:
    """What a build takes, in minutes: on free cores, and on cores that others want too."""

    least: int
    most: int
    jobs: int  # compilers at once

    def __str__(self) -> str:
        at_once = f"{self.jobs} compilers at once" if self.jobs > 1 else "one compiler at a time"
        return f"about {self.least} to {self.most} minutes, {at_once}"


def cost(cores: int, memory: int, max_jobs: str | None = None) -> Cost:
    """What a build takes here.

    Args:
        cores: That this process may use.
        memory: Bytes that are free.
        max_jobs: As the user sets ``MAX_JOBS``.
    """
    jobs = jobs_here(cores, memory, max_jobs)
    work = _MINUTES / min(jobs, cores)
    return Cost(round(max(work, _LONGEST)), round(max(4 * work, 2 * _LONGEST)), jobs)


def jobs_here(cores: int, memory: int, max_jobs: str | None = None) -> int:
    """Compilers at once: one a core, as far as the memory goes, unless the user says otherwise."""
    if max_jobs is not None and max_jobs.isdigit() and int(max_jobs) > 0:
        return int(max_jobs)
    return max(1, min(cores, memory // _MEMORY))


def build(
    place: Place,
    toolkit: Path | None = None,
    progress: Progress | None = None,
    *,
    anew: bool = False,
    module: str = MODULE,
) -> None:
    """Build the extension, or wait for another process that does; a whole one is left as it is.

    A build that was cut short goes on where it stopped.

    Args:
        place: Where.
        toolkit: The toolkit, for headers that have to be named.
        progress: Called with (objects compiled, in all); default: a bar on stderr.
        anew: Compile everything, whatever is there.
        module: Whose import builds it.

    Raises:
        EngineError: It cannot be built; the remedy is the command that mends it.
    """
    follower = Follower()
    with _told(progress) as tell, _process(place, toolkit, module, anew) as process:
        with place.log.open("w", encoding="utf-8") as log:
            for line in process.stdout or ():
                log.write(line)
                if follower.read(line):
                    tell(follower.done, follower.total)
        code = process.wait()
    if code != 0 or not place.built:
        said = follower.error or _ended(code)
        raise EngineError(
            f"ExLlamaV2's extension could not be built: {said}",
            remedy=f"{remedy_for(said)}; all that was said stands in {place.log}.",
        )


@contextmanager
def _process(
    place: Place, toolkit: Path | None, module: str, anew: bool
) -> Iterator[subprocess.Popen[str]]:
    """The compiling process; it is ended with all its compilers when we are interrupted."""
    script = Path(__file__).with_name("compiling.py")
    asked = [str(place.folder), place.name, module, *(["anew"] if anew else [])]
    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(  # noqa: S603 - our own script, no shell
            # -P: the files beside the script are not modules of its own
            [sys.executable, "-P", str(script), *asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_environ(toolkit),
        )  # in our own group: Ctrl-C, or a notebook's interrupt, ends it too
    except OSError as error:
        raise EngineError(
            f"ExLlamaV2's extension could not be built: {error}", remedy=remedy_for(str(error))
        ) from error
    with process:
        try:
            yield process
        except BaseException:
            _end(process.pid)
            raise


def _end(pid: int) -> None:
    """A process and all that it started: a compiler does not end with who waits for it."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                one.terminate()


def _environ(toolkit: Path | None) -> dict[str, str]:
    asked = os.environ.get("MAX_JOBS")
    jobs = jobs_here(cores_here(), psutil.virtual_memory().available, asked)
    own = {"MAX_JOBS": str(jobs), "PYTHONUNBUFFERED": "1", "PATH": _path()}
    return headers(toolkit).environ(os.environ) | own


def _path() -> str:
    """With this Python's own programs: ninja is one, also where the environment is not active."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def cores_here() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ended(code: int) -> str:
    if code < 0:
        return f"the compilation was ended by {signal.Signals(-code).name}"
    return "the compilation ended without a library"


@contextmanager
def _told(progress: Progress | None) -> Iterator[Progress]:
    if progress is not None:
        yield progress
        return
    pause = 0.1 if sys.stderr.isatty() else _QUIET
    settings: dict[str, Any] = {"mininterval": pause, "maxinterval": pause, "unit": "obj"}
    tqdm = import_module("tqdm.std").tqdm
    with tqdm(desc="Building ExLlamaV2's extension", total=OBJECTS + 1, **settings) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell
