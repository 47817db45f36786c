"""The parts of a run that was resumed: what is known of each, and what changed between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from workbench.experiments import environment
from workbench.records import EngineSpec

Facts = dict[str, Any]  # a run's environment, JSON-able

_WEIGHTS = ": weights_sha256"
_MOST = 4  # changes that are named


def with_engine(facts: Mapping[str, Any], spec: EngineSpec) -> Facts:
    """The environment of a run that this engine answers from now on.

    Args:
        facts: Not changed. In a resumed run it also tells ``"engines"`` of earlier parts.
        spec: Resolved.
    """
    now = environment.engine_facts(spec)
    known = list(facts.get("engines", ()))
    told = dict(facts) | {"gpu": facts.get("gpu") or environment.gpu()}
    if now in known:
        return told
    if "resumed" in facts:
        told["changed"] = dict(facts.get("changed", {})) | dict(_engine_changes(known, now))
    return told | {"engines": [*known, now]}


def resumed(first: Mapping[str, Any]) -> Facts:
    """The environment of a run that is taken up again on this machine, now.

    The facts of the first part stay. ``"resumed"`` lists when it was taken up (ISO 8601,
    UTC); ``"changed"`` tells every fact that differs from the first part, as
    ``name: [then, now]``; it is empty when all are the same.
    """
    times = [*first.get("resumed", ()), datetime.now(UTC).isoformat(timespec="seconds")]
    changed = dict(first.get("changed", {})) | dict(_changes(first, environment.facts()))
    return dict(first) | {"resumed": times, "changed": changed}


def told(facts: Mapping[str, Any]) -> Iterator[str]:
    """What a reader must know of a run whose parts are not alike, as sentences.

    The name of a model in them is as untrusted as ever.
    """
    changed = facts.get("changed") or {}
    others = [name for name in changed if not name.endswith(_WEIGHTS)]
    if weights := [name.removesuffix(_WEIGHTS) for name in changed if name.endswith(_WEIGHTS)]:
        yield (
            f"These are answers of more than one model: the weights of {', '.join(weights)} were "
            "others when the run was resumed."
        )
    if others:
        more = f" and {len(others) - _MOST} more" if len(others) > _MOST else ""
        named = ", ".join(others[:_MOST])
        yield f"Not all was the same when the run was resumed: {named}{more}."


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """What differs of machine and versions; what one of them does not know is left out."""
    for name, value in now.items():
        before = then.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            for part in sorted(value.keys() & before.keys()):
                if value[part] != before[part]:
                    yield f"{name}: {part}", [before[part], value[part]]
        elif before is not None and value is not None and before != value:
            yield name, [before, value]


def _engine_changes(
    known: list[Mapping[str, Any]], now: Mapping[str, Any]
) -> Iterator[tuple[str, list[Any]]]:
    """What differs from the engine of this kind and model that answered before.

    Of several, from the one most like this one; another model is no change of this one.
    """
    same = [one for one in known if all(one.get(key) == now[key] for key in ("kind", "model"))]
    if not same:
        return
    before = min(same, key=lambda one: sum(one.get(key) != now[key] for key in now))
    for key, value in now.items():
        if before.get(key) != value:
            yield f"{now['model']} on {now['kind']}: {key}", [before.get(key), value]
