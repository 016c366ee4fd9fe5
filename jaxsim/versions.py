"""`show_versions`: what to put into a bug report."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

import jax

__all__ = ["show_versions"]

PACKAGES = (
    "jaxsim-ensembles",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "optax",
    "matplotlib",
    "networkx",
    "qiskit",
)


def show_versions() -> None:
    """Prints the versions of Python, the packages that matter, and the devices JAX sees.

    Starts JAX's backend if nothing has yet.
    """
    print(f"python            {sys.version.split()[0]} on {platform.platform()} ({os.cpu_count()} cores)")
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed"
        print(f"{package:<17} {version}")
    print(f"devices           {', '.join(map(str, jax.devices()))}")
    print(f"64-bit mode       {'on' if jax.config.read('jax_enable_x64') else 'off'}")
