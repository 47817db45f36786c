"""Reports: a packaged notebook, executed, and one HTML file that needs nothing else.

``notebooks`` finds notebooks and reads their parameters, ``kernel`` is the interpreter
they run in, ``running`` runs them, ``following`` tells how far they are, ``page`` makes
the HTML, ``tables`` the CSV, ``reporting`` does it all.
"""

from __future__ import annotations

from workbench.report.following import Step
from workbench.report.notebooks import Parameter, names, parameters_of
from workbench.report.reporting import Report, attempt, report

__all__ = ["Parameter", "Report", "Step", "attempt", "names", "parameters_of", "report"]
