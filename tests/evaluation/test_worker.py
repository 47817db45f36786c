"""The process of math-verify: what hangs it is ended, what kills it is outlived, no orphans."""

from __future__ import annotations

import ast
import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from workbench.evaluation.graders import checking, maths, verdict, worker
from workbench.evaluation.graders.worker import Checker, Outcome

ROOM = Path(worker.__file__).parent
HANGS = "(10^9)!"
SECONDS = 0.7  # an ordinary answer takes milliseconds, and a busy machine some more


@pytest.fixture
def make() -> Iterator[Callable[..., Checker]]:
    made: list[Checker] = []

    def checker(*args: Any, **named: Any) -> Checker:
        made.append(Checker(*args, **named))
        return made[-1]

    yield checker
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def ready() -> Iterator[Checker]:
    """One for the tests that leave it as it is."""
    checker = Checker(30)
    yield checker
    checker.close()


def ended(pid: int, seconds: float = 60) -> bool:
    """Whether a process is gone, or is so before long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def half(checker: Checker, number: int = 2) -> Outcome:
    """An ordinary comparison that takes math-verify, each another one."""
    return checker.compare(r"\frac{1}{2}", rf"\frac{{{number}}}{{{2 * number}}}")


# --- what hangs -----------------------------------------------------------------------------------


def test_what_hangs_is_ended_and_the_next_answer_is_graded(make: Callable[..., Checker]) -> None:
    checker = make(SECONDS)
    assert half(checker).reason == verdict.EQUAL
    first = checker.pid
    assert first is not None
    for expression in (HANGS, r"\binom{10^9}{5\cdot10^8}"):
        assert checker.compare("7", expression).reason == verdict.TIMEOUT
        assert checker.pid is None
    assert ended(first)
    assert half(checker, 3).reason == verdict.EQUAL
    assert checker.pid not in {None, first}


def test_from_any_thread(make: Callable[..., Checker]) -> None:
    """Signals, which others use against what hangs, work in the main thread only."""
    checker = make(SECONDS)

    def ask(number: int) -> str:
        assert threading.current_thread() is not threading.main_thread()
        return (checker.compare("7", HANGS) if number == 3 else half(checker, number)).reason

    wanted = [verdict.TIMEOUT if number == 3 else verdict.EQUAL for number in range(2, 8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(2, 8))) == wanted

    async def later() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(ask, number) for number in range(12, 18)))

    assert asyncio.run(later()) == [verdict.EQUAL] * 6


def test_in_a_kernel() -> None:
    """In the cell, in a coroutine's thread and in a pool's, and an answer that hangs."""
    cell = f"""
import asyncio, warnings
from concurrent.futures import ThreadPoolExecutor
from workbench.evaluation.graders.worker import Checker
checker = Checker({SECONDS})
half = lambda n: checker.compare("0.5", "%d/%d" % (n, 2 * n)).reason
found = [half(2), await asyncio.to_thread(half, 3)]
with ThreadPoolExecutor(1) as pool:
    found.append(pool.submit(half, 4).result())
found.append((await asyncio.to_thread(checker.compare, "7", "{HANGS}")).reason)
print(found)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    assert [output.get("text") for output in notebook.cells[0].outputs] == [
        f"{[verdict.EQUAL, verdict.EQUAL, verdict.EQUAL, verdict.TIMEOUT]}\n"
    ]


# --- what kills it --------------------------------------------------------------------------------


def test_killed_from_outside(make: Callable[..., Checker]) -> None:
    """Between two answers, or over one that is not to blame: nothing is marked wrong for it."""
    checker = make(30)
    assert half(checker).reason == verdict.EQUAL
    first = checker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert half(checker, 3).reason == verdict.EQUAL
    second = checker.pid
    assert second not in {None, first}
    os.kill(second or 0, signal.SIGSTOP)  # so that it is killed over the answer
    killer = threading.Timer(0.2, os.kill, (second, signal.SIGKILL))
    killer.start()
    assert half(checker, 4).reason == verdict.EQUAL
    killer.join()
    assert checker.pid not in {None, first, second}


def test_an_answer_that_kills_it_every_time(
    make: Callable[..., Checker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for an algebra system that dies of one answer."""
    script = tmp_path / "dies.py"
    script.write_text(
        "import json, os, sys\n"
        "print(json.dumps({'ready': '0'}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    asked = json.loads(line)\n"
        "    os.abort() if asked['given'] == 'bomb' else None\n"
        "    print(json.dumps({'id': asked['id'], 'said': 'equal'}), flush=True)\n"
    )
    monkeypatch.setattr(worker, "_SCRIPT", script)
    checker = make()
    assert checker.compare("7", "bomb").reason == verdict.CRASHED
    assert checker.pid is None
    assert checker.compare("7", "6+1").reason == verdict.EQUAL
    assert maths.read("bomb", "7", checker).value == 0.0


def test_the_memory_is_bounded(ready: Checker) -> None:
    assert half(ready).reason == verdict.EQUAL
    assert ready.pid is not None
    for kind, most in (
        (resource.RLIMIT_AS, 2 << 30),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        assert resource.prlimit(ready.pid, kind) == (most, most)


def test_what_cannot_be_started_says_nothing_of_the_answer(make: Callable[..., Checker]) -> None:
    """Neither right nor wrong; and what is settled by its text needs no process."""
    checker = make(30, 40 << 20)  # bytes that are too few to begin with
    found = maths.read("0.5", r"\frac{1}{2}", checker)
    assert (found.value, found.reason, found.extracted) == (None, verdict.NOT_STARTED, "0.5")
    assert checker.pid is None
    assert maths.read(r"\dfrac12", r"\frac{1}{2}", checker).value == 1.0


def test_full_of_memory_it_makes_room_for_a_fresh_one(make: Callable[..., Checker]) -> None:
    """With a bound that it fills to the half by being there, it ends after every answer."""
    for bound in range(90, 150, 20):
        checker = make(30, bound << 20)
        if half(checker).reason == verdict.NOT_STARTED:
            continue
        first = checker.pid
        assert first is not None
        assert ended(first)
        assert half(checker, 3).reason == verdict.EQUAL
        assert checker.pid not in {None, first}
        return
    pytest.fail("it could not be started at all")


# --- whose it is ----------------------------------------------------------------------------------

PARENT = """
import sys, threading, time
from workbench.evaluation.graders.worker import Checker
idle, busy = Checker(1), Checker(1)
for one in (idle, busy):
    one.compare("0.5", "1/2")
threading.Thread(target=busy.compare, args=("7", "(10^9)!"), daemon=True).start()
time.sleep(0.3)
print(idle.pid, busy.pid, flush=True)
sys.stdin.read()
"""


def test_no_orphans() -> None:
    """The parent is killed, with one process idle and the other in an endless answer."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len({pid for pid in pids if not ended(pid, 0.05)}) == 2
        parent.kill()
        assert all(ended(pid) for pid in pids)


def test_a_fork_starts_its_own(make: Callable[..., Checker]) -> None:
    checker = make(30)
    assert half(checker).reason == verdict.EQUAL
    first = checker.pid
    child = os.fork()
    if child == 0:
        right = half(checker, 3).reason == verdict.EQUAL and checker.pid != first
        checker.close()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert half(checker, 4).reason == verdict.EQUAL


def test_what_is_known_is_not_asked_again(
    make: Callable[..., Checker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the process has seen none of the environment's secrets."""
    monkeypatch.setenv("SOME_TOKEN", "hidden-here")
    checker = make()
    assert half(checker).reason == verdict.EQUAL
    held = Path(f"/proc/{checker.pid}/environ").read_bytes()
    assert b"hidden-here" not in held
    assert b"SOME_TOKEN" not in held
    checker.close()
    assert checker.pid is None
    assert half(checker).reason == verdict.EQUAL
    assert checker.pid is None, "it was remembered"


def test_ctrl_c_ends_the_process_and_not_the_next_answer(
    ready: Checker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the reply to the interrupted question would be taken for the next one's."""
    assert ready.compare("3", "1+2").reason == verdict.EQUAL
    read = worker._Process._read

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker._Process, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ready.compare("3", "2+1")
    assert ready.pid is None
    monkeypatch.setattr(worker._Process, "_read", read)
    assert ready.compare("3", "2+2").reason == verdict.DIFFERENT


# --- no eval --------------------------------------------------------------------------------------


EVALUATING = {"eval", "exec", "compile", "parse_expr", "sympify", "literal_eval", "__import__"}


def test_no_code_is_made_of_text() -> None:
    """Not in our graders: neither by Python's eval nor by sympy's functions that come to it."""
    for path in sorted(ROOM.parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) != "re.compile":
                name = ast.unparse(node.func).rpartition(".")[2]
                assert name not in EVALUATING, f"{path.name}:{node.lineno} {name}"
            if isinstance(node, ast.ImportFrom):
                names = {alias.name for alias in node.names}
                assert not EVALUATING & names, f"{path.name}:{node.lineno}"


def test_the_script_loads_nothing_of_ours() -> None:
    """It runs alone: what it imports is the standard library and, by name, two packages."""
    nodes = list(ast.walk(ast.parse(Path(checking.__file__).read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in plain | named} <= sys.stdlib_module_names
    late = [
        ast.unparse(node.args[0])
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module"
    ]
    assert late == ["'math_verify'", "'sympy'"]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').mkdir('{at}')",
        "().__class__.__mro__[1].__subclasses__()",
        "open('{at}','w')",
        r"\text{__import__('os').mkdir('{at}')}",
        "Function('__import__')('os').mkdir('{at}')",
        r"\operatorname{exec}(\text{import os; os.mkdir('{at}')})",
    ],
)
def test_text_shaped_like_code_does_nothing(ready: Checker, tmp_path: Path, text: str) -> None:
    """Given to the process itself, past the refusal: no file appears."""
    at = tmp_path / "made"
    outcome = ready.compare("7", text.replace("{at}", str(at)))
    assert outcome.reason in {verdict.DIFFERENT, verdict.NOT_MATHEMATICS}
    assert not at.exists()
