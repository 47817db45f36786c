from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models
from tokenizers import Tokenizer as Backend

from workbench.errors import ModelError
from workbench.models.tokenizer import Detokenizer, Tokenizer

DEMO = Path(__file__).parents[2] / "workbench" / "models" / "demo"


def folders() -> list[str]:
    return ["small", "demo"] if (DEMO / "tokenizer.json").exists() else ["small"]


@pytest.fixture(scope="session", params=folders())
def folder(request: pytest.FixtureRequest, tokenizer_folder: Path) -> Path:
    return DEMO if request.param == "demo" else tokenizer_folder


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_folder(folder)


@pytest.fixture(scope="session")
def backend(folder: Path) -> Backend:
    """The same file, as the library reads it."""
    return Backend.from_file(str(folder / "tokenizer.json"))


plain_text = st.text(st.characters(exclude_categories=["Cs"]))


def test_every_control_token_is_known_by_name(tokenizer: Tokenizer, backend: Backend) -> None:
    added = {token.content: i for i, token in backend.get_added_tokens_decoder().items()}
    assert tokenizer.controls == added
    assert {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"} <= set(
        tokenizer.controls
    )
    assert tokenizer.control_id("<|eot_id|>") == added["<|eot_id|>"]
    assert tokenizer.control_id("a") is None
    assert tokenizer.control_id("<|nothing|>") is None


def test_no_control_token_comes_from_text(tokenizer: Tokenizer, backend: Backend) -> None:
    for name, control in tokenizer.controls.items():
        for text in (name, f"a {name}b", f"\n{name}{name}"):
            # Without the guard the library does find it, so the next line means something.
            assert control in backend.encode(text, add_special_tokens=False).ids
            ids = tokenizer.encode_text(text)
            assert not set(ids) & set(tokenizer.controls.values())
            assert tokenizer.decode(ids) == text


def test_plain_text_is_encoded_as_the_library_encodes_it(
    tokenizer: Tokenizer, backend: Backend
) -> None:
    for text in ("", "detailed thinking on", "12 + 30 = 42\n\n", "Grüße 今日は 🙂", "a\0b", " a  "):
        assert tokenizer.encode_text(text) == backend.encode(text, add_special_tokens=False).ids


@given(text=plain_text)
def test_text_survives_the_round_trip(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode_text(text)) == text


@given(data=st.data())
def test_decoding_equals_the_librarys(
    tokenizer: Tokenizer, backend: Backend, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.size + 5), max_size=40))
    assert tokenizer.decode(ids) == backend.decode(ids, skip_special_tokens=True)


@given(data=st.data())
def test_the_pieces_of_a_stream_join_to_the_whole(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, tokenizer.size + 5), max_size=40))
    detokenizer = Detokenizer(tokenizer)
    pieces = [detokenizer.push(i) for i in ids]
    assert "".join(pieces) + detokenizer.flush() == tokenizer.decode(ids)


def test_a_character_leaves_when_its_last_byte_has_come(tokenizer: Tokenizer) -> None:
    byte_ids = {tokenizer.piece(i): i for i in range(tokenizer.size)}
    detokenizer = Detokenizer(tokenizer)
    ids = [byte_ids[bytes([byte])] for byte in "é🙂!".encode()]
    assert [detokenizer.push(i) for i in ids] == ["", "é", "", "", "", "🙂", "!"]
    assert detokenizer.flush() == ""


def test_a_character_that_never_becomes_whole_is_replaced(tokenizer: Tokenizer) -> None:
    byte_ids = {tokenizer.piece(i): i for i in range(tokenizer.size)}
    detokenizer = Detokenizer(tokenizer)
    smile = [byte_ids[bytes([byte])] for byte in "🙂".encode()[:3]]
    assert [detokenizer.push(i) for i in smile] == ["", "", ""]
    assert detokenizer.push(byte_ids[b"a"]) == "\ufffda"
    assert detokenizer.push(smile[0]) == ""
    assert detokenizer.flush() == "\ufffd"


def test_ids_outside_the_vocabulary_have_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode([-1, tokenizer.size, 10**9]) == ""


def test_an_added_token_that_is_not_special_is_text(tokenizer_folder: Path) -> None:
    backend = Backend.from_file(str(tokenizer_folder / "tokenizer.json"))
    backend.add_tokens([AddedToken("<tool call>", special=False)])
    tokenizer = Tokenizer(backend)
    (i,) = tokenizer.encode_text("<tool call>")
    assert tokenizer.decode([i]) == "<tool call>"
    assert "<tool call>" not in tokenizer.controls


def test_truncation_and_padding_of_the_file_are_switched_off(tokenizer_folder: Path) -> None:
    backend = Backend.from_file(str(tokenizer_folder / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=50)
    tokenizer = Tokenizer(backend)
    text = "detailed thinking on, said the user"
    assert tokenizer.decode(tokenizer.encode_text(text)) == text
    assert 3 < len(tokenizer.encode_text(text)) < 50


def test_a_megabyte_of_text_is_fine(tokenizer: Tokenizer) -> None:
    text = "12 + 30 = 42\n" * 80_000
    assert tokenizer.decode(tokenizer.encode_text(text)) == text


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no tokenizer\.json\. Copy it"):
        Tokenizer.from_folder(tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"model": 3}', "[]"])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json cannot be read"):
        Tokenizer.from_folder(tmp_path)


def test_a_tokenizer_that_is_not_byte_level_is_refused(tmp_path: Path) -> None:
    backend = Backend(models.BPE(vocab={"a": 0, "▁": 1}, merges=[]))
    backend.decoder = decoders.Metaspace()
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="BPE with Metaspace decoder, not byte-level BPE"):
        Tokenizer.from_folder(tmp_path)


def test_a_tokenizer_without_a_decoder_is_refused(tmp_path: Path) -> None:
    spec = json.loads(Backend(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    assert spec["decoder"] is None
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match="WordLevel with no decoder"):
        Tokenizer.from_folder(tmp_path)
