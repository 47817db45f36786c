from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.engines.scripts import byte_tokenizer
from workbench.engines.tail import Tail
from workbench.models.tokenizer import Detokenizer

BYTES = byte_tokenizer()


class Letters:
    """A detokenizer whose ids are code points."""

    def push(self, token: int) -> str:
        return chr(token)

    def flush(self) -> str:
        return ""

    partial = False


def pushed(text: str, *stop: str) -> tuple[list[str], bool, str | None]:
    """The text of each chunk, whether a stop string ended it, and what flush brought."""
    tail, texts = Tail(Letters(), stop), []
    for place, character in enumerate(text):
        chunk, stopped = tail.push(float(place), ord(character))
        assert (chunk.t, chunk.ids) == (place, (ord(character),))
        texts.append(chunk.text)
        if stopped:
            rest = tail.flush(99.0)
            return texts, True, rest and rest.text
    rest = tail.flush(99.0)
    return texts, False, rest and rest.text


def test_without_stop_strings_every_text_leaves_at_once() -> None:
    assert pushed("a stop") == (["a", " ", "s", "t", "o", "p"], False, None)


def test_the_text_ends_before_the_stop_string() -> None:
    assert pushed("ab<end>cd", "<end>") == (["a", "b", "", "", "", "", ""], True, None)


def test_a_beginning_that_does_not_go_on_is_released() -> None:
    assert pushed("a<en>b", "<end>") == (["a", "", "", "", "<en>", "b"], False, None)


def test_what_is_held_at_the_end_is_released_by_flush() -> None:
    assert pushed("a<en", "<end>") == (["a", "", "", ""], False, "<en")


def test_a_beginning_inside_a_failed_beginning_is_still_held() -> None:
    assert pushed("aab", "ab") == (["", "a", ""], True, None)
    assert pushed("ababac", "abac") == (["", "", "", "ab", "", ""], True, None)


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert pushed("xyz.", "yz.", "z.") == (["x", "", "", ""], True, None)


def test_a_chunk_carries_what_was_sampled() -> None:
    chunk, _ = Tail(Letters()).push(1.5, 65, -0.5, ((65, -0.5), (66, -1.0)))
    assert chunk.logprobs == (-0.5,)
    assert chunk.alternatives == (((65, -0.5), (66, -1.0)),)
    chunk, _ = Tail(Letters()).push(1.5, 65)
    assert (chunk.logprobs, chunk.alternatives) == (None, None)


def test_one_token_may_hold_text_stop_string_and_more() -> None:
    class Words(Letters):
        def push(self, token: int) -> str:
            return "one. Two"

    chunk, stopped = Tail(Words(), (".",)).push(0.0, 7)
    assert (chunk.text, chunk.ids, stopped) == ("one", (7,), True)


@given(
    text=st.text(alphabet="abc", max_size=30),
    stop=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
)
def test_any_text_is_cut_at_its_first_stop_string(text: str, stop: list[str]) -> None:
    texts, stopped, rest = pushed(text, *stop)
    told = "".join(texts) + (rest or "")
    # The first to be complete ends the text, where it (or a longer one ending there too) begins.
    seen = next((text[:n] for n in range(len(text) + 1) if any(s in text[:n] for s in stop)), None)
    assert stopped is (seen is not None)
    expected = text if seen is None else seen[: min(seen.find(s) for s in stop if s in seen)]
    assert told == expected
    assert len(texts) == len(text if seen is None else seen)


@given(text=st.text(max_size=30), stop=st.lists(st.text(min_size=1, max_size=3), max_size=2))
def test_bytes_of_a_character_and_stop_strings_together(text: str, stop: list[str]) -> None:
    tail, told = Tail(Detokenizer(BYTES), stop), ""
    for token in BYTES.encode_text(text):
        chunk, stopped = tail.push(0.0, token)
        told += chunk.text
        if stopped:
            break
    else:
        rest = tail.flush(0.0)
        told += rest.text if rest else ""
    places = [text.find(one) for one in stop if one in text]
    assert told == text or (places and told == text[: len(told)])
    assert bool(places) is (told != text)
