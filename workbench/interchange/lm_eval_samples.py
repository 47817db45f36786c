"""One problem as a line of lm-eval's samples: its prompt, its repeats, what was read, its score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from workbench import chat, private
from workbench.experiments import Run
from workbench.interchange.conditions import Answered, Condition
from workbench.interchange.measures import scores
from workbench.records import Cell, Message

FILTER = "none"


def samples(run: Run, condition: Condition, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """``SampleResult`` of every problem that has been answered, in the plan's order.

    Repeats of one prompt are one line. Where a benchmark asks each sample differently
    (options in another order, another right letter), each such prompt has its line.

    Args:
        run: Where the generations are; each is read when it is due.
        condition: Whose problems.
        settings: lm-eval's ``generation_kwargs`` of the condition.
    """
    places = {problem: number for number, problem in enumerate(condition.planned)}
    for problem, answered in condition.by_problem().items():
        prompts: dict[tuple[Message, ...], list[Answered]] = {}
        for one in answered:
            prompts.setdefault(_cell(run, one).request.messages, []).append(one)
        for alike in prompts.values():
            yield _sample(run, places[problem], alike, settings)


def _sample(
    run: Run, place: int, answered: Sequence[Answered], settings: dict[str, Any]
) -> dict[str, Any]:
    cell = _cell(run, answered[0])
    shown, problem = private.cell(cell), cell.problem
    doc: dict[str, Any] = {"id": answered[0].problem, "question": shown.request.messages[-1].text}
    if problem is not None:
        doc |= {"group": problem.group, "subject": problem.subject}
        doc |= {"order": list(problem.order)} if problem.order else {}
    target = private.target(cell)
    prompt = chat.shown(chat.segments(*chat.conversation(shown.request)))
    whole = chat.shown(chat.segments(*chat.conversation(cell.request)))
    read = [_extracted(one) for one in answered]
    return {
        "doc_id": place,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": settings}},
        "resps": [[private.shown(run.generations[a.index].text_of(), problem) for a in answered]],
        "filtered_resps": [read] if len(read) > 1 else read,
        "filter": FILTER,
        **_values(answered),
        "doc_hash": private.sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": private.sha256(whole),
        "target_hash": private.sha256(target),
    }


def _cell(run: Run, one: Answered) -> Cell:
    """The cell; a follow-up with the conversation that it was asked with."""
    if one.cell.follows is None:
        return one.cell
    return replace(one.cell, request=run.generations[one.index].request)


def _extracted(one: Answered) -> str:
    if one.score is None:
        return ""
    return private.score(one.score, one.cell.problem).extracted or ""


def _values(answered: Sequence[Answered]) -> dict[str, Any]:
    """The names of a problem's scores, and each of them: the mean over its repeats."""
    found = {measure.name: measure.value for measure in scores(answered)}
    return {"metrics": list(found), **found}
