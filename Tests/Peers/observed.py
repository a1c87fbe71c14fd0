# SPDX-License-Identifier: Apache-2.0
"""What operators see of a sidecar: the answers of its admin API, and its metrics as numbers."""

import http.client
import json
import re
import time
from contextlib import closing
from dataclasses import dataclass

import governance
from harness import answer, eventually

OUTGOING_CHAIN = (
    "cse.handler.chain.Consumer.outgoing: '{}router,ratelimiter-consumer,bizkeeper-consumer,loadbalance,transport'\n"
)
INCOMING_CHAIN = "cse.handler.chain.Provider.incoming: '{}ratelimiter-provider,transport'\n"
SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)')


def chains(outgoing=(), incoming=()):
    """The handler chains of chassis.yaml with further handlers in front of the usual ones."""
    return "".join(
        chain.format("".join(f"{each}," for each in names))
        for chain, names in ((OUTGOING_CHAIN, outgoing), (INCOMING_CHAIN, incoming))
    )


@dataclass
class Answer:
    """One answer of the admin API; names of fields in lower case."""

    status: int
    fields: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.fields.get("content-type", "").partition(";")[0]


def call(port, path, method="GET", body=None, host=None, **fields):
    """One request; underscores in the names of fields are hyphens."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.putrequest(method, path, skip_host=host is not None)
        if host:
            connection.putheader("Host", host)
        for name, value in fields.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


def samples(text):
    """The values of an exposition by name and labels, which are a frozen set of pairs."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            matched = SAMPLE.fullmatch(line)
            assert matched, f"no sample: {line}"
            key = matched[1], frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', matched[2] or ""))
            assert key not in found, f"twice: {line}"
            found[key] = float(matched[3])
    return found


class Metrics:
    """The metrics of a sidecar, and how they move from now on."""

    def __init__(self, sidecar):
        self.sidecar = sidecar
        self.before = self.now()

    def now(self):
        return samples(call(self.sidecar.admin, "/v1/mesher/metrics").body.decode())

    def families(self):
        """The names of what there is."""
        return {name for name, _ in self.now()}

    def labels(self, family, label):
        """The values of a label within a family."""
        return {dict(labels)[label] for name, labels in self.now() if name == family and label in dict(labels)}

    def sum(self, values, family, /, **labels):
        return sum(value for (name, has), value in values.items() if name == family and set(labels.items()) <= set(has))

    def value(self, family, /, **labels):
        """The sum of all series of a family that have these labels."""
        return self.sum(self.now(), family, **labels)

    def moved(self, /, *families, **labels):
        """By how much each family has moved, as it stands; series with these labels only."""
        now = self.now()
        return {each: self.sum(now, each, **labels) - self.sum(self.before, each, **labels) for each in families}


class Application(governance.Instance):
    """An instance that answers with the status that the path asks for: `/404`; anything else is 200."""

    def serve(self, connection):
        for request in connection.requests():
            if self.delay:
                time.sleep(self.delay)
            status = request.target.decode("latin-1").partition("?")[0].rpartition("/")[2]
            line = f"{status} Some Reason" if re.fullmatch("[2-5][0-9]{2}", status) else "200 OK"
            connection.send(answer(b"" if status == "204" else self.name.encode(), line))


def settle(world, metrics, service="ping"):
    """Returns when all that was asked before is counted: the one event loop has counted a later request."""
    before = metrics.value("requests_total", service_name=service)
    assert world.ask(service).status == 200
    eventually(lambda: metrics.value("requests_total", service_name=service) == before + 1, "ping is not counted")
