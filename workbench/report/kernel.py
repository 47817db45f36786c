"""The kernel of reports: always the running interpreter, whatever kernels are installed."""

from __future__ import annotations

import os
import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from workbench.report.notebooks import checkout


class OwnKernel(AsyncKernelManager):
    """Starts ``sys.executable``; no kernel needs to be installed for it.

    A kernel called ``python3`` may belong to another environment, which has no
    workbench, or another one.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        """See the module."""
        # Without the log level the kernel complains of the interrupt that ends every kernel.
        command = ["-m", "ipykernel_launcher", "--log-level=50", "-f", "{connection_file}"]
        return KernelSpec(
            argv=[sys.executable, *command],
            display_name="Python 3",
            language="python",
            env=_environment(),
        )


def _environment() -> dict[str, str]:
    """What is added to the environment of this process."""
    added = {
        "PLOTLY_RENDERER": "plotly_mimetype",  # figures as JSON: the notebook stays small
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no remark of the debugger on stderr
    }
    source = checkout()
    if source is not None:  # it need not be installed
        paths = [str(source), str(source / "widgets"), os.environ.get("PYTHONPATH", "")]
        added["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return added
