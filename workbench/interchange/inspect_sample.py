"""One generation as a sample of Inspect's log: messages, output, score, usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from workbench import chat, metrics, private, thinking
from workbench.experiments import Run
from workbench.interchange.conditions import Answered, Condition
from workbench.interchange.measures import EXACT, score_name
from workbench.records import Failed, Generation, Message, Problem

_VERDICTS = ((1.0, "C"), (0.0, "I"))  # Inspect's CORRECT and INCORRECT


def samples(run: Run, condition: Condition) -> Iterator[dict[str, Any]]:
    """``EvalSample`` of every generation that has ended; a generation is read when it is due."""
    taken: Counter[tuple[str, int]] = Counter()
    for one in condition.answered:
        epoch = one.cell.sample + 1
        while taken[one.problem, epoch]:  # a plan may ask the same thing twice
            epoch += 1
        taken[one.problem, epoch] += 1
        yield _sample(run, condition, one, run.generations[one.index], epoch)


def model(condition: Condition) -> str:
    """Provider and name, as Inspect writes them."""
    return f"{condition.spec.kind}/{condition.model}"


def usage(one: Answered) -> dict[str, int]:
    """``ModelUsage`` in tokens; input tokens are those not found in the cache."""
    prompt, cached, out, thought = (
        int(one.row[name] or 0)
        for name in ("prompt_tokens", "cached_tokens", "output_tokens", "thinking_tokens")
    )
    return {
        "input_tokens": prompt - cached,
        "input_tokens_cache_read": cached,
        "output_tokens": out,
        "total_tokens": prompt + out,
        "reasoning_tokens": thought,
    }


def error(message: str) -> dict[str, str]:
    """``EvalError`` without a traceback: what failed is told in a sentence."""
    return {"message": message, "traceback": "", "traceback_ansi": ""}


def _sample(
    run: Run, condition: Condition, one: Answered, generation: Generation, epoch: int
) -> dict[str, Any]:
    problem = one.cell.problem
    asked = [_message(message, problem) for message in chat.conversation(generation.request)[0]]
    reply = _reply(condition, generation, problem)
    told = {
        "id": one.problem,
        "epoch": epoch,
        "input": asked,
        "target": private.target(one.cell),
        "messages": [*asked, reply],
        "output": _output(condition, one, reply),
        "metadata": _metadata(run, one),
        "model_usage": {model(condition): usage(one)},
        "total_time": one.row["request_latency"],
        "working_time": _working(one),
    }
    return told | _scores(one) | _trouble(generation)


def _message(message: Message, problem: Problem | None) -> dict[str, Any]:
    # The system turn is the mode's own, and no part of the problem.
    text = message.text if message.role == "system" else private.shown(message.text, problem)
    return {"role": message.role, "content": text, "source": "input"}


def _reply(condition: Condition, generation: Generation, problem: Problem | None) -> dict[str, Any]:
    thought = private.shown(generation.thinking, problem)
    answer = private.shown(generation.answer, problem)
    reasoning = {"type": "reasoning", "reasoning": thought}
    content = [reasoning, {"type": "text", "text": answer}] if thought else answer
    return {
        "role": "assistant",
        "content": content,
        "source": "generate",
        "model": model(condition),
    }


def _output(condition: Condition, one: Answered, reply: dict[str, Any]) -> dict[str, Any]:
    content = reply["content"]
    answer = content if isinstance(content, str) else content[-1]["text"]
    return {
        "model": model(condition),
        "choices": [{"message": reply, "stop_reason": _stop_reason(one)}],
        "completion": answer,
        "usage": usage(one),
        "time": one.row["request_latency"],
    }


def _stop_reason(one: Answered) -> str:
    """At its length, a generation met its own limit or the end of the context."""
    reason, most = one.row["finish_reason"], one.cell.request.sampling.max_tokens
    if reason == "length":
        own = most is not None and (one.row["output_tokens"] or 0) >= most
        return "max_tokens" if own else "model_length"
    return "stop" if reason == "stop" else "unknown"


def _metadata(run: Run, one: Answered) -> dict[str, Any]:
    """What Inspect has no field for: place, seed, what was unusual, every metric."""
    problem, request = one.cell.problem, one.cell.request
    flags = [field.name for field in fields(thinking.Flags) if one.row.get(field.name)]
    measured = {metric.name: one.row.get(metric.name) for metric in metrics.TABLE}
    known = {
        "run": run.id,
        "index": one.index,
        "sample": one.cell.sample,
        "seed": request.sampling.seed,
        "prefill": request.mode.prefill,
        "flags": flags,
        "metrics": {name: value for name, value in measured.items() if value is not None},
    }
    if problem is not None:
        known |= {"group": problem.group, "subject": problem.subject, "grader": problem.grader}
        if problem.order:
            known["order"] = list(problem.order)
        if problem.private:
            known["prompt_sha256"] = private.sha256(problem.prompt)
    return known


def _working(one: Answered) -> float | None:
    latency, queued = one.row["request_latency"], one.row["queue_time"]
    return None if latency is None else latency - (queued or 0.0)


def _scores(one: Answered) -> dict[str, Any]:
    if one.score is None or one.score.value is None:
        return {}
    given = private.score(one.score, one.cell.problem)
    name = score_name(one)
    value = dict(_VERDICTS).get(one.score.value, one.score.value) if name == EXACT else given.value
    told = {
        "value": value,
        "answer": given.extracted,
        "explanation": given.reason,
        "metadata": {"by": given.by},
    }
    return {"scores": {name: told}}


def _trouble(generation: Generation) -> dict[str, Any]:
    end = generation.end
    if isinstance(end, Failed):
        return {"error": error(f"{end.error} {end.remedy}".strip())}
    if generation.finish_reason == "cancelled":
        return {"limit": {"type": "operator", "limit": 1, "reason": "cancelled"}}
    return {}
