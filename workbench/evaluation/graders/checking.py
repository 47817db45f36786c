"""The process that asks math-verify: JSON lines in, JSON lines out, nothing of ours loaded.

A script, run by ``worker`` with ``python -I``: it sees neither the working directory nor the
environment's paths. Every text it is given is one answer, never a whole output. It is ended
from outside when it takes too long; when there is nobody left outside, by its own alarm,
which needs no Python to run; when its input ends, it ends.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from itertools import product
from typing import Any, TextIO

Check = Callable[[str, str], str]


def main(seconds: float, memory: int, folder: str) -> None:
    """Answer questions until there are no more.

    Args:
        seconds: After which the asker has given up.
        memory: Bytes of address space that there may be.
        folder: Where math-verify is installed.
    """
    for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0)):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    out = _own_output()
    check, version = _load(folder)
    if (check("\\frac{1}{2}", "0.5"), check("2", "3")) != ("equal", "different"):
        raise SystemExit("math-verify does not tell right from wrong here")
    _say(out, {"ready": version})
    for line in sys.stdin:
        asked = json.loads(line)
        signal.alarm(math.ceil(seconds) + 1)
        said = check(asked["gold"], asked["given"])
        signal.alarm(0)
        _say(out, {"id": asked["id"], "said": said})
        if 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > memory / 2:
            break  # what fills the memory stays in caches, and the next answer wants some too


def _own_output() -> TextIO:
    """The pipe, which libraries that print do not reach."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _say(out: TextIO, what: dict[str, Any]) -> None:
    out.write(json.dumps(what) + "\n")
    out.flush()


def _load(folder: str) -> tuple[Check, str]:
    sys.path.append(folder)
    logging.disable(logging.CRITICAL)
    math_verify, sympy = import_module("math_verify"), import_module("sympy")

    @lru_cache(maxsize=1024)
    def read(text: str) -> list[Any]:
        return list(math_verify.parse(f"\\boxed{{{text}}}", parsing_timeout=None))

    def same(wanted: Any, found: Any) -> bool:
        # 3 < x <= 4 counts for (3, 4]; beside sets of numbers that would accept too much.
        region = isinstance(wanted, sympy.Interval | sympy.Union)
        return bool(
            math_verify.verify(
                wanted,
                found,
                allow_set_relation_comp=region,
                timeout_seconds=None,
                raise_on_error=True,
            )
        )

    def check(gold: str, given: str) -> str:
        try:
            found = read(given)
        except RecursionError:
            return "unreadable"
        if any(_holds(same, *pair) for pair in product(read(gold), found)):
            return "equal"
        readable = any(isinstance(one, sympy.Basic | sympy.MatrixBase) for one in found)
        return "different" if readable else "unreadable"

    return check, version("math-verify")


def _holds(same: Callable[[Any, Any], bool], wanted: Any, found: Any) -> bool:
    """Whether two are the same; what cannot be compared is not."""
    try:
        return same(wanted, found)
    except MemoryError:
        os._exit(1)  # who knows what is left of it
    except Exception:
        return False


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
