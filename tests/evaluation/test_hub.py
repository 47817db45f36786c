"""The hub: a real client against a server that stands in for it, and against none."""

from __future__ import annotations

import hashlib
import http.server
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors

from workbench.errors import InvalidInput
from workbench.evaluation import benchmarks
from workbench.evaluation.benchmarks import hub
from workbench.evaluation.benchmarks.benchmark import Source

CONTENT = b'{"problem": "x"}\n'
COMMIT = "5" * 40
SOURCE = Source("some/data", "folder/test.jsonl", COMMIT, hashlib.sha256(CONTENT).hexdigest())
URL = "/{repo_id}/resolve/{revision}/{filename}"


class Hub(http.server.BaseHTTPRequestHandler):
    """Gives out one file, and writes down what it is asked for."""

    content = CONTENT
    status = 200
    error = ""
    asked: list[str] = []  # noqa: RUF012  (a class is made for every test)

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self._head()
        self.wfile.write(self.content)

    def _head(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.send_response(self.status)
        if self.error:
            self.send_header("X-Error-Code", self.error)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("Content-Length", str(len(self.content) if self.status == 200 else 0))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no proxy between here and here."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return tmp_path / "cache"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    handler = type("OneHub", (Hub,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
        at = f"http://127.0.0.1:{served.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", at)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", at + URL)
        yield handler
        served.shutdown()
        huggingface_hub.close_session()


def test_a_file_is_downloaded_once(server: type[Hub], cache: Path) -> None:
    path = hub.fetch("Data", SOURCE)
    assert path.read_bytes() == CONTENT
    assert cache in path.parents
    wanted = f"/datasets/some/data/resolve/{COMMIT}/folder/test.jsonl"
    assert {f"HEAD {wanted}", f"GET {wanted}"} <= set(server.asked)
    server.asked.clear()
    assert hub.fetch("Data", SOURCE) == path
    assert not server.asked, "what is in the cache takes no network"


def test_a_download_is_checked(server: type[Hub]) -> None:
    server.content = b"{}"
    with pytest.raises(InvalidInput) as caught:
        hub.fetch("Data", SOURCE)
    assert "SHA-256 44136fa355b3…, and not " + SOURCE.sha256[:12] in str(caught.value)
    path = caught.value.remedy.split()[1]
    assert Path(path).read_bytes() == b"{}"
    assert "--data FILE" in caught.value.remedy
    Path(path).unlink()  # as the remedy says
    server.content = CONTENT
    assert hub.fetch("Data", SOURCE).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "GatedRepo", "its authors ask for consent. Give it there, then `hf auth login`"),
        (
            401,
            "RepoNotFound",
            "the hub does not show it to you. Check its name, or log in",
        ),
        (404, "RevisionNotFound", "it is no longer there. Update the workbench"),
        (404, "EntryNotFound", "it is no longer there. Update the workbench"),
        (503, "", "the hub answered: Server error '503"),
    ],
)
def test_a_hub_that_refuses(
    server: type[Hub], capfd: pytest.CaptureFixture[str], status: int, code: str, says: str
) -> None:
    server.status, server.error = status, code
    with pytest.raises(InvalidInput) as caught:
        hub.fetch("Data", SOURCE)
    told = str(caught.value)
    assert says in told
    assert told.startswith("Data cannot be downloaded from some/data/folder/test.jsonl at 55555555")
    assert told.endswith("or name a file of your own: --data FILE.")
    assert "\n" not in told
    assert len(server.asked) == 1, "asked once"
    assert capfd.readouterr() == ("", "")


def test_without_a_network(
    server: type[Hub], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody listens there: one sentence, at once, and none of the client's own."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)  # between the client's repeats
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9" + URL
    )
    level = logging.getLogger("huggingface_hub").level
    for name in ("math500", "aime25", "gsm8k", "mtbench"):
        with pytest.raises(InvalidInput, match="the hub cannot be reached") as caught:
            benchmarks.load(name)
        assert "refused). Try again with a network, or name a file of your own: --data FILE." in (
            str(caught.value)
        )
    assert capfd.readouterr() == ("", "")
    assert not waited
    assert logging.getLogger("huggingface_hub").level == level


def test_told_to_stay_offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidInput, match=r"cannot be reached \(HF_HUB_OFFLINE is set\)"):
        hub.fetch("Data", SOURCE)


def test_what_is_asked_of_the_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def reach(url: str) -> None:
        asked.append((url,))

    def download(*args: Any, **named: Any) -> str:
        asked.append((*args, named))
        raise TimeoutError("broken")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", reach)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(InvalidInput, match=r"TimeoutError: broken\)\. Try again with a"):
        benchmarks.load("gsm8k")
    file, revision = "main/test-00000-of-00001.parquet", "740312add88f781978c0658806c59bc2815b9866"
    assert asked[0][0].endswith(f"/datasets/openai/gsm8k/resolve/{revision}/{file}")
    assert asked[1] == ("openai/gsm8k", file, {"repo_type": "dataset", "revision": revision})


class Answer:
    """What the hub's errors want to know of an answer."""

    status_code = 401
    headers: Mapping[str, str] = {}
    request = None


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (hub_errors.RemoteEntryNotFoundError, "no longer there. Update the workbench"),
        (hub_errors.LocalEntryNotFoundError, "cannot be reached. Try again with a network"),
        (OSError, "OSError: broken). Try again"),
    ],
)
def test_a_download_that_breaks_off(
    cache: Path, monkeypatch: pytest.MonkeyPatch, error: Any, says: str
) -> None:
    http = issubclass(error, hub_errors.HfHubHTTPError)

    def fail(*_: Any, **__: Any) -> str:
        raise error("broken", response=Answer()) if http else error("broken")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda _: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(InvalidInput) as caught:
        benchmarks.load("math500")
    assert says in str(caught.value)
