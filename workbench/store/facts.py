"""What a generation's row tells: its cell, its end, its metrics; deflated JSON.

Rows are so alike that they are compressed against a text they all resemble: a row takes
about 300 bytes instead of 1,200, and 10,000 of them are read in a fraction of a second.
The text belongs to the format of the file; changing it makes files unreadable.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from workbench import codec
from workbench.records import Generation

_LIKENESS = (
    b'{"type":"failed","error":"","remedy":""},"reason":"cancelled","reason":"length"},'
    b'"throughput":"per_second":"count":"rate":"fraction":"efficiency":"duration":"latency":'
    b'"goodput":"position":"mean":"total":"time_per_output_token":'
    b'"queue_time":"prefill_time":"decode_time":"first_decode_time":"decode_duration":'
    b'"prompt_tokens":"cached_tokens":"output_tokens":"marker_tokens":"tokens":'
    b'"thinking_tokens":"answer_tokens":"thinking_time":"answer_time":"answer_rate":'
    b'"prefill_throughput":"output_token_throughput_per_user":"thinking_efficiency":'
    b'"time_to_first_token":"time_to_second_token":"time_to_first_output_token":'
    b'"inter_token_latency":"request_latency":"inter_chunk_latency":0.00,0.0'
    b'{"request":{"messages":[{"role":"system","text":""},{"role":"assistant","text":""},'
    b'{"role":"user","text":"What is "}],"mode":"off_prefilled","mode":"off","mode":"on",'
    b'"sampling":{"temperature":0.6,"top_p":0.95,"temperature":0.0,"top_p":1.0,"top_k":0,'
    b'"min_p":0.0,"repetition_penalty":1.0,"max_tokens":null,"seed":0,"stop":[]},'
    b'"label":"","logprobs":true,"logprobs":false,"alternatives":0},'
    b'"problem":null,"problem":{"id":"","prompt":"","answer":"","group":""},"sample":0,'
    b'"end":null,"metrics":{},"end":{"type":"finished","t":0.0,"reason":"stop"},"metrics":{'
    b'},"flags":{"incomplete":true,"leaked":true,"incomplete":false,"leaked":false,'
    b'"orphan_close":false,"reopened":false,"preamble":false,"empty_thinking":false}}'
)


def pack(
    cell: Mapping[str, Any],
    generation: Generation | None = None,
    metrics: Mapping[str, float | None] | None = None,
    flags: Mapping[str, bool] | None = None,
) -> bytes:
    """A row.

    Args:
        cell: The cell in JSON; its spec is left out, for it stands in a table of its own.
        generation: What came of it, once it has ended.
        metrics: Finite numbers by name.
        flags: By name.

    Raises:
        InvalidInput: A metric or flag that JSON cannot hold.
    """
    end = None if generation is None else generation.end
    row = {name: value for name, value in cell.items() if name != "spec"}
    row["end"] = None if end is None else codec.to_json(end)
    row["metrics"], row["flags"] = dict(metrics or {}), dict(flags or {})
    deflate = zlib.compressobj(zdict=_LIKENESS)
    return deflate.compress(codec.dumps(row).encode("ascii")) + deflate.flush()


def unpack(rows: Iterable[bytes]) -> list[dict[str, Any]]:
    """All rows in one go, which takes a third less time than one by one.

    Raises:
        zlib.error, InvalidInput: A row is damaged.
    """
    texts = [zlib.decompressobj(zdict=_LIKENESS).decompress(row).decode("ascii") for row in rows]
    values: list[dict[str, Any]] = codec.loads(f"[{','.join(texts)}]")
    return values
