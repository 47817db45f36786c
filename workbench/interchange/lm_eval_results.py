"""lm-eval's files: ``results_*.json`` for each model, ``samples_*.jsonl`` for each task.

Names and meanings are those of ``EvalResults`` and ``SampleResult`` in lm_eval 0.4, MIT,
``lm_eval/result_schema.py``; places and names of the files are those that its
``loggers/evaluation_tracker.py`` writes. A condition of a run is a task.

Samples of one problem are its repeats, the value of a problem is their mean. ``resps``
has all that the model wrote, thinking and tags included; ``filtered_resps`` has what the
grader read as the answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench import __version__, private
from workbench.experiments import Run
from workbench.interchange.conditions import Condition, conditions
from workbench.interchange.files import json_text, write
from workbench.interchange.lm_eval_samples import FILTER, samples
from workbench.interchange.measures import Measure, lengths, scores
from workbench.records import EngineSpec

_UNSAFE = re.compile(r'["<>:/|\\?*\[\]]+')  # what lm-eval replaces in the name of a model


def write_results(run: Run, created: datetime, task: str, folder: Path) -> tuple[Path, ...]:
    """The files of every model of the run, in a folder that bears the model's name.

    Args:
        run: What to tell.
        created: When it began.
        task: What the task is called; a condition's name is put behind it.
        folder: To write to, as lm-eval's ``--output_path``.

    Raises:
        InvalidInput: A file cannot be written.
    """
    moment = created.strftime("%Y-%m-%dT%H-%M-%S.%f")
    written: list[Path] = []
    for place, own in _by_model(conditions(run)):
        hashes = {}
        for condition in own:
            name = f"{task}_{condition.name}"
            rows = list(samples(run, condition, _generation(condition)))
            file = folder / place / f"samples_{name}_{moment}.jsonl"
            written.append(write(file, (f"{json_text(row)}\n" for row in rows)))
            sums = (row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows)
            hashes[name] = private.sha256("".join(sums))
        told = _results(created, task, own, place) | {"task_hashes": hashes}
        written.append(write(folder / place / f"results_{moment}.json", [json_text(told)]))
    return tuple(written)


def _by_model(found: Sequence[Condition]) -> list[tuple[str, list[Condition]]]:
    """Conditions of one engine together, and the folder for them."""
    groups: dict[EngineSpec, list[Condition]] = {}
    for condition in found:
        groups.setdefault(condition.spec, []).append(condition)
    places = [_UNSAFE.sub("__", own[0].model) for own in groups.values()]
    return [
        (place if places.count(place) == 1 else f"{place}-{number}", own)
        for number, (place, own) in enumerate(zip(places, groups.values(), strict=True), start=1)
    ]


def _results(
    created: datetime, task: str, found: Sequence[Condition], place: str
) -> dict[str, Any]:
    spec = found[0].spec
    named = {f"{task}_{condition.name}": condition for condition in found}
    measured = {name: scores(condition.answered) for name, condition in named.items()}
    return {
        "results": {name: _task(name, one, measured[name]) for name, one in named.items()},
        "group_subtasks": {name: [] for name in named},
        "configs": {name: _config(name, one, measured[name]) for name, one in named.items()},
        "versions": dict.fromkeys(named, __version__),
        "n-shot": dict.fromkeys(named, 0),
        "higher_is_better": {
            name: {measure.name: True for measure in measured[name]} for name in named
        },
        "n-samples": {name: _counts(one) for name, one in named.items()},
        "config": _model(spec),
        "git_hash": None,
        "date": created.timestamp(),
        "max_length": spec.context,
        "model_source": spec.kind,
        "model_name": found[0].model,
        "model_name_sanitized": place,
        "chat_template": spec.template,
        "chat_template_sha": spec.template_sha256,
        "fewshot_as_multiturn": False,
    }


def _task(name: str, condition: Condition, measured: Sequence[Measure]) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "alias": name, "sample_len": len(condition.by_problem())}
    for measure in (*measured, *lengths(condition.answered)):
        told[f"{measure.name},{FILTER}"] = measure.value
        error = measure.stderr
        told[f"{measure.name}_stderr,{FILTER}"] = "N/A" if error is None else error
    return told


def _counts(condition: Condition) -> dict[str, int]:
    return {"original": len(condition.planned), "effective": len(condition.by_problem())}


def _config(name: str, condition: Condition, measured: Sequence[Measure]) -> dict[str, Any]:
    listed = [
        {"metric": one.name, "aggregation": "mean", "higher_is_better": True} for one in measured
    ]
    return {
        "task": name,
        "output_type": "generate_until",
        "repeats": condition.samples,
        "num_fewshot": 0,
        "generation_kwargs": _generation(condition),
        "metric_list": listed,
        "metadata": {
            "version": __version__,
            "mode": str(condition.mode),
            "system_instruction": condition.mode.system_prompt,
            "gen_prefix": condition.mode.prefill,
        },
    }


def _generation(condition: Condition) -> dict[str, Any]:
    """``generation_kwargs``: lm-eval's names where it has one, else ours."""
    sampling = condition.sampling
    rest = {
        field.name: getattr(sampling, field.name)
        for field in fields(sampling)
        if field.name not in ("stop", "max_tokens", "seed")
    }
    return {
        "until": list(sampling.stop),
        "do_sample": sampling.temperature > 0,
        "max_gen_toks": sampling.max_tokens,
    } | rest


def _model(spec: EngineSpec) -> dict[str, Any]:
    arguments = {
        field.name: getattr(spec, field.name)
        for field in fields(spec)
        if getattr(spec, field.name) is not None
    }
    return {
        "model": spec.kind,
        "model_args": arguments,
        "model_dtype": spec.quantization,
        "model_revision": spec.revision,
        "model_sha": spec.weights_sha256,
        "batch_size": str(spec.max_batch),
        "device": spec.device,
    }
