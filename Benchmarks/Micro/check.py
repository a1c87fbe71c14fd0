#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions and allocations of one operation of each micro-benchmark, and compares with the thresholds.

    Benchmarks/Micro/check.py             compare; exit 1 when a figure is more than its tolerance above the threshold
    Benchmarks/Micro/check.py --write     make the figures of this run the thresholds

A benchmark is run twice under valgrind, with N and with 2 N operations; the difference leaves starting and ending out.
The figures depend on the compiler, so each of its versions has its own thresholds: Benchmarks/Thresholds/VERSION.json.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".build/release/mesher-micro"
PROGRAM = ROOT / ".build/release/mesher-micro-stripped"
OPERATIONS = {"scan": 2000, "forward": 2000, "exchange": 1000, "governed": 1000, "routed": 4000, "sampled": 1000,
              "continued": 1000, "traced": 2000}
# Instructions vary with what the C library picks for the processor, and a little with addresses; allocations do not.
INSTRUCTIONS, ALLOCATIONS = 1.10, 0.25
# Against an exchange without any of it: with rules, limits, breakers and retries; with 20 virtual hosts of 50 routes;
# with one span in a hundred, where the trace begins here; the same where it goes on, which takes two more fields in the head; with a span and a line of the access
# log each.
RATIOS = {"governed": 1.15, "routed": 1.12, "sampled": 1.05, "continued": 1.07, "traced": 1.25}


def count(pattern, tool, name, operations):
    """One figure of a run under a tool of valgrind."""
    command = ["valgrind", *tool, str(PROGRAM), name, str(operations)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    found = re.search(pattern, done.stderr)
    if done.returncode or not found:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return int(found.group(1).replace(",", ""))


def per_operation(name, pattern, *tool):
    operations = OPERATIONS[name]
    once, twice = (count(pattern, tool, name, times) for times in (operations, 2 * operations))
    return (twice - once) / operations


def measure(name):
    instructions = ["--tool=callgrind", "--callgrind-out-file=/dev/null"]
    allocations = ["--tool=memcheck", "--leak-check=no", "--undef-value-errors=no"]
    return {
        "instructions": round(per_operation(name, r"Collected : (\d+)", *instructions)),
        "allocations": round(per_operation(name, r"heap usage: ([\d,]+) allocs", *allocations), 2),
    }


def strip():
    """Valgrind cannot read the compiler's debug information."""
    subprocess.run(["strip", "-g", "-o", str(PROGRAM), str(BUILT)], check=True)


def main():
    strip()
    version = subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout
    version = re.search(r"Swift version (\d+\.\d+)", version).group(1)
    path = ROOT / f"Benchmarks/Thresholds/{version}.json"
    figures = {name: measure(name) for name in OPERATIONS}
    if "--write" in sys.argv:
        path.write_text(json.dumps(figures, indent=2) + "\n")
    if not path.exists():
        sys.exit(f"no thresholds for Swift {version}: {path} is missing; --write makes it")
    thresholds = json.loads(path.read_text())
    failed = False
    for name, figure in figures.items():
        limit = thresholds[name]
        bad = (
            figure["instructions"] > limit["instructions"] * INSTRUCTIONS
            or figure["allocations"] > limit["allocations"] + ALLOCATIONS
        )
        failed |= bad
        print(
            f"micro: {name}: {figure['instructions']} instructions ({limit['instructions']}),"
            f" {figure['allocations']:g} allocations ({limit['allocations']:g}){' TOO MUCH' if bad else ''}"
        )
    for name, most in RATIOS.items():
        ratio = figures[name]["instructions"] / figures["exchange"]["instructions"]
        failed |= ratio > most
        print(f"micro: {name} / exchange: {ratio:.3f} ({most}){' TOO MUCH' if ratio > most else ''}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
