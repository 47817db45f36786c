"""Model card: what there is, what is loaded, whether it fits; load and unload."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import traitlets

from workbench.doctor import Check, checks, gpus
from workbench.errors import EngineError, WorkbenchError
from workbench.models.catalogue import CATALOGUE, local_models
from workbench.models.fitting import GPUS, Subject, subject, use_of
from workbench.models.memory import CONTEXT, Use
from workbench.pages import prose
from workbench.pages.page import Page
from workbench.printable import one_line
from workbench.records import EngineSpec
from workbench_widgets.asking import whole_number
from workbench_widgets.desk import Desk
from workbench_widgets.modules import module, style
from workbench_widgets.part import Part, Told

CACHES = ("fp16", "q8", "q6", "q4")
_SHOWN = ("kind", "quantization", "device", "context", "cache", "cache_tokens", "attention")


class ModelCard(Part):
    """The models by name, the memory that one would take here, and the one that is loaded.

    Args:
        desk: Whose model is loaded and unloaded; give that of the other parts.
        spec: What is chosen at first; default: the embedded model.
    """

    _esm = traitlets.Unicode(module("card")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "card")).tag(sync=True)

    def __init__(self, desk: Desk | None = None, *, spec: EngineSpec | None = None) -> None:
        self.desk = desk or Desk()
        self.spec = spec or self.desk.spec
        self._batch = 1
        self._work: threading.Thread | None = None
        self._loading = False
        self._began = 0.0
        self._loaded: EngineSpec | None = None
        self._checks: list[Check] | None = None
        super().__init__()

    # --- for notebooks --------------------------------------------------------------------------

    def load(self) -> None:
        """Load what is chosen; returns at once where somebody watches."""
        if self._loading:
            raise EngineError("A model is being loaded.", remedy="Wait for it.")
        self._problem, self._loading, self._began = None, True, time.monotonic()
        self._work = threading.Thread(target=self._load, name="widget-load", daemon=True)
        self.refresh()
        self._work.start()
        self.run()

    def unload(self) -> None:
        """Free the memory; what runs is cancelled and kept."""
        self.desk.close()
        self._loaded = None
        self.keep()
        self.refresh()

    def wait(self) -> None:
        """Return when the model is loaded."""
        if self._work is not None:
            self._work.join()
        self._ticker.join()

    # --- what a page asks -------------------------------------------------------------------------

    def do_choose(self, model: str, context: object, cache: str, batch: object) -> None:
        """Show the memory plan of a choice."""
        length, requests = whole_number("context", context), whole_number("requests", batch)
        self.spec = replace(self.spec, model=model.strip(), context=length, cache=cache)
        self._batch = requests or 1
        self.refresh()

    def do_load(self) -> None:
        """The Load button."""
        self.load()

    def do_unload(self) -> None:
        """The Unload button."""
        self.unload()

    def do_doctor(self) -> None:
        """What this machine lacks, found on a thread: it may take seconds."""
        threading.Thread(target=self._examine, name="widget-doctor", daemon=True).start()

    def _examine(self) -> None:
        self._checks = checks()
        self.refresh()

    def _load(self) -> None:
        """On a thread; what goes wrong under the part."""
        try:
            self._loaded = self.desk.session(self.spec).spec
            self.desk.choose(self.spec)
        except Exception as error:  # nobody else would show it
            self.desk.close()
            self._loaded = None
            self.trouble(error)
        self._loading = False
        self._ticker.nudge()

    def tick(self) -> bool:
        """How far it is."""
        if self._loading:
            self.say("loading", read=self.desk.read, seconds=time.monotonic() - self._began)
            return True
        self.keep()
        return False

    # --- what is shown ----------------------------------------------------------------------------

    def tell(self) -> Told:
        loaded = self._loaded if self.desk.loaded is not None else None
        return {
            "models": list(_models()),
            "caches": CACHES,
            "chosen": {
                "model": self.spec.model,
                "context": self.spec.context,
                "cache": self.spec.cache,
                "batch": self._batch,
            },
            "loading": self._loading,
            "loaded": None if loaded is None else _facts(loaded),
            "fit": self._fit(),
            "checks": None if self._checks is None else [_told(one) for one in self._checks],
        }

    def _fit(self) -> Told:
        """The memory plan of what is chosen, or why there is none."""
        try:
            of = subject(self.spec.model)
            use = use_of(of, self.spec.context, self.spec.cache, self._batch)
            return _plan(of, use)
        except WorkbenchError as error:
            return {"problem": f"{error.message} {error.remedy}"}

    def still(self) -> Page:
        loaded = self._loaded.model if self._loaded is not None else "nothing"
        return prose(f"Models here: {', '.join(local_models())}. Loaded: {loaded}.")

    def __repr__(self) -> str:
        return f"ModelCard({self.spec.model!r})"


def _models() -> Iterator[dict[str, Any]]:
    here = local_models()
    for name, entry in CATALOGUE.items():
        about = {"summary": entry.summary, "licence": entry.licence, "context": entry.context}
        yield {"name": name, "here": name in here, "repository": entry.repository} | about
    for name in here.keys() - CATALOGUE.keys():
        about = {"summary": "a folder of yours", "licence": None, "context": None}
        yield {"name": name, "here": True, "repository": None} | about


def _facts(spec: EngineSpec) -> dict[str, Any]:
    found = {name: getattr(spec, name) for name in _SHOWN}
    return {"model": one_line(spec.model, 200), "synthetic": spec.synthetic} | found


def _plan(of: Subject, use: Use) -> Told:
    needed = of.plan(use)
    parts = {name: size for name, size in needed.parts().items() if size}
    return {
        "of": f"{of.name}, {of.quantization}",
        "context": use.context,
        "parts": list((parts | {"CUDA context, about": CONTEXT}).items()),
        "total": needed.total + CONTEXT,
        "cards": [_card(of, use, name, memory, own) for name, memory, own in _cards()],
    }


def _cards() -> Iterator[tuple[str, int, bool]]:
    with suppress(WorkbenchError):
        yield from ((gpu.name, gpu.total, True) for gpu in gpus())
    yield from ((name, mib * 2**20, False) for name, mib in GPUS.items())


def _card(of: Subject, use: Use, name: str, memory: int, own: bool) -> Mapping[str, Any]:
    fits, most = of.fits(use, memory), of.largest(use, memory)
    return {"name": name, "memory": memory, "own": own, "fits": fits, "largest": most}


def _told(one: Check) -> dict[str, str]:
    found = {"name": one.name, "status": one.status, "found": one_line(one.found, 300)}
    return found | {"remedy": one.remedy}
