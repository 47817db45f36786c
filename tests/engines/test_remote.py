"""The remote engine against a server in this process that keeps to the protocol, or does not."""

from __future__ import annotations

import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

from workbench.chat import conversation
from workbench.engines import at_hand, open_engine
from workbench.engines.remote import RemoteEngine
from workbench.engines.remote_call import Patience
from workbench.errors import EngineError, InvalidInput, ModelError, WorkbenchError
from workbench.metrics import measure, token_times
from workbench.records import Chunk, EngineSpec, Event, Failed, Generation, Mode, Started, Usage
from workbench.session import Session
from workbench.thinking import flags

from .contract import TextContract, Trace, answers, ask, ended, take
from .endpoint_server import Body, Endpoint, Reply, Script, serving

NONE: frozenset[int] = frozenset()
KEY = "sk-this-is-secret"
QUICK = Patience(silence=0.3, tries=3, first_wait=0.02, longest_wait=5.0)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKBENCH_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint


@pytest.fixture
def following(endpoint: Endpoint) -> Iterator[Callable[[Script], RemoteEngine]]:
    """Opens an engine at an endpoint that follows a script."""
    opened: list[RemoteEngine] = []

    def open_at(script: Script) -> RemoteEngine:
        endpoint.script = script
        opened.append(RemoteEngine(spec_of(endpoint), patience=QUICK))
        return opened[-1]

    yield open_at
    for engine in opened:
        engine.close()


Following = Callable[[Script], RemoteEngine]


def spec_of(endpoint: Endpoint, **settings: Any) -> EngineSpec:
    return EngineSpec(kind="remote", endpoint=endpoint.url, **settings)


def answer(engine: RemoteEngine, **settings: Any) -> Trace:
    (trace,) = answers(engine, [ask("Hi", **settings)], NONE)
    return trace


def failure(trace: Trace) -> Failed:
    assert isinstance(trace.end, Failed)
    assert trace.end.remedy
    return trace.end


def generation(engine: RemoteEngine, mode: Mode = Mode.ON, **settings: Any) -> Generation:
    """As a session gives it."""
    with Session(lambda: engine) as session:
        return session.start(ask("Hi", mode, **settings)).result(10)


@pytest.fixture(scope="module")
def engine() -> Iterator[RemoteEngine]:
    with serving() as endpoint:
        engine = RemoteEngine(spec_of(endpoint, max_batch=16))
        yield engine
        engine.close()


@pytest.fixture
def stops() -> frozenset[int]:
    return NONE


class TestContract(TextContract):
    """What of the contract can hold where no ids are seen; see ``engines/remote.py``."""


# --- opening --------------------------------------------------------------------------------------


def test_an_open_engine_says_what_the_endpoint_says(endpoint: Endpoint) -> None:
    endpoint.pages["/version"] = (200, {"version": "0.9.1"})
    engine = open_engine(spec_of(endpoint))
    spec = engine.spec
    engine.close()
    assert (spec.kind, spec.model, spec.endpoint) == ("remote", "served", endpoint.url)
    assert (spec.server, spec.context) == ("vllm, org/weights, version 0.9.1", 4096)
    assert (spec.device, spec.weights_sha256, spec.quantization) == ("remote", None, None)


def test_a_nim_tells_its_release(endpoint: Endpoint) -> None:
    endpoint.serves({"id": "nvidia/llama-3.1-nemotron-nano-8b-v1", "owned_by": "system"})
    endpoint.pages["/v1/version"] = (200, {"release": "1.8.4", "api": "1.8.4"})
    engine = open_engine(spec_of(endpoint))
    engine.close()
    assert (engine.spec.server, engine.spec.context) == ("system, version 1.8.4", None)


def test_the_model_is_the_one_asked_for_or_the_only_one(endpoint: Endpoint) -> None:
    endpoint.serves({"id": "big"}, {"id": "small"})
    engine = open_engine(spec_of(endpoint, model="small"))
    engine.close()
    assert engine.spec.model == "small"
    with pytest.raises(ModelError, match=r"2 models.*--model: big, small"):
        open_engine(spec_of(endpoint))
    with pytest.raises(ModelError, match=r"no model 'smal'.*It has small"):
        open_engine(spec_of(endpoint, model="smal"))
    endpoint.serves()
    with pytest.raises(ModelError, match="lists no model"):
        open_engine(spec_of(endpoint))


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (404, {"detail": "Not Found"}, "not there.*ends in /v1"),
        (401, {"error": {"message": "bad key"}}, "wants a key.*WORKBENCH_API_KEY"),
        (500, {"error": "boom"}, r"failed \(500\): boom"),
        (302, "", "redirect is not followed"),
        (200, "<html>Welcome to nginx</html>", "something else than a list of models"),
        (200, {"data": [{"name": "no id"}]}, "something else than a list of models"),
        (200, "[" * 100_000, "something else than a list of models"),
    ],
)
def test_what_is_no_such_api_is_told_at_load(
    endpoint: Endpoint, status: int, said: Any, why: str
) -> None:
    endpoint.pages["/v1/models"] = (status, said)
    with pytest.raises(EngineError, match=f"(?s){why}") as refused:
        open_engine(spec_of(endpoint))
    assert refused.value.remedy


def test_nobody_there_is_told_at_load() -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EngineError, match=r"cannot be reached.*Start the server"):
            open_engine(EngineSpec(kind="remote", endpoint=url))


@pytest.mark.parametrize(
    "url",
    [
        None,
        " ",
        "localhost:8000/v1",
        "ftp://localhost/v1",
        "http://:8000/v1",
        "http://localhost:99999/v1",
        "http://[::1/v1",
        "http://localhost/v1/chat/completions",
        f"http://user:{KEY}@localhost/v1",
        f"http://localhost/v1?key={KEY}",
        f"htp://user:{KEY}@localhost/v1",
        "http://local host/v1",
    ],
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(url: str | None) -> None:
    spec = EngineSpec(kind="remote", endpoint=url)
    for refuse in (at_hand, open_engine):
        with pytest.raises(InvalidInput) as refused:
            refuse(spec)
        assert refused.value.remedy
        assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "settings",
    [{"device": "cuda:0"}, {"context": 100}, {"quantization": "fp8"}, {"sampler": "native"}],
)
def test_settings_that_are_the_endpoints_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="decides itself"):
        at_hand(EngineSpec(kind="remote", endpoint="http://localhost:1/v1", **settings))


def test_an_engine_that_runs_here_has_no_endpoint() -> None:
    with pytest.raises(InvalidInput, match="runs here"):
        at_hand(EngineSpec(endpoint="http://localhost:8000/v1"))


# --- the key --------------------------------------------------------------------------------------


def test_the_key_is_sent_and_kept_nowhere(
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    following: Following,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.setenv("WORKBENCH_API_KEY", f" {KEY}\n")
    engine = following(lambda reply, _: reply.whole(403, {"error": f"no such key: {KEY}"}))
    refused = failure(answer(engine))
    endpoint.script = lambda reply, _: reply.whole(400, {"error": f"{KEY} has no credit"})
    failed = failure(answer(engine))
    sent = {path: headers.get("Authorization") for path, headers, _ in endpoint.asked}
    assert sent["/v1/models"] == sent["/v1/chat/completions"] == f"Bearer {KEY}"
    assert "refuses the key" in refused.error
    assert "… has no credit" in failed.error
    assert KEY not in repr((refused, failed, engine.spec)) + caplog.text


def test_without_a_key_none_is_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("WORKBENCH_API_KEY", "")
    open_engine(spec_of(endpoint)).close()
    assert all("Authorization" not in headers for _, headers, _ in endpoint.asked)


def test_a_key_never_travels_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    far = EngineSpec(kind="remote", endpoint="http://192.0.2.7:8000/v1")
    at_hand(far)  # without a key there is nothing to hide
    for name in ("OPENAI_API_KEY", "WORKBENCH_API_KEY"):
        monkeypatch.setenv(name, KEY)
        with pytest.raises(InvalidInput, match=f"{name} would go to 192.0.2.7 unencrypted"):
            at_hand(far)
    for near in ("http://[::1]:8000/v1", "http://127.3.0.1/v1", "https://example.com/v1"):
        at_hand(EngineSpec(kind="remote", endpoint=near))


@pytest.mark.parametrize("key", [f"{KEY} and more", f"{KEY}é", f"{KEY}\nX: y"])
def test_what_cannot_be_a_key_is_refused_without_showing_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_API_KEY", key)
    with pytest.raises(InvalidInput, match="no API key has") as refused:
        at_hand(EngineSpec(kind="remote", endpoint="https://example.com/v1"))
    assert KEY not in str(refused.value)


# --- what is asked --------------------------------------------------------------------------------


def test_the_request_is_sent_as_the_protocol_has_it(
    endpoint: Endpoint, following: Following
) -> None:
    engine = following(lambda reply, _: reply.say("Hello"))
    assert answer(engine).text == "Hello"
    system, user = conversation(ask("Hi"))[0]
    assert endpoint.bodies[-1] == {
        "model": "served",
        "messages": [
            {"role": "system", "content": system.text},
            {"role": "user", "content": user.text},
        ],
        "temperature": 0.0,
        "top_p": 1.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer(
        engine,
        mode=Mode.OFF_PREFILLED,
        temperature=0.6,
        top_p=0.95,
        top_k=20,
        min_p=0.05,
        repetition_penalty=1.1,
        seed=2**63 + 5,
        stop=("\n\n",),
        max_tokens=9,
        logprobs=True,
    )
    asked = endpoint.bodies[-1]
    last = asked.pop("messages")[-1]
    assert last == {"role": "assistant", "content": "<think>\n</think>"}
    assert asked == {
        "model": "served",
        "temperature": 0.6,
        "top_p": 0.95,
        "stream": True,
        "stream_options": {"include_usage": True},
        "continue_final_message": True,
        "add_generation_prompt": False,
        "max_tokens": 9,
        "seed": 5,
        "stop": ["\n\n"],
        "top_k": 20,
        "min_p": 0.05,
        "repetition_penalty": 1.1,
        "logprobs": True,
    }


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"thinking_tokens": 9}, "closes no thinking"),
        ({"min_tokens": 9}, "least number"),
        ({"alternatives": 2}, "not by their ids"),
        ({"mode": Mode.OFF_PREFILLED}, "not known to continue"),
    ],
)
def test_what_an_endpoint_cannot_be_asked_for_is_refused(
    endpoint: Endpoint, following: Following, settings: dict[str, Any], why: str
) -> None:
    endpoint.serves({"id": "served", "owned_by": "library"})
    engine = following(lambda reply, _: reply.say("Hello"))
    with pytest.raises(InvalidInput, match=why) as refused:
        engine.submit(ask("Hi", **settings))
    assert refused.value.remedy
    assert not endpoint.bodies
    assert engine.step() == []


def test_ids_are_refused(following: Following) -> None:
    engine = following(lambda reply, _: reply.say("Hello"))
    for refuse in (engine.encode, engine.decode):
        with pytest.raises(EngineError, match="token ids"):
            refuse([])


@pytest.mark.parametrize("field", ["logprobs", "stream_options"])
def test_an_optional_field_that_is_refused_is_left_out(
    endpoint: Endpoint, following: Following, field: str
) -> None:
    def script(reply: Reply, body: Body) -> None:
        if field in body:
            reply.whole(400, {"error": {"message": f"Unrecognized request argument: {field}"}})
        else:
            reply.say("Hello")

    engine = following(script)
    for _ in range(2):
        assert answer(engine, logprobs=True).text == "Hello"
    assert [field in body for body in endpoint.bodies] == [True, False, False]


def test_a_refusal_that_quotes_everything_changes_nothing_for_others(
    endpoint: Endpoint, following: Following
) -> None:
    def script(reply: Reply, body: Body) -> None:
        if body["messages"][-1]["content"] == "Bad":
            reply.whole(422, {"detail": [{"msg": "no", "input": body}]})
        else:
            reply.say("Hello")

    engine = following(script)
    (trace,) = answers(engine, [ask("Bad", logprobs=True)], NONE)
    assert failure(trace).error == "The endpoint refused the request (422): no."
    answer(engine, logprobs=True)
    assert endpoint.bodies[-1]["logprobs"]


# --- what comes -----------------------------------------------------------------------------------


def test_chunks_come_while_the_answer_is_written(following: Following) -> None:
    told: list[Event] = []

    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        reply.delta("one ")
        while not any(isinstance(event, Chunk) for event in told):  # the reader has it
            time.sleep(0.001)
        reply.delta("two")
        reply.end()

    engine = following(script)
    ticket = engine.submit(ask("Hi"))
    take(engine, {ticket: told}, lambda: ended(told))
    assert [event.text for event in told if isinstance(event, Chunk)] == ["one ", "two"]


def test_the_endpoints_counts_are_the_metrics(following: Following) -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 5,
        "total_tokens": 25,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    one = generation(following(lambda reply, _: reply.say("a ", "b ", "c", usage=usage)))
    told = measure(one)
    counted = [event for event in one.events if isinstance(event, Usage)]
    assert [(u.prompt_tokens, u.output_tokens, u.cached_tokens) for u in counted] == [(20, 5, 4)]
    stamps = [chunk.t for chunk in one.chunks()]
    assert told["prompt_tokens"] == 20
    assert told["cached_tokens"] == 4
    assert (told["output_tokens"], told["answer_tokens"], told["thinking_tokens"]) == (5, 5, 0)
    assert told["time_to_first_token"] == stamps[0]
    assert told["inter_token_latency"] == pytest.approx((stamps[-1] - stamps[0]) / 4)
    assert told["request_latency"] == one.events[-1].t
    assert told["prefill_throughput"] == pytest.approx(16 / stamps[0])
    unseen = ("prefill_time", "time_to_second_token", "answer_rate", "mean_logprob")
    assert [told[name] for name in unseen] == [None] * 4
    assert token_times(one) == []


def test_what_was_not_counted_is_unknown_and_not_nothing(following: Following) -> None:
    told = measure(generation(following(lambda reply, _: reply.say("a ", "b"))))
    counts = [name for name in told if name.endswith("_tokens")]
    assert len(counts) == 6
    assert all(told[name] is None for name in counts)
    assert told["inter_token_latency"] is None
    assert told["e2e_output_token_throughput"] is None
    assert told["time_to_first_token"] is not None


def test_think_tags_in_the_text_are_read_as_ever(following: Following) -> None:
    usage = {"completion_tokens": 9}
    pieces = ("<th", "ink>\nfour", "\n</think>\n\n", "4")
    one = generation(following(lambda reply, _: reply.say(*pieces, usage=usage)))
    assert (one.thinking, one.answer, one.text_of()) == ("four", "4", "".join(pieces))
    told = measure(one)
    assert told["output_tokens"] == 9
    assert told["thinking_tokens"] is told["answer_tokens"] is told["marker_tokens"] is None
    assert told["thinking_time"] is not None


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "both"])
def test_thinking_that_a_parser_took_out_is_put_back(following: Following, name: str) -> None:
    names = ("reasoning_content", "reasoning") if name == "both" else (name,)

    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        reply.delta(None, **dict.fromkeys(names, "two and "))
        reply.delta("", **dict.fromkeys(names, "two"))
        reply.delta("4", **dict.fromkeys(names, "."))
        reply.delta("!")
        details = {"reasoning_tokens": 7}
        reply.end(usage={"completion_tokens": 9, "completion_tokens_details": details})

    one = generation(following(script))
    assert (one.thinking, one.answer) == ("two and two.", "4!")
    assert one.text_of() == "<think>two and two.</think>4!"
    assert not any(vars_of(flags(one)).values())
    assert (measure(one)["thinking_tokens"], measure(one)["output_tokens"]) == (7, 9)


def vars_of(flagged: Any) -> dict[str, bool]:
    return {name: getattr(flagged, name) for name in flagged.__slots__}


def test_thinking_that_is_cut_off_by_its_length_is_incomplete(following: Following) -> None:
    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        reply.delta(None, reasoning_content="hmm")
        reply.end("length")

    one = generation(following(script))
    assert (one.thinking, one.answer, one.finish_reason) == ("hmm", "", "length")
    assert flags(one).incomplete


def test_log_probabilities_are_kept(following: Following) -> None:
    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        scores = {"content": [{"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -0.75}]}
        reply.delta("<think>ab", logprobs=scores)
        reply.delta("</think>", logprobs={"content": [{"token": "c", "logprob": -0.5}]})
        reply.end()

    one = generation(following(script), logprobs=True)
    assert [p for chunk in one.chunks() for p in chunk.logprobs or ()] == [-0.25, -0.75, -0.5]
    assert measure(one)["mean_logprob"] == pytest.approx(-0.5)


def test_every_way_to_write_a_stream_is_read(following: Following) -> None:
    """Comments, other fields, CR LF, no space, split characters, line separators in a text."""

    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        first = json.dumps({"choices": [{"delta": {"content": "é\u2028 🙂"}}]}, ensure_ascii=False)
        stream = f": hello\r\n\r\nevent: x\r\nid: 1\r\ndata:{first}\r\n\r\n".encode()
        for i in range(len(stream)):
            reply.raw(stream[i : i + 1])
        reply.raw(b'data: {"choices":\ndata: [{"delta": {"content": "!"},\n')
        reply.raw(b'data: "finish_reason": "stop", "index": 0}], "more": [1]}\n\n\n\n')
        reply.raw(b'data: {"choices": [{"index": 1, "delta": {"content": "other"}}]}\n\n')
        reply.raw(b"data: [DONE]\n\n")
        reply.raw(b"")

    assert answer(following(script)).text == "é\u2028 🙂!"


# --- what goes wrong ------------------------------------------------------------------------------


def after(piece: str, then: Callable[[Reply], None]) -> Script:
    """A beginning of an answer, and what happens then."""

    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        reply.delta(piece)
        then(reply)

    return script


def hang(reply: Reply) -> None:
    for _ in range(40):
        reply.raw(b": still here\n\n")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("then", "why"),
    [
        (Reply.cut, "connection to .* broke"),
        (lambda reply: (reply.event("[DONE]"), reply.raw(b"")), "ended in the middle"),
        (lambda reply: reply.raw(b""), "ended in the middle"),
        (lambda reply: (reply.raw(b'data: {"choi'), reply.raw(b"")), "ended in the middle"),
        (lambda reply: reply.event("{oops"), "not as the protocol has it"),
        (lambda reply: reply.event({"choices": [{"delta": {"content": 7}}]}), "not as the prot"),
        (lambda reply: reply.event("[" * 100_000), "not as the protocol has it"),
        (lambda reply: reply.raw(b"data: \xff\xfe\n\n"), "not in UTF-8"),
        (lambda reply: reply.event({"error": {"message": "CUDA OOM\x1b"}}), "broke off: CUDA OOM␛"),
        (lambda reply: reply.event({"object": "error", "message": "gone"}), "broke off: gone"),
        (lambda reply: reply.end("content_filter"), "'content_filter', neither"),
        (hang, "sent nothing for 0.3 seconds"),
    ],
)
def test_what_came_before_a_break_is_kept(
    following: Following, then: Callable[[Reply], None], why: str
) -> None:
    engine = following(after("two and", then))
    trace = answer(engine)
    assert trace.text == "two and"
    failed = failure(trace)
    assert re.search(why, failed.error), failed.error
    assert engine.step() == []


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (400, {"error": {"message": "too long: 5000 > 4096"}}, r"refused .* \(400\): too long"),
        (401, {"error": {"message": KEY}}, "wants a key"),
        (404, {"error": {"message": "The model `x` does not exist."}}, "model `x` does not exist"),
        (404, "<html>", "is not there"),
        (422, {"detail": [{"loc": ["top_p"], "msg": "must be positive"}]}, "must be positive"),
        (500, {"message": "boom", "object": "error"}, r"failed \(500\): boom"),
        (502, "<html>Bad Gateway</html>", r"failed \(502\)\."),
        (307, "", "has moved"),
        (200, "<html>Sign in</html>", "text/html instead of a stream"),
        (200, {"choices": []}, "application/json instead of a stream"),
    ],
)
def test_a_refusal_is_a_sentence_and_the_engine_goes_on(
    endpoint: Endpoint, following: Following, status: int, said: Any, why: str
) -> None:
    kind = "text/html" if isinstance(said, str) else "application/json"
    engine = following(lambda reply, _: reply.whole(status, said, kind))
    failed = failure(answer(engine))
    assert re.search(why, failed.error), failed.error
    assert KEY not in failed.error
    assert len(endpoint.bodies) == 1
    endpoint.script = lambda reply, _: reply.say("again")
    assert answer(engine).text == "again"


def test_a_server_that_has_gone_is_a_failure_of_the_request(following: Following) -> None:
    engine = following(lambda reply, _: reply.cut())
    assert "broke" in failure(answer(engine)).error


@pytest.mark.parametrize("wait", ["0.05", "date", None])
def test_a_busy_endpoint_is_asked_again_when_it_says(
    endpoint: Endpoint, following: Following, wait: str | None
) -> None:
    told = formatdate(time.time() - 5, usegmt=True) if wait == "date" else wait
    headers = {} if told is None else {"Retry-After": told}

    def script(reply: Reply, _: Body) -> None:
        if len(endpoint.bodies) < 3:
            reply.whole(429, {"error": {"message": "slow down"}}, **headers)
        else:
            reply.say("Hello")

    trace = answer(following(script))
    assert (trace.text, len(endpoint.bodies)) == ("Hello", 3)
    assert trace.end.t >= (0 if wait == "date" else 0.06)


@pytest.mark.parametrize(("wait", "times"), [("0", 3), ("3600", 1)])
def test_an_endpoint_that_stays_busy_is_left_alone(
    endpoint: Endpoint, following: Following, wait: str, times: int
) -> None:
    engine = following(lambda reply, _: reply.whole(503, {"error": "no"}, Retry_After=wait))
    assert "too busy (503)" in failure(answer(engine)).error
    assert len(endpoint.bodies) == times


def test_what_happens_behind_the_end_does_not_matter(following: Following) -> None:
    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        reply.event({"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]})
        reply.cut()

    trace = answer(following(script))
    assert (trace.text, trace.reason) == ("4", "stop")


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reading", [True, False])
def test_cancel_closes_the_connection(
    endpoint: Endpoint, following: Following, reading: bool
) -> None:
    def script(reply: Reply, _: Body) -> None:
        if not reading:
            time.sleep(0.1)
        reply.begin()
        for _ in range(2000):
            reply.delta("word ")
            time.sleep(0.002)

    engine = following(script)
    ticket = engine.submit(ask("Hi"))
    told: list[Event] = []
    take(engine, {ticket: told}, lambda: len(told) > 3 if reading else bool(endpoint.bodies))
    engine.cancel(ticket)
    told += [event for _, event in engine.step()]
    assert Trace(ask("Hi"), tuple(told)).reason == "cancelled"
    assert isinstance(told[0], Started)
    limit = time.monotonic() + 5
    while not endpoint.left and time.monotonic() < limit:
        time.sleep(0.005)
    assert endpoint.left
    assert engine.step() == []


def test_cancel_ends_a_wait(endpoint: Endpoint, following: Following) -> None:
    engine = following(lambda reply, _: reply.whole(429, {}, Retry_After="4"))
    ticket = engine.submit(ask("Hi"))
    take(engine, {ticket: []}, lambda: bool(endpoint.bodies))
    engine.cancel(ticket)
    assert [type(event).__name__ for _, event in engine.step()][-1] == "Finished"


def test_no_more_than_the_batch_is_asked_at_once(endpoint: Endpoint) -> None:
    under_way, most = [], []

    def script(reply: Reply, _: Body) -> None:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.01)
        under_way.pop()
        reply.say("Hello")

    endpoint.script = script
    engine = RemoteEngine(spec_of(endpoint, max_batch=3))
    traces = answers(engine, [ask(f"{i}") for i in range(12)], NONE)
    engine.close()
    assert {trace.text for trace in traces} == {"Hello"}
    assert 2 <= max(most) <= 3


def test_closing_leaves_nothing_behind(endpoint: Endpoint, following: Following) -> None:
    def script(reply: Reply, _: Body) -> None:
        reply.begin()
        for _ in range(2000):
            reply.delta("word ")
            time.sleep(0.002)

    engine = following(script)
    ticket = engine.submit(ask("Hi"))
    told: list[Event] = []
    take(engine, {ticket: told}, lambda: len(told) > 2)
    engine.close()
    engine.close()
    assert not engine._thread.is_alive()
    limit = time.monotonic() + 5
    while not endpoint.left and time.monotonic() < limit:
        time.sleep(0.005)
    assert endpoint.left


def test_an_endpoint_that_is_not_there_fails_every_request_of_a_session() -> None:
    spec = EngineSpec(kind="remote", endpoint="http://127.0.0.1:9/v1")
    with Session(spec) as session:
        with pytest.raises(WorkbenchError, match="cannot be reached"):
            _ = session.spec
        end = session.start(ask("Hi")).result(10).end
    assert isinstance(end, Failed)
    assert "cannot be reached" in end.error
