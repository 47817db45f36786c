"""A model from the hub: a real client against a server that stands in for it, cuts and lies."""

from __future__ import annotations

import hashlib
import http.server
import json
import shutil
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import huggingface_hub
import pytest

from workbench.cli.app import run
from workbench.errors import InvalidInput, ModelError
from workbench.models.catalogue import local_models, locate, revision_of
from workbench.models.getting import get

COMMIT, QUANTISED = "5" * 40, "6" * 40
URL = "/{repo_id}/resolve/{revision}/{filename}"
REPOSITORY = "some/model"


class Hub(http.server.BaseHTTPRequestHandler):
    """One repository with two branches; writes down what it is asked for."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    asked: list[str]
    refuses: tuple[int, str] | None = None  # a status and the hub's word for it
    cut_at: int | None = None  # bytes of a file after which the line breaks, once
    lies: str | None = None  # a file that comes with other bytes

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if self.refuses is not None:
            self._send(self.refuses[0], b"", {"X-Error-Code": self.refuses[1]}, body=False)
        elif path.endswith("/refs"):
            names = {"main": COMMIT, "4_0": QUANTISED, "6.5bpw": COMMIT}
            branches = [
                {"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in names.items()
            ]
            told = {"branches": branches, "converts": [], "tags": []}
            self._send(200, json.dumps(told).encode(), {}, body=body)
        elif path.startswith("/api/models/"):
            self._info(path.rpartition("/")[2], body=body)
        else:
            self._file(path.rpartition("/")[2], body=body)

    def _info(self, revision: str, *, body: bool) -> None:
        commits = {"main": COMMIT, "4_0": QUANTISED, COMMIT: COMMIT, QUANTISED: QUANTISED}
        if revision not in commits:
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=False)
            return
        siblings = [
            {"rfilename": name, "size": len(data)}
            | ({"lfs": _lfs(data)} if name.endswith(".safetensors") else {})
            for name, data in self.files.items()
        ]
        told = {"id": REPOSITORY, "sha": commits[revision], "siblings": siblings}
        self._send(200, json.dumps(told).encode(), {}, body=body)

    def _file(self, name: str, *, body: bool) -> None:
        data = self.files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if self.lies == name:
            data = bytes(len(data))
        status, start = 200, 0
        if given := self.headers.get("Range"):
            status, start = 206, int(given.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(status, data[start:], headers, body=body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not body:
            return
        cut = type(self).cut_at
        if cut is not None and len(data) > cut:
            type(self).cut_at = None
            self.wfile.write(data[:cut])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def _lfs(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return tmp_path


@pytest.fixture
def hub(home: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    files = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    extra = {"pytorch_model.bin": b"pickle", "README.md": b"# x", "run.py": b"import os"}
    kind = type("OneHub", (Hub,), {"asked": [], "files": files | extra})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as served:
        served.daemon_threads = True
        threading.Thread(target=served.serve_forever, args=(0.02,), daemon=True).start()
        at = f"http://127.0.0.1:{served.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", at)
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", at + URL)
        yield kind
        served.shutdown()
        huggingface_hub.close_session()


def test_a_model_comes_whole_and_is_found_by_its_name(
    hub: type[Hub], home: Path, model_folder: Path
) -> None:
    told: list[tuple[int, int]] = []
    folder = get(REPOSITORY, progress=lambda done, total: told.append((done, total)))
    assert folder == home / "models" / "model"
    assert locate("model") == locate(REPOSITORY) == folder
    assert revision_of(folder) == COMMIT
    for path in model_folder.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    names = {path.name for path in folder.iterdir()}
    assert names == {path.name for path in model_folder.iterdir()} | {"source.json"}
    assert told[-1][0] == told[-1][1] == sum(p.stat().st_size for p in model_folder.iterdir())
    assert [path.name for path in (home / "models").iterdir()] == ["model"]


def test_what_is_there_is_not_asked_for_again(hub: type[Hub]) -> None:
    first = get(REPOSITORY)
    hub.asked.clear()
    assert get(REPOSITORY) == get(REPOSITORY, revision=COMMIT) == first
    assert hub.asked == []
    with pytest.raises(InvalidInput, match="there already"):
        get(REPOSITORY, revision=QUANTISED)


def test_cut_short_it_is_no_model_and_goes_on_where_it_stopped(
    hub: type[Hub], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = len(hub.files["model.safetensors"])
    real = huggingface_hub.hf_hub_download

    def stopped(*arguments: Any, **named: Any) -> str:
        if arguments[1] == "model.safetensors":
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", stopped)
    with pytest.raises(KeyboardInterrupt):
        get(REPOSITORY)
    assert local_models().keys() == {"demo"}
    with pytest.raises(ModelError):
        locate("model")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", real)
    # Now the line breaks in the middle of the weights: the client goes on behind what has come.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 2**14)
    hub.cut_at = weights // 2
    hub.asked.clear()
    get(REPOSITORY)
    asked = [one for one in hub.asked if one.startswith("GET") and "/resolve/" in one]
    assert {one.split()[1].rpartition("/")[2] for one in asked} == {"model.safetensors"}
    ranges = [int(one.rpartition("=")[2].split("-")[0]) for one in asked if "bytes=" in one]
    assert ranges, hub.asked
    assert 0 < max(ranges) <= weights // 2


def test_a_damaged_file_is_taken_away_and_only_that_one_fetched_anew(
    hub: type[Hub], home: Path
) -> None:
    hub.lies = "model.safetensors"
    with pytest.raises(ModelError, match=r"model\.safetensors came damaged") as refused:
        get(REPOSITORY)
    assert "only this file" in refused.value.remedy
    assert local_models().keys() == {"demo"}
    hub.lies = None
    hub.asked.clear()
    get(REPOSITORY)
    fetched = {
        one.split()[1].rpartition("/")[2] for one in hub.asked if one.startswith("GET /some")
    }
    assert fetched == {"model.safetensors"}


def test_bits_are_a_branch(hub: type[Hub], home: Path) -> None:
    folder = get(REPOSITORY, bits=4)
    assert folder == home / "models" / "model-4bpw"
    assert revision_of(folder) == QUANTISED
    with pytest.raises(ModelError, match=r"no weights of 3 bits: it has 4, 6\.5") as refused:
        get(REPOSITORY, bits=3)
    assert "workbench models convert" in refused.value.remedy
    with pytest.raises(InvalidInput, match="Both"):
        get(REPOSITORY, bits=4, revision="main")


@pytest.mark.parametrize(
    ("status", "word", "said", "remedy"),
    [
        (401, "GatedRepo", "ask for consent", "hf auth login"),
        (403, "GatedRepo", "ask for consent", "hf auth login"),
        (401, "RepoNotFound", "does not show it", "Check its name"),
        (404, "RepoNotFound", "does not show it", "Check its name"),
        (404, "RevisionNotFound", "no such revision", "--revision"),
        (500, "", "answered", "later"),
    ],
)
def test_a_hub_that_refuses(
    hub: type[Hub], home: Path, status: int, word: str, said: str, remedy: str
) -> None:
    hub.refuses = (status, word)
    with pytest.raises(ModelError, match=said) as refused:
        get(REPOSITORY, revision="old")
    assert remedy in refused.value.remedy
    assert not (home / "models").exists()


def test_a_revision_that_is_not_there(hub: type[Hub]) -> None:
    with pytest.raises(ModelError, match="no such revision"):
        get(REPOSITORY, revision="nowhere")


def test_without_a_network_or_with_it_switched_off(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be reached"):
        get(REPOSITORY)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        get(REPOSITORY)


def test_a_disk_without_room_is_said_first(hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")(2**30, 2**30, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match=r"0\.0 are free"):
        get(REPOSITORY)
    assert not any("/resolve/" in one for one in hub.asked)


def test_weights_of_other_kinds_are_no_model(hub: type[Hub]) -> None:
    del hub.files["model.safetensors"]
    with pytest.raises(ModelError, match="no weights in safetensors"):
        get(REPOSITORY)


@pytest.mark.parametrize("name", ["demo", "nowhere", "a/b/c", "../x"])
def test_names_that_cannot_be_got(name: str, home: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        get(name)
    assert refused.value.remedy


def test_the_command(hub: type[Hub], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "get", REPOSITORY, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["vocabulary"] == 512
    assert run(["models", "get", "nowhere"]) == 2
    assert "ORGANISATION/NAME" in capsys.readouterr().err
