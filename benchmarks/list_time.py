"""CPU time of ``csstcore list`` in a fresh process: median of 21 runs.

python benchmarks/list_time.py
"""

import resource
import statistics
import subprocess
import sys

RUNS = 21
COMMAND = [sys.executable, "-c", "from csstcore.cli.main import main; raise SystemExit(main())"]


def cpu_seconds(*arguments: str) -> float:
    """Return user plus system time of one run of csstcore with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    cpu_seconds("list")  # writes the bytecode
    for arguments in (["list"], ["list", "plugins"], ["list", "--json"]):
        times = [1000 * cpu_seconds(*arguments) for _ in range(RUNS)]
        print(
            f"csstcore {' '.join(arguments)}: {statistics.median(times):.0f} ms CPU "
            f"(median of {RUNS}; {min(times):.0f} to {max(times):.0f})"
        )


if __name__ == "__main__":
    main()
