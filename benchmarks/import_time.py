"""How long importing both packages takes, relative to `import jax, optax` (the bar: at most 1.5).

Fresh processes, the two imports taking turns so that a change of load hits both; the median of the ratios of
neighbours. Usage: python benchmarks/import_time.py [pairs]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
BASELINE, OURS = "jax, optax", "jaxsim, ensembles"


def import_seconds(modules: str) -> float:
    command = [sys.executable, "-c", TIMED.format(modules)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main(pairs: int = 9) -> None:
    for modules in (BASELINE, OURS):  # warm the file cache
        import_seconds(modules)
    times = [(import_seconds(BASELINE), import_seconds(OURS)) for _ in range(pairs)]
    baseline, ours = (statistics.median(column) for column in zip(*times))
    ratio = statistics.median(b / a for a, b in times)
    print(f"import {BASELINE}: {baseline:.3f} s   import {OURS}: {ours:.3f} s")
    print(f"median ratio {ratio:.2f} over {pairs} pairs (bar 1.5)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
