"""A judge behind an endpoint: asked over HTTP, its ratings kept with what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.engines.scripted import ScriptedEngine
from workbench.experiments import execute, judging, sweep
from workbench.experiments.judges import judge_spec
from workbench.experiments.ratings import arm_ratings
from workbench.records import EngineSpec, Problem
from workbench.session import Session
from workbench.store import Store

from .endpoint_server import Body, Endpoint, Reply, serving

PROBLEMS = (
    Problem("mtbench-81/1", "What is it?", group="writing", grader="judge"),
    Problem("mtbench-81/2", "And why?", group="writing", grader="judge", follows="mtbench-81/1"),
)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint


def strict(reply: Reply, body: Body) -> None:
    """Rates 9, and thinks of a 2 before."""
    reply.begin()
    for piece in ("<think>\nRating: [[2]]", "\n</think>\n\n", "Good. Rating: [", "[9]]"):
        reply.delta(piece)
    reply.end(usage={"prompt_tokens": 400, "completion_tokens": 20})


@pytest.mark.parametrize("model", ["asked", "org/weights"])
def test_an_endpoint_judges(endpoint: Endpoint, tmp_path: Path, model: str) -> None:
    endpoint.script = strict
    asked = EngineSpec(kind="scripted", model=model, context=9000)
    with Store(tmp_path / "runs.sqlite") as store:
        with Session(lambda: ScriptedEngine.answering("An answer.", spec=asked)) as session:
            run = execute(sweep(PROBLEMS, mode="off", engine=asked), session=session, store=store)
        done = judging.judge(run.id, judge_spec(endpoint.url), store=store)
        plan = store.runs()[0].plan
    bodies = [body for path, _, body in endpoint.asked if path.endswith("/chat/completions")]
    assert [body["temperature"] for body in bodies] == [0.0, 0.0]
    assert [body["max_tokens"] for body in bodies] == [2048, 2048]
    assert {body["model"] for body in bodies} == {"served"} == {c.spec.model for c in plan.cells}
    assert [score.value for score in done.scores] == [9.0, 9.0]
    (arm,) = arm_ratings(done)
    assert arm.self_judged == (model == "org/weights"), "the endpoint says what it serves"
    assert arm.judges[0].startswith("judge served vllm, org/weights")
    assert " on 127.0.0.1; prompts 1" in arm.judges[0]
