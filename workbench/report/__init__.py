"""Reports: a packaged notebook, executed, and one HTML file that needs nothing else.

``notebooks`` finds notebooks and reads their parameters, ``kernel`` is the interpreter
they run in, ``page`` makes the HTML, ``reporting`` does it all.
"""

from __future__ import annotations

from workbench.report.notebooks import Parameter, names, parameters_of
from workbench.report.reporting import Report, report

__all__ = ["Parameter", "Report", "names", "parameters_of", "report"]
