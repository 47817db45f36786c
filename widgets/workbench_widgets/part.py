"""What all parts have in common: state that survives, messages both ways, errors under the part."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import anywidget
import traitlets
from IPython import get_ipython
from IPython.display import display, update_display

from workbench.errors import WorkbenchError
from workbench.pages.page import Page
from workbench_widgets.ticker import Ticker

_BEAT = 1.0  # seconds between signs of life while something runs
_UNEXPECTED = "`workbench doctor` shows what this machine has; if it recurs, report it."

Told = dict[str, Any]  # JSON-able


class Part(anywidget.AnyWidget):  # type: ignore[misc]
    """A view over plain objects of the workbench: throwing it away loses nothing.

    A part says all that a page shows in ``tell()``. A page gets it when it asks (a reload, a
    second tab), and once more at the end of whatever ran, as the trait ``told``, which is what a
    saved notebook keeps. In between only what is new is sent, as messages.

    A page's wish arrives as a message ``{"do": name, "n": number, …}``, is answered by the
    method ``do_name``, and is acknowledged. What goes wrong is told under the part.
    """

    told = traitlets.Dict().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        self._problem: Told | None = None
        self._last_beat = 0.0
        self._unwatched: str | None = None  # the display that stands for the part, without a page
        self._ticker = Ticker(self._tick)
        super().__init__(**traits)
        self.on_msg(self._heard)

    # --- what a part has of its own -----------------------------------------------------------

    def tell(self) -> Told:
        """Everything that a page shows."""
        raise NotImplementedError

    def still(self) -> Page:
        """The part as it is, for places where no widget lives."""
        raise NotImplementedError

    def tick(self) -> bool:
        """Send what is new; whether there is more to come. Called while something runs."""
        return False

    def wait(self) -> None:
        """Return when nothing runs any more."""

    # --- towards the page -----------------------------------------------------------------------

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """As every widget's, with what there is now in the place of what was kept."""
        state = super().get_state(key, drop_defaults)
        if "told" in state:
            state["told"] = self._whole()
        return state

    def say(self, kind: str, **more: Any) -> None:
        """One message to every page that shows the part."""
        self._last_beat = time.monotonic()
        self.send({"k": kind, **sendable(more)})

    def refresh(self) -> None:
        """Everything anew, to every page: something has another shape than before."""
        self.say("told", told=self._whole())

    def keep(self) -> None:
        """Everything anew, and kept for a saved notebook."""
        self.told = self._whole()
        if self._unwatched is not None:
            update_display(self._still(), raw=True, display_id=self._unwatched)

    def trouble(self, error: Exception | None) -> None:
        """Show an error under the part; ``None`` takes it away."""
        self._problem = None if error is None else _told(error)
        self.say("problem", problem=self._problem)

    def run(self) -> None:
        """Look after what runs from now on, on a thread; where nobody watches, until it ends."""
        self._ticker.start()
        if self._unwatched is not None:
            self.wait()

    def _whole(self) -> Told:
        whole: Told = sendable(self.tell() | {"problem": self._problem})
        return whole

    def _tick(self) -> bool:
        goes_on = self.tick()
        if goes_on and time.monotonic() - self._last_beat > _BEAT:
            self.say("beat")
        return goes_on

    # --- from the page ----------------------------------------------------------------------------

    def _heard(self, _: object, content: Mapping[str, Any], buffers: object = None) -> None:
        name = content.get("do")
        wish = getattr(self, f"do_{name}", None) if isinstance(name, str) else None
        self.send({"k": "ack", "n": content.get("n")})
        if wish is None:
            return
        try:
            wish(**{key: value for key, value in content.items() if key not in ("do", "n")})
        except Exception as error:  # a callback has no caller who would show it
            self.trouble(error)
            self.refresh()  # a page may have shown already what it wished for

    def do_pull(self) -> None:
        """A page has missed something."""
        self.refresh()

    def do_dismiss(self) -> None:
        """A page has read the error."""
        self.trouble(None)

    # --- where it is shown ------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """A view where somebody can use it; else what there is to see, when all has ended."""
        if attended():
            view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
            bundle = {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}
            display(bundle, raw=True)
            return
        self.wait()
        self._unwatched = uuid4().hex
        display(self._still(), raw=True, display_id=self._unwatched)

    def _still(self) -> dict[str, Any]:
        still = self.still()
        return {"text/html": still.html, "text/plain": still.text}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def sendable(value: Any) -> Any:
    """The same, with halves of characters replaced: a message is UTF-8, and would not leave."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {sendable(key): sendable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(one) for one in value]
    return value


def attended() -> bool:
    """Whether a person may be looking: programs that run notebooks say that nobody can answer.

    JupyterLab, VS Code and Colab send ``allow_stdin`` with a cell; nbclient, papermill and
    nbval send that there is none.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    asked = kernel.get_parent("shell") or {}
    return bool(asked.get("content", {}).get("allow_stdin"))


def _told(error: Exception) -> Told:
    if isinstance(error, WorkbenchError):
        return {"message": error.message, "remedy": error.remedy}
    lines = str(error).strip().splitlines()
    said = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
    return {"message": f"That did not work: {said}", "remedy": _UNEXPECTED}
