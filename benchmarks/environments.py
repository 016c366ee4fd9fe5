"""A virtual environment for every peer, made once and kept in benchmarks/.environments."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

DIRECTORY = Path(__file__).parent / ".environments"

JAX = ("jax==0.10.1", "jaxlib==0.10.1", "numpy==2.4.6")

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "tensorcircuit": ("tensorcircuit-ng==1.10.0", "optax==0.2.8", *JAX),
    "pennylane": ("pennylane==0.45.1", "pennylane-lightning==0.45.0", *JAX),
    "qulacs": ("qulacs==0.6.14", "numpy==2.4.6"),
    "qsim": ("qsimcirq==0.22.1", "cirq-core==1.7.0", "numpy==2.4.6"),
    "aer": ("qiskit==2.6.2", "qiskit-aer==0.18.2"),
    "divi": ("qoro-divi==0.15.1",),
    "qujax": ("qujax==1.1.0", *JAX),
}
"""Environment -> what is installed there. Edit a pin, and the environment is made anew at the next run."""


class InstallationError(Exception):
    """An environment could not be made; the text is the installer's last word."""


def python_of(name: str) -> Path:
    """The interpreter of an environment, which is made if need be.

    Raises:
        InstallationError: with what the installer said.
    """
    home = DIRECTORY / name
    stamp = home / "requirements.txt"
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    wanted = "\n".join((f"# Python {sys.version.split()[0]}", *REQUIREMENTS[name])) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted and python.exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(home))
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _run(str(python), *install, *REQUIREMENTS[name])
    stamp.write_text(wanted)
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise InstallationError(errors[-1] if errors else f"exit status {done.returncode}")
