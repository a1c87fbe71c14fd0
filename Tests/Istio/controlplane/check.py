# SPDX-License-Identifier: Apache-2.0
"""Asks a proxy the scenarios by hand. Run in Tests/Istio:

python -m controlplane.check [--envoy | --mesher BINARY] [--form delta|sotw|v2] [--record] [--log FILE] [SCENARIO …]

Says where the sidecar does something else than Envoy has done; with --envoy, where Envoy does something else than its
recording says. --record writes the recordings anew, if Envoy does the same in both forms. --log keeps what is said
between the proxy and the control plane.
"""

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import FOLDER, compare, scenario
from .run import Run
from .server import Log


def recorded(name):
    """Records one scenario; gives what went wrong."""
    kept, problems = {}, []
    for form in ("delta", "sotw"):
        kept[form], wrong = compare.kept(Run(name, "envoy", form).play())
        problems += [f"({form}) {each}" for each in wrong]
    for phase, probes in kept["delta"].items():
        for probe, record in probes.items():
            if record != kept["sotw"][phase].get(probe):
                problems.append(f"{name} / {phase} / {probe}: {record} but sotw {kept['sotw'][phase].get(probe)}")
    if not problems:
        path = FOLDER / "oracle" / f"{name}.json"
        path.write_text(written(kept["delta"]))
    return problems


def written(recording):
    """JSON with a probe a line, so that a change shows."""
    phases = []
    for phase, probes in recording.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(record, sort_keys=True)}" for name, record in probes.items()]
        phases.append(f" {json.dumps(phase)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(phases) + "\n}\n"


def checked(name, proxy, form, log):
    """Asks one scenario; gives what went wrong."""
    run = Run(name, proxy, form, log and Log(log)).play()
    if proxy == "mesher":
        return compare.differences(run)
    kept, problems = compare.kept(run)
    for phase, probes in compare.recording(name).items():
        for probe, record in probes.items():
            if kept[phase].get(probe) != record:
                problems.append(f"{name} / {phase} / {probe}: {kept[phase].get(probe)}, recorded {record}")
    return problems


def main():
    parser = argparse.ArgumentParser(prog="python -m controlplane.check")
    parser.add_argument("scenarios", nargs="*", help="names, or files")
    parser.add_argument("--mesher", metavar="BINARY")
    parser.add_argument("--envoy", action="store_true")
    parser.add_argument("--form", choices=["delta", "sotw", "v2"], default="delta")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--log", metavar="FILE")
    options = parser.parse_args()
    if options.mesher:
        os.environ["MESHER_BIN"] = str(Path(options.mesher).resolve())
    names = [Path(name).stem for name in options.scenarios] or scenario.every()
    failed = 0
    with ThreadPoolExecutor(2 if options.record else 1) as pool:
        log = options.log and open(options.log, "w")
        proxy = "envoy" if options.envoy else "mesher"

        def one(name):
            return recorded(name) if options.record else checked(name, proxy, options.form, log)

        for name, problems in zip(names, pool.map(one, names), strict=True):
            print("\n".join([*problems, f"{name}: {len(problems) or 'nothing'} wrong"]), flush=True)
            failed += bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
