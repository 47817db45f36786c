"""``workbench lab``: JupyterLab, on the notebook that shows the live workbench.

A copy of that notebook is put into the folder where there is none, and one that is there is left
as it is. JupyterLab gets one setting: saved notebooks keep what their widgets show.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copyfile
from urllib.parse import quote

from workbench.errors import WorkbenchError
from workbench.report.notebooks import start
from workbench.store import home

_SETTINGS = (("@jupyter-widgets/jupyterlab-manager:plugin", (("saveState", True),)),)


def lab(*, folder: Path | None, port: int | None, browser: bool) -> int:
    """Open it and wait until it is closed; its exit code.

    Raises:
        WorkbenchError: The notebook or the settings cannot be written.
    """
    try:
        notebook = _notebook(folder or Path())
        environment = os.environ | {"JUPYTER_CONFIG_PATH": _configured()}
    except OSError as error:
        raise WorkbenchError(
            f"{error.filename or folder} cannot be written: {error.strerror}.",
            remedy="Go to a folder of your own, or name one.",
        ) from error
    command = [sys.executable, "-m", "jupyterlab", str(notebook)]
    # The address that is printed, for a browser elsewhere, leads to the notebook, too.
    command += [f"--LabApp.default_url=/lab/tree/{quote(notebook.name)}"]
    command += [f"--port={port}"] if port is not None else []
    command += [] if browser else ["--no-browser"]
    # In a container everybody is root, and JupyterLab would only say how to start it all the same.
    command += ["--allow-root"] if os.geteuid() == 0 else []
    return subprocess.call(command, env=environment)  # noqa: S603


def _notebook(folder: Path) -> Path:
    """The notebook in the folder, or in a checkout's ``notebooks``; copied where there is none."""
    name = start().name
    there = [folder / "notebooks" / name, folder / name]
    for path in there:
        if path.is_file():
            return path
    folder.mkdir(parents=True, exist_ok=True)
    copyfile(start(), there[-1])
    return there[-1]


def _configured() -> str:
    """The search path of Jupyter's settings, with a folder of ours in front."""
    own = home().resolve() / "lab"
    (own / "labconfig").mkdir(parents=True, exist_ok=True)
    settings = {plugin: dict(values) for plugin, values in _SETTINGS}
    (own / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(settings))
    return os.pathsep.join([str(own), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])])
