# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario with one proxy."""

import contextlib
import time

from . import scenario
from .backends import Backends
from .probe import Asker
from .proxies import Envoy, Mesher
from .server import ControlPlane, Log

# A proxy may work with what it has accepted a moment later.
MOMENT = {"envoy": 0.3, "mesher": 0.1}


def control(plane, phase, resources):
    """Begins a phase: the stream ends, or the control plane leaves or comes back, and something else is served."""
    match phase.get("control"):
        case "drop":
            plane.drop()
        case "leave":
            plane.leave()
        case "return":
            plane.listen()
    plane.serve(resources)


class Phase:
    """What one phase came to: records of probes by name, types with refused responses, and what went wrong."""

    def __init__(self, name):
        self.name, self.records, self.refused, self.messages, self.problems = name, {}, [], {}, []


class Run:
    """A scenario, a proxy (`envoy` or `mesher`), and a form of the protocol (`delta`, `sotw` or `v2`)."""

    def __init__(self, name, proxy, form, log=None):
        self.name, self.proxy_name, self.form = name, proxy, form
        self.phases, self.violations, self.seconds, self.tail = [], [], 0, ""
        self.log = log or Log()

    def play(self):
        start = time.monotonic()
        body = scenario.read(self.name)
        steps = list(scenario.phases(body))
        with Backends(body.get("backends", ["a"])) as backends:
            tables = [scenario.Mesh(state, backends.ports, {}).tables() for _, state in steps]
            proxy = Envoy(tables, self.form) if self.proxy_name == "envoy" else Mesher(self.form)

            def resources(state):
                return scenario.Mesh(state, backends.ports, proxy.listeners).resources()

            asker = Asker(backends, proxy.port_of)
            with ControlPlane(resources(steps[0][1]), [self.form], log=self.log) as plane:
                proxy.start(plane)
                try:
                    for phase, state in steps:
                        self.phases.append(
                            self._phase(plane, asker, phase, phase["name"] != "base" and resources(state))
                        )
                finally:
                    self.violations = [f"{each['what']} ({each.get('type')})" for each in self.log.violations]
                    with contextlib.suppress(OSError):
                        self.tail = proxy.tail()
                    proxy.stop()
        self.seconds = time.monotonic() - start
        return self

    def _phase(self, plane, asker, phase, resources):
        out, mark = Phase(phase["name"]), 0
        if phase["name"] != "base":
            mark = len(self.log.events)
            control(plane, phase, resources)
        if phase.get("control") != "leave" and not plane.settle():
            out.problems.append(f"no answer to {plane.unanswered() or 'the control plane: no stream'}")
        time.sleep(phase.get("settle", MOMENT[self.proxy_name]))
        for probe in phase.get("probes", []):
            out.records[probe["name"]] = asker.ask(probe)
        if phase.get("control") != "leave":
            # What the probes have asked for is answered too.
            plane.settle()
        out.messages = self.log.refusals(mark)
        out.refused = sorted(out.messages)
        return out
