"""What ends a verb, as an exit code and one sentence on stderr; never a traceback.

::

    0     done
    1     a mistake of the workbench
    2     the user can mend it: a ``WorkbenchError``, a wrong option, a full disk
    130   stopped by Ctrl-C
    141   whoever read the output has gone (``workbench runs list | head``)
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

from workbench.errors import WorkbenchError
from workbench.printable import printable

MISTAKE = 1
MENDABLE = 2
STOPPED = 130
NO_READER = 141
DEBUG = "WORKBENCH_DEBUG"


def exit_code(work: Callable[[], int | None]) -> int:
    """Do the work; its own exit code (``None`` is 0), or that of how it failed."""
    try:
        code = work() or 0
        sys.stdout.flush()
        return code
    except WorkbenchError as error:
        complain(str(error))
        return MENDABLE
    except KeyboardInterrupt:
        return stopped("Stopped.")
    except BrokenPipeError:
        _drop_output()
        return NO_READER
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}{error.strerror or error}. Check the path, the disk and its free space.")
        return MENDABLE
    except Exception as error:
        _report(error)
        return MISTAKE


def complain(sentence: str) -> None:
    """Say it on stderr."""
    print(printable(sentence), file=sys.stderr, flush=True)


def stopped(sentence: str) -> int:
    """Say what an interrupt leaves; its exit code."""
    complain(sentence)
    return STOPPED


def kept(run: str | None) -> str:
    """What an interrupt leaves of a run; ``None``: it had not begun."""
    if run is None:
        return "Stopped before anything was asked."
    return f"Stopped. What was generated is kept as run {run} (`workbench runs show {run}`)."


def _drop_output() -> None:
    """Let nothing else be written: the interpreter would complain when it closes stdout."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _report(error: Exception) -> None:
    if os.environ.get(DEBUG):
        complain("".join(traceback.format_exception(error)).rstrip())
    said = " ".join(str(error).split())
    complain(f"This is a mistake in the workbench: {type(error).__name__}: {said or 'no message'}")
    complain(f"Please report it with what the same command prints after `export {DEBUG}=1`.")
