"""Inspect's evaluation log in JSON: one file a condition of a run.

Names and meanings are those of ``EvalLog`` (schema version 2) in inspect_ai 0.3, MIT,
``inspect_ai/log/_log.py``, and of the records it holds: ``model/_model_output.py``,
``model/_chat_message.py``, ``_util/content.py``, ``scorer/_metric.py``.

A sample of ours is an epoch of theirs. Thinking is reasoning content, which their
``completion`` leaves out, as ours does. Log-probabilities are not written: theirs want
the text of each token, and ``jsonl`` has them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.experiments import Run
from workbench.interchange import inspect_sample as samples
from workbench.interchange.conditions import Condition, conditions
from workbench.interchange.files import json_text, write
from workbench.interchange.measures import Measure, scores
from workbench.records import Sampling

_STATUS = (("finished", "success"), ("failed", "error"), ("interrupted", "cancelled"))


def write_logs(run: Run, created: datetime, task: str, folder: Path) -> tuple[Path, ...]:
    """One log for each condition of the run, named as Inspect names its own.

    Args:
        run: What to tell.
        created: When it began.
        task: What the task is called.
        folder: To write to; Inspect reads it as a log folder.

    Raises:
        InvalidInput: A file cannot be written.
    """
    moment = created.isoformat(timespec="seconds").replace(":", "-")
    written = []
    for number, condition in enumerate(conditions(run), start=1):
        name = f"{run.id.replace('-', '')}x{number}"  # Inspect reads it up to the next hyphen
        file = folder / f"{moment}_{task}_{name}-{condition.name}.json"
        written.append(write(file, _log(run, created, (task, name), condition)))
    return tuple(written)


def _log(run: Run, created: datetime, task: tuple[str, str], condition: Condition) -> Iterator[str]:
    """The log in pieces: its samples are read and written one after the other."""
    measured = scores(condition.answered)
    head = {
        "version": 2,
        "status": dict(_STATUS).get(run.status, "started"),
        "eval": _spec(run, created, task, condition),
        "plan": {"steps": [{"solver": "generate"}], "config": config(condition)},
        "results": _results(condition, measured),
        "stats": _stats(created, condition),
    }
    if head["status"] == "error":
        head["error"] = samples.error(f"The run ended as {run.status}.")
    yield json_text(head)[:-1]
    yield ',"samples":[\n'
    for number, sample in enumerate(samples.samples(run, condition)):
        yield f"{',' if number else ''}{json_text(sample)}\n"
    yield f'],"reductions":{json_text([_reduction(one) for one in measured])}}}\n'


def _spec(
    run: Run, created: datetime, task: tuple[str, str], condition: Condition
) -> dict[str, Any]:
    spec, packages = condition.spec, run.environment.get("packages") or {}
    return {
        "run_id": run.id,
        "eval_id": task[1],
        "task_id": task[1],
        "created": created.isoformat(),
        "task": task[0],
        "task_args": {"mode": str(condition.mode), "condition": condition.name},
        "dataset": {
            "name": task[0],
            "samples": len(condition.planned),
            "sample_ids": list(condition.planned),
            "shuffled": False,
        },
        "model": samples.model(condition),
        "model_generate_config": config(condition),
        "model_args": {name: value for name, value in asdict(spec).items() if value is not None},
        "config": {"epochs": condition.samples, "epochs_reducer": ["mean"]},
        "packages": {name: version for name, version in packages.items() if version},
        "scorers": [_scorer(one) for one in scores(condition.answered)],
        "metadata": {"kind": run.plan.kind, "synthetic": spec.synthetic},
    }


def config(condition: Condition) -> dict[str, Any]:
    """``GenerateConfig``; what it has no field for is in ``extra_body``, named as vLLM has it."""
    sampling = condition.sampling
    known = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or None,
        "max_tokens": sampling.max_tokens,
        "stop_seqs": list(sampling.stop) or None,
        "reasoning_tokens": sampling.thinking_tokens,
        "max_connections": condition.concurrency,
        "extra_body": _extra(sampling) or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _extra(sampling: Sampling) -> dict[str, Any]:
    plain = Sampling()
    names = ("min_p", "repetition_penalty", "min_tokens")
    chosen = {name: getattr(sampling, name) for name in names}
    return {name: value for name, value in chosen.items() if value != getattr(plain, name)}


def _results(condition: Condition, measured: tuple[Measure, ...]) -> dict[str, Any]:
    total = len(condition.planned) * condition.samples
    return {
        "total_samples": total,
        "completed_samples": len(condition.answered),
        "scores": [_score(condition, one) for one in measured],
    }


def _score(condition: Condition, measure: Measure) -> dict[str, Any]:
    values = {"accuracy" if measure.name == "exact_match" else "mean": measure.value}
    if measure.stderr is not None:
        values["stderr"] = measure.stderr
    return {
        "name": measure.name,
        "scorer": measure.name,
        "reducer": "mean",
        "scored_samples": len(measure.means),
        "unscored_samples": len(condition.by_problem()) - len(measure.means),
        "metrics": {name: {"name": name, "value": value} for name, value in values.items()},
    }


def _scorer(measure: Measure) -> dict[str, Any]:
    first = "accuracy" if measure.name == "exact_match" else "mean"
    return {"name": measure.name, "metrics": [{"name": first}, {"name": "stderr"}]}


def _reduction(measure: Measure) -> dict[str, Any]:
    return {
        "scorer": measure.name,
        "reducer": "mean",
        "samples": [
            {"sample_id": problem, "value": value} for problem, value in measure.means.items()
        ],
    }


def _stats(created: datetime, condition: Condition) -> dict[str, Any]:
    used = [samples.usage(one) for one in condition.answered]
    sums = {name: sum(one[name] for one in used) for name in (used[0] if used else ())}
    model = samples.model(condition)
    return {"started_at": created.isoformat(), "model_usage": {model: sums} if used else {}}
