"""Run a conversion in a child process: followed, stopped, taken up again, and finished as one.

ExLlamaV2 saves its state every three minutes and after each pass, so what is stopped or dies goes
on from there when the same is asked again. The target appears when all of it is written.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from workbench.engines.conversion import calibration
from workbench.engines.conversion.job import Job
from workbench.engines.conversion.progress import Reader, Step, last_word
from workbench.errors import EngineError, InvalidInput
from workbench.models.folder import ModelInfo, check, inspect

_CHILD = "workbench.engines.conversion"
_PATIENCE = 10.0  # seconds that the child has to end when asked to
_KEPT = (  # of what the converter copies beside the weights; not a source's index of its shards
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
)


def convert(job: Job, tell: Callable[[Step], None]) -> ModelInfo:
    """Convert, or go on; the finished model.

    Args:
        job: From ``job.planned``.
        tell: Called with every step.

    Raises:
        InvalidInput: The work folder holds another conversion, or one that is running.
        EngineError: The converter failed; says with which words, and where its log is.
        KeyboardInterrupt: Stopped by Ctrl-C; the child has ended, its work is kept.
    """
    with _held(job):
        if _progress(job) != "finished":
            _run(job, tell)
        return _finish(job)


@contextmanager
def _held(job: Job) -> Iterator[None]:
    """The work folder, held against other processes and for this request."""
    job.work.mkdir(parents=True, exist_ok=True)
    with (job.work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidInput(
                f"Another process is converting in {job.work}.",
                remedy="Wait for it, or choose another folder with --work.",
            ) from None
        _claim(job)
        yield


def _claim(job: Job) -> None:
    file, wanted = job.work / "request.json", _request(job)
    if file.is_file() and _json(file) != wanted:
        raise InvalidInput(
            f"{job.work} holds another conversion: {_json(file) or 'an unreadable one'}.",
            remedy="Remove that folder, or choose another one with --work.",
        )
    file.write_text(json.dumps(wanted), encoding="utf-8")


def _request(job: Job) -> dict[str, Any]:
    return {
        "source": str(job.source),
        "bits": job.bits,
        "head_bits": job.head_bits,
        "calibration": str(job.texts.file) if job.texts.file else "default",
    }


def _progress(job: Job) -> str | None:
    """Where the converter's own record says it is; ``None``: nowhere yet, or it is lost.

    Killed while it writes, the converter leaves a record that it then refuses. That begins anew,
    with what had been measured when that was complete.
    """
    record = job.work / "job" / "job_new.json"
    if not record.is_file():
        return None
    said = _json(record)
    if said and "invalid" not in said:
        return str(said.get("progress"))
    measured = job.work / "job" / "measurement.json"
    if _json(measured):
        shutil.copy(measured, job.work / "measurement.json")
    shutil.rmtree(job.work / "job")
    return None


def _arguments(job: Job) -> list[str]:
    place = job.work / "job"
    if (place / "job_new.json").is_file():
        return ["-o", str(place), "-so"]
    place.mkdir(exist_ok=True)
    shutil.rmtree(job.work / "made", ignore_errors=True)
    given = ["-i", str(job.source), "-o", str(place), "-cf", str(job.work / "made"), "-so"]
    given += ["-b", str(job.bits), "-hb", str(job.head_bits)]
    if (job.work / "measurement.json").is_file():
        given += ["-m", str(job.work / "measurement.json")]
    return given + calibration.arguments(job.texts, job.work)


def _run(job: Job, tell: Callable[[Step], None]) -> None:
    reader = Reader(job.modules, time.monotonic)
    command = [sys.executable, "-u", "-m", _CHILD, job.device, *_arguments(job)]
    # Without a mask its own torch attention reads ahead; the other one is right.
    environment = {"EXLLAMA_NO_SDPA": "1", "EXLLAMA_NO_XFORMERS": "1"}
    if job.device == "cpu":  # small matrices, row by row: a second thread only waits for its core
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        environment["EXLLAMA_NO_FLASH_ATTN"] = "1"
    with (
        (job.work / "convert.log").open("a", encoding="utf-8") as log,
        _child(command, os.environ | environment) as child,
    ):
        for line in child.stdout or ():
            log.write(line)
            step = reader.read(line.rstrip("\n"))
            if step is not None:
                tell(step)
        child.wait()
    if _progress(job) != "finished":  # its exit code is 0 for some of its complaints too
        raise EngineError(
            f"The converter ended before it was done: {last_word(reader.said)}",
            remedy=f"All it said is in {job.work / 'convert.log'}; the same command goes on.",
        )


@contextmanager
def _child(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The converter, in a session of its own: a Ctrl-C is this process's to answer."""
    child = subprocess.Popen(  # noqa: S603 - this program and our own arguments, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _finish(job: Job) -> ModelInfo:
    """Check what was made, and let it appear."""
    made = job.work / "made"
    for file in made.iterdir():
        if not any(fnmatch(file.name, pattern) for pattern in _KEPT):
            file.unlink()
    check(made)
    job.target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        job.target.rmdir()  # an empty one; any other was refused
    if made.stat().st_dev == job.target.parent.stat().st_dev:
        made.rename(job.target)
    else:
        partial = job.target.with_name(f".{job.target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(made, partial)
        partial.rename(job.target)
    shutil.rmtree(job.work)
    return inspect(job.target)


def _json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
