"""Workbench: the parts in one tabbed view, around one loaded model."""

from __future__ import annotations

import traitlets

from workbench.pages import prose
from workbench.pages.page import Page
from workbench.records import EngineSpec
from workbench_widgets.card import ModelCard
from workbench_widgets.compare import Compare
from workbench_widgets.desk import Desk
from workbench_widgets.modules import module, style
from workbench_widgets.part import Part, Told
from workbench_widgets.sweep import SweepGrid


class Workbench(Part):
    """Compare, sweep grid and model card in tabs; the model is loaded once for all of them.

    Args:
        prompt: The question that stands in the form at first.
        expected: The right answer to it.
        spec: Who answers at first; default: the embedded model. What the model card loads
            answers from then on.
    """

    _esm = traitlets.Unicode(module("tabs")).tag(sync=True)
    _css = traitlets.Unicode(style("base", "tabs")).tag(sync=True)

    def __init__(
        self, prompt: str = "", *, expected: str = "", spec: EngineSpec | None = None
    ) -> None:
        self.desk = Desk(spec)
        self.compare = Compare(prompt, expected=expected, desk=self.desk)
        self.sweep = SweepGrid(desk=self.desk)
        self.card = ModelCard(self.desk)
        super().__init__()

    @property
    def parts(self) -> tuple[tuple[str, Part], ...]:
        """The tabs, by their names."""
        return (("Compare", self.compare), ("Sweep", self.sweep), ("Model", self.card))

    def wait(self) -> None:
        """Return when nothing runs any more in any of the parts."""
        for _, part in self.parts:
            part.wait()

    def tell(self) -> Told:
        return {"tabs": [[name, f"anywidget:{part.model_id}"] for name, part in self.parts]}

    def still(self) -> Page:
        stills = [part.still() for _, part in self.parts]
        whole = prose("The live workbench.")
        return Page(
            html="".join([whole.html, *(one.html for one in stills)]),
            text="\n".join([whole.text, *(one.text for one in stills)]),
        )

    def __repr__(self) -> str:
        return f"Workbench({', '.join(repr(part) for _, part in self.parts)})"
