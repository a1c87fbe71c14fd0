# SPDX-License-Identifier: Apache-2.0
"""Serves a scenario to a sidecar that was started by hand. Run in Tests/Istio:

python -m controlplane.serve [--address 127.0.0.1:15010] [--no-delta] SCENARIO

What is said goes to standard output, a line of JSON each. Every line on standard input begins the next phase; at its
end the control plane goes on with what it serves.
"""

import argparse
import contextlib
import sys
import threading
from pathlib import Path

from . import scenario
from .backends import Backends
from .run import control
from .server import ControlPlane, Log


def main():
    parser = argparse.ArgumentParser(prog="python -m controlplane.serve")
    parser.add_argument("scenario", help="name, or file")
    parser.add_argument("--address", default="127.0.0.1:15010")
    parser.add_argument("--no-delta", action="store_true", help="answer UNIMPLEMENTED, as Istio before 1.12")
    options = parser.parse_args()
    body = scenario.read(Path(options.scenario).stem)
    steps = scenario.phases(body)
    forms = ["sotw"] if options.no_delta else ["delta", "sotw"]
    log = Log(sys.stdout)
    with Backends(body.get("backends", ["a"])) as backends:
        phase, state = next(steps)
        resources = scenario.Mesh(state, backends.ports, {}).resources()
        with ControlPlane(resources, forms, options.address, log) as plane:
            log.write("serving", port=plane.port, backends=backends.ports)
            for _ in sys.stdin:
                if (step := next(steps, None)) is None:
                    break
                phase, state = step
                log.write("phase", name=phase["name"])
                control(plane, phase, scenario.Mesh(state, backends.ports, {}).resources())
            threading.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
