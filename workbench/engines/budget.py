"""The thinking budget: when the engine closes a request's thinking, and with which ids.

The rule, the same on every engine. Tokens between the think tags are counted as the
metrics count them, over all thinking of the generation, as they come; text between two
blocks, which only hindsight makes thinking, is not among them. From ``N`` on
(``Sampling.thinking_tokens``)

- thinking is closed where a line ends: ``</think>`` and a blank line are written;
- at ``N`` and a tenth of it, rounded up (a budget of 1 to 10 has one token more, a budget
  of 0 none), it is closed within the line: a line end is written first, which is one more
  token of thinking;
- thinking that is opened when ``N`` have been spent is closed at once.

While a tag or half a character is being written, the close within a line waits, for at
most ``PATIENCE`` tokens. So a generation has at most ``ceil(1.1 N) + 1`` tokens of
thinking, and up to ``PATIENCE`` more when one of the two stood at the limit.

White space is left as it is: where the model has just written an empty line, the tag
follows that. The ids are those of plain text, and reach the model one an iteration, by the
way every drawn id goes; stop strings and ``max_tokens`` hold for them like for any text.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from workbench.records import Channel, Chunk
from workbench.thinking import CLOSE, Splitter

PATIENCE = 8  # tokens: no tag has more characters than that


class TextTokenizer(Protocol):
    """What a budget needs of a tokenizer."""

    def encode_text(self, text: str) -> list[int]:
        """The ids of plain text, never a control token."""


class Budget:
    """Follows the thinking of one request, and says which id comes next by force.

    Args:
        tokens: Of thinking, at which it is closed; 0 closes it as soon as it opens.
        tokenizer: The model's.
    """

    def __init__(self, tokens: int, tokenizer: TextTokenizer) -> None:
        self._tokens = tokens
        self._limit = tokens + -(-tokens // 10)
        self._close = tokenizer.encode_text(f"{CLOSE}\n\n")
        self._end_line = tokenizer.encode_text(f"\n{CLOSE}\n\n")
        self._splitter = Splitter()
        self._thought = 0
        self._opened_at = 0  # tokens of thinking before the block under way
        self._last = ""  # character written
        self._forced: deque[int] = deque()

    @property
    def forced(self) -> int | None:
        """The id that must come next; ``None``: the model draws it."""
        return self._forced[0] if self._forced else None

    @property
    def free(self) -> int:
        """Ids that may be drawn before one could have to come by force.

        When the budget is spent, thinking that opens again is closed at once, so from then
        on there is none.
        """
        return 0 if self._forced else max(0, self._tokens - self._thought - 1)

    def wrote(self, token: int, text: str, *, partial: bool) -> bool:
        """Take note of an id.

        Args:
            token: The id; another than the forced one only where it was given.
            text: What it wrote, whether or not the reader has it already.
            partial: Half a character stands behind the text.

        Returns:
            Whether it was the forced one.
        """
        was_forced = self.forced == token
        if was_forced:
            self._forced.popleft()
        else:
            self._forced.clear()
        self._follow(text)
        if not self._forced and self._splitter.thinking and self._thought >= self._tokens:
            self._forced.extend(self._closing(partial))
        return was_forced

    def _follow(self, text: str) -> None:
        before, was_open = self._thought, self._splitter.thinking
        parts = self._splitter.feed(Chunk(0.0, (0,), text))
        self._thought += sum(len(part.ids) for part in parts if part.channel is Channel.THINKING)
        if self._splitter.thinking and not was_open:
            self._opened_at = before
        self._last = text[-1:] or self._last

    def _closing(self, partial: bool) -> list[int]:
        """The ids to write now that the budget is spent; none while there is a reason to wait."""
        if self._last == "\n" and not partial:
            return self._close
        if self._thought < self._limit and self._opened_at < self._tokens:
            return []
        held, latest = self._splitter.held, max(self._limit, self._opened_at) + PATIENCE
        if (partial or held) and self._thought + held < latest:
            return []
        return self._end_line
