"""What of a run fits into a report, so that it can be checked where the store does not have it.

::

    {"id": run id, "format": 1, "sha256": of the deflated bytes,
     "data": base64 of deflated JSON: status, environment, plan, and of every generation its
     first ids, a digest of all of them, a digest of its answer, how it ended, its score
     and its chief metrics}

All of it is inert text. Ids are kept whole as far as a megabyte holds them; beyond that the
first ones of each generation, and the digest still covers all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench import codec, private
from workbench.errors import InvalidInput
from workbench.experiments.run import Run, describe
from workbench.records import Generation, Plan

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
METRICS = (
    "output_tokens",
    "thinking_tokens",
    "answer_tokens",
    "time_to_first_token",
    "time_to_first_output_token",
    "inter_token_latency",
    "request_latency",
)
_MOST = 2**20  # bytes of ``data``
_KEPT = (None, 2048, 512, 128, 32, 8, 0)  # first ids of a generation that are kept, tried in turn
_LARGEST = 2**28  # bytes that ``data`` may inflate to: a file from elsewhere may be a bomb


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of one generation."""

    index: int  # of its cell in the plan
    ids: tuple[int, ...]  # all of them, or the first
    count: int  # how many there were
    digest: str  # of all ids
    answer: str  # digest of the answer
    finish_reason: str | None
    score: float | None
    extracted: str | None  # what was read as the answer
    metrics: Mapping[str, float | None]  # ``METRICS``

    @property
    def ok(self) -> bool:
        return self.finish_reason in ("stop", "length")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A run as a report tells it."""

    id: str
    status: str
    plan: Plan
    environment: Mapping[str, Any]
    generations: Mapping[int, Recorded]

    def frame(self) -> pd.DataFrame:
        """One row a generation: the columns of ``Run.frame`` as far as they are known."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame(
            {"run": self.id, "index": index}
            | describe(self.plan.cells[index])
            | {"finish_reason": one.finish_reason, **one.metrics}
            | {"score": one.score, "extracted": one.extracted}
            for index, one in sorted(self.generations.items())
        )


def evidence(run: Run) -> Evidence:
    """What a report tells of a run. The tokens of every generation are read once.

    Of private problems it tells digests and lengths, no ids and no question.
    """
    whole = run.unveiled()
    return Evidence(
        id=run.id,
        status=run.status,
        plan=run.plan,
        environment=dict(run.environment),
        generations={row["index"]: _recorded(run.plan, whole, row) for row in run.rows()},
    )


def _recorded(plan: Plan, whole: Run, row: Mapping[str, Any]) -> Recorded:
    generation = whole.generations[row["index"]]
    ids = generation.ids
    return Recorded(
        index=row["index"],
        ids=() if private.hides(plan.cells[row["index"]].problem) else ids,
        count=len(ids),
        digest=digest(ids),
        answer=answer_digest(generation),
        finish_reason=row["finish_reason"],
        score=row["score"],
        extracted=row["extracted"],
        metrics={name: _short(row[name]) for name in METRICS},
    )


def digest(ids: Iterable[int]) -> str:
    """16 hexadecimal digits of BLAKE2b over the ids, written in decimal with commas."""
    return _digest(",".join(map(str, ids)))


def answer_digest(generation: Generation) -> str:
    """The same over the answer's text."""
    return _digest(generation.answer)


def pack(told: Evidence) -> dict[str, Any]:
    """The evidence as JSON, see the module."""
    data = b""
    for kept in _KEPT:
        data = base64.b64encode(zlib.compress(codec.dumps(_document(told, kept)).encode(), 9))
        if len(data) <= _MOST:
            break
    sha256 = hashlib.sha256(data).hexdigest()
    return {"id": told.id, "format": FORMAT, "sha256": sha256, "data": data.decode()}


def unpack(packed: Any) -> Evidence:
    """The evidence again.

    Raises:
        InvalidInput: It is none, is of a newer format, or has been changed.
    """
    if not isinstance(packed, Mapping) or not {"id", "data", "sha256"} <= packed.keys():
        raise _changed("what it says of its run is not complete")
    if packed.get("format") != FORMAT:
        raise InvalidInput(
            f"The report was made by a newer version: its format is {packed.get('format')!r}.",
            remedy=f"Update the workbench; this one reads format {FORMAT}.",
        )
    data = str(packed["data"]).encode()
    if hashlib.sha256(data).hexdigest() != packed["sha256"]:
        raise _changed("its checksum does not fit")
    try:
        return _read(str(packed["id"]), codec.loads(_inflated(data)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _changed(f"{type(error).__name__} in what it says of its run") from None


def _document(told: Evidence, kept: int | None) -> dict[str, Any]:
    """Columns: what is alike stands together, which deflates best."""
    every = [one for _, one in sorted(told.generations.items())]
    return {
        "status": told.status,
        "environment": dict(told.environment),
        "plan": codec.to_json(told.plan),
        "index": [one.index for one in every],
        "ids": [one.ids[:kept] for one in every],
        "count": [one.count for one in every],
        "digest": [one.digest for one in every],
        "answer": [one.answer for one in every],
        "finish_reason": [one.finish_reason for one in every],
        "score": [one.score for one in every],
        "extracted": [one.extracted for one in every],
        "metrics": {name: [one.metrics[name] for one in every] for name in METRICS},
    }


def _read(run: str, found: Mapping[str, Any]) -> Evidence:
    metrics: Mapping[str, Sequence[float | None]] = found["metrics"]
    plan = codec.from_json(Plan, found["plan"])
    names = ("index", "ids", "count", "digest", "answer", "finish_reason", "score", "extracted")
    generations = {}
    for place, row in enumerate(zip(*(found[name] for name in names), strict=True)):
        told = dict(zip(names, row, strict=True))
        told["metrics"] = {name: metrics[name][place] for name in METRICS}
        one = codec.from_json(Recorded, told)
        _check(one, len(plan))
        generations[one.index] = one
    return Evidence(run, str(found["status"]), plan, dict(found["environment"]), generations)


def _check(one: Recorded, cells: int) -> None:
    """What it says of a generation must agree with itself."""
    if not 0 <= one.index < cells or len(one.ids) > one.count:
        raise _changed(f"there can be no generation {one.index} like it")
    if len(one.ids) == one.count and digest(one.ids) != one.digest:
        raise _changed(f"the ids of generation {one.index} are not those it was made with")


def _inflated(data: bytes) -> str:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(base64.b64decode(data, validate=True), _LARGEST)
        if not stream.eof:
            raise _changed("it is too large, or ends too early")
        return text.decode("ascii")
    except (binascii.Error, zlib.error, UnicodeDecodeError):
        raise _changed("it cannot be inflated") from None


def _digest(text: str) -> str:
    data = text.encode("utf-8", errors="surrogatepass")
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _short(value: float | None) -> float | None:
    """Six digits: a microsecond of a second."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _changed(why: str) -> InvalidInput:
    return InvalidInput(
        f"The report has been changed or damaged: {why}.",
        remedy="Get it again from whoever made it, or verify the run by its id.",
    )
