"""The process that does sections: a job comes in as JSON, a line of JSON goes out per message.

A process of its own, because an illegal memory access ends every later use of the GPU in
the process that made it, and a kernel that hangs can only be killed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from workbench.bench.gpu.bed import Bed, Job
from workbench.bench.gpu.models import provide
from workbench.bench.gpu.sizes import FULL, REHEARSAL
from workbench.bench.gpu.work import Begun, Ended, Message, Value, work

_KINDS: Mapping[str, type[Message]] = MappingProxyType(
    {"begun": Begun, "value": Value, "ended": Ended}
)


def main() -> None:
    """Read the job, do it, tell it."""
    job = json.load(sys.stdin)
    out = _own_output()
    sizes = REHEARSAL if job["device"] == "cpu" else FULL
    with closing(Bed(Job(job["device"], sizes, Path(job["models"])), provide)) as bed:
        for message in work(job["sections"], bed, job["seconds"]):
            print(line(message), file=out, flush=True)
            if isinstance(message, Ended) and message.dead:
                os._exit(1)  # closing would only wait for a device that no longer answers


def order(job: Job, sections: Sequence[str], seconds: float) -> str:
    """What ``main`` reads."""
    told = {"device": job.device, "models": str(job.models)}
    return json.dumps(told | {"sections": list(sections), "seconds": seconds})


def line(message: Message) -> str:
    """A message as one line."""
    (kind,) = (name for name, one in _KINDS.items() if isinstance(message, one))
    return json.dumps({"kind": kind} | asdict(message))


def message(text: str) -> Message:
    """A line as the message that it was."""
    fields: dict[str, Any] = json.loads(text)
    return _KINDS[fields.pop("kind")](**fields)


def _own_output() -> TextIO:
    """Where lines go; what libraries print goes to stderr from now on."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


if __name__ == "__main__":
    main()
