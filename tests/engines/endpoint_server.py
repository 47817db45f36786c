"""An OpenAI-compatible server in this process, which does what a test's script says."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]
VLLM = {
    "id": "served",
    "object": "model",
    "owned_by": "vllm",
    "root": "org/weights",
    "max_model_len": 4096,
}


class Reply(BaseHTTPRequestHandler):
    """One request, as the script answers it."""

    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers), {}))
        status, said = self.server.pages.get(self.path, (404, {"detail": "Not Found"}))
        self.whole(status, said)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), body))
        try:
            self.server.script(self, body)
        except (BrokenPipeError, ConnectionResetError):
            self.server.left.append(body)
            self.close_connection = True

    def whole(self, status: int, said: Any, kind: str = "application/json", **headers: str) -> None:
        """An answer in one piece; a text is sent as it is."""
        data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        """Open a stream of events."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def raw(self, data: bytes) -> None:
        """Bytes of the stream."""
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def event(self, said: Any) -> None:
        self.raw(f"data: {said if isinstance(said, str) else json.dumps(said)}\n\n".encode())

    def delta(self, content: str | None = None, **more: Any) -> None:
        """A piece of the answer; ``reasoning_content`` and the like beside it."""
        delta = {name: more.pop(name) for name in list(more) if name.startswith("reasoning")}
        self.event({"choices": [{"index": 0, "delta": {"content": content} | delta} | more]})

    def end(self, reason: str = "stop", usage: Body | None = None) -> None:
        """The end of a whole answer."""
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if usage:
            self.event({"choices": [], "usage": usage})
        self.event("[DONE]")
        self.raw(b"")

    def say(self, *pieces: str, usage: Body | None = None) -> None:
        """A whole answer."""
        self.begin()
        for piece in pieces:
            self.delta(piece)
        self.end(usage=usage)

    def cut(self) -> None:
        """Break the connection off."""
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Nothing."""


Script = Callable[[Reply, Body], None]


class Endpoint(ThreadingHTTPServer):
    """The server: what it is to say, and what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Reply)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.pages: dict[str, tuple[int, Any]] = {}
        self.script: Script = talk
        self.asked: list[tuple[str, dict[str, str], Body]] = []
        self.left: list[Body] = []  # requests whose client went away
        self.serves(VLLM)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away between two requests is nothing to tell of."""

    def serves(self, *models: Body) -> None:
        self.pages["/v1/models"] = (200, {"object": "list", "data": list(models)})

    @property
    def bodies(self) -> list[Body]:
        return [body for path, _, body in self.asked if path == "/v1/chat/completions"]


@contextmanager
def serving() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()
    thread.join()


def talk(reply: Reply, body: Body) -> None:
    """Words that depend on question, seed and temperature, one an event; 40, or ``max_tokens``."""
    turns = [turn["content"] for turn in body["messages"]]
    wild = random.Random(f"{turns} {body.get('seed')} {body['temperature']}")
    most = body.get("max_tokens")
    reply.begin()
    for _ in range(most or 40):
        word = "".join(wild.choices("aeiou<> \n", k=4))
        scores = {"content": [{"token": word, "logprob": -0.5}]} if body.get("logprobs") else None
        reply.delta(word, logprobs=scores)
        time.sleep(0.001)
    usage = {"prompt_tokens": 12, "completion_tokens": most or 40}
    reply.end("length" if most else "stop", usage)
