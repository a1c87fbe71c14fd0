# SPDX-License-Identifier: Apache-2.0
"""The control plane for tests of Istio: it serves in both forms, and notices what is against the protocol."""

import contextlib
import queue

import grpc
import pytest

import istio  # noqa: F401  finds the control plane
from controlplane import compare, scenario
from controlplane.messages import CLUSTER, ENDPOINT, ROUTE
from controlplane.server import FORMS, SERVICE, ControlPlane
from harness import table

NODE = {"id": "sidecar~127.0.0.1~web-0.default~default.svc.cluster.local"}
SHOP = "outbound|80||shop.default.svc.cluster.local"
END = object()


def resources(endpoints=("a",)):
    service = {"host": "shop.default.svc.cluster.local", "port": 80}
    service["endpoints"] = [{"backend": name} for name in endpoints]
    return scenario.Mesh({"services": [service]}, {"a": 1, "b": 2}, {}).resources()


class Dialogue:
    """A client that says what it is told to."""

    def __init__(self, plane, form):
        self.form, self.queue = FORMS[form], queue.Queue()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{plane.port}")
        call = self.channel.stream_stream(
            f"/{SERVICE}/{self.form.method}", lambda request: request.SerializeToString(), self.form.response.FromString
        )
        self.responses = call(iter(self.queue.get, END), timeout=10)

    def say(self, **fields):
        self.queue.put(self.form.request(**fields))

    def ask(self, **fields):
        self.say(**fields)
        return next(self.responses)

    def close(self):
        self.queue.put(END)
        with contextlib.suppress(grpc.RpcError):
            list(self.responses)
        self.channel.close()


@contextlib.contextmanager
def dialogue(form, forms=("delta", "sotw")):
    with ControlPlane(resources(), forms) as plane:
        client = Dialogue(plane, form)
        yield plane, client
        client.close()


def broken(plane):
    return [each["what"] for each in plane.log.violations]


@pytest.mark.parametrize("form", ["delta", "sotw"])
def test_everything_is_served_and_then_what_has_changed(form):
    with dialogue(form) as (plane, client):
        names = "resource_names_subscribe" if form == "delta" else "resource_names"
        clusters = client.ask(type_url=CLUSTER, node=NODE)
        assert len(clusters.resources) == 3
        wanted = {names: [SHOP]}
        endpoints = client.ask(type_url=ENDPOINT, **wanted)
        assert len(endpoints.resources) == 1
        plane.serve(resources(["b"]))
        changed = next(client.responses)
        assert (changed.type_url, len(changed.resources)) == (ENDPOINT, 1)
        assert changed.resources != endpoints.resources
    assert broken(plane) == []


def test_a_form_that_is_not_there_is_unimplemented():
    with dialogue("delta", ["sotw"]) as (_, client):
        with pytest.raises(grpc.RpcError) as error:
            client.ask(type_url=CLUSTER, node=NODE)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_refusal_is_not_served_again_until_something_changes():
    with dialogue("delta") as (plane, client):
        nonce = client.ask(type_url=ENDPOINT, node=NODE, resource_names_subscribe=[SHOP]).nonce
        client.say(type_url=ENDPOINT, response_nonce=nonce, error_detail={"code": 3, "message": "refused"})
        assert plane.settle()
        assert plane.log.refusals() == {"EDS": ["refused"]}
        assert sum(each["event"] == "response" for each in plane.log.events) == 1
        plane.serve(resources(["b"]))
        assert len(next(client.responses).resources) == 1


# What a client says after it has asked for all clusters; `<nonce>` is that of the answer.
MISTAKES = {
    "delta: change in an acknowledgement": (
        "delta",
        [{"type_url": CLUSTER, "response_nonce": "<nonce>", "resource_names_subscribe": ["x"]}],
        "subscription changed inside an acknowledgement, which Istio may drop",
    ),
    "delta: empty request": (
        "delta",
        [{"type_url": CLUSTER}],
        "request that neither acknowledges nor changes anything",
    ),
    "delta: answered twice": (
        "delta",
        [{"type_url": CLUSTER, "response_nonce": "<nonce>"}] * 2,
        "nonce of no response that waits for an answer",
    ),
    "delta: nonce of another type": (
        "delta",
        [{"type_url": ROUTE, "response_nonce": "<nonce>", "resource_names_subscribe": ["80"]}],
        "first request of a type with a nonce",
    ),
    "delta: versions later": (
        "delta",
        [{"type_url": CLUSTER, "resource_names_subscribe": ["x"], "initial_resource_versions": {"x": "1"}}],
        "initial_resource_versions after the first request of a type",
    ),
    "delta: no message": (
        "delta",
        [{"type_url": CLUSTER, "response_nonce": "<nonce>", "error_detail": {"code": 3}}],
        "refusal without a message",
    ),
    "delta: another node": (
        "delta",
        [{"type_url": ROUTE, "resource_names_subscribe": ["80"], "node": {"id": "sidecar~1.1.1.1~b.c~c.svc.d"}}],
        "node id changed on a stream",
    ),
    "delta: no type": ("delta", [{}], "request without type_url"),
    "sotw: another version": (
        "sotw",
        [{"type_url": CLUSTER, "response_nonce": "<nonce>", "version_info": "other"}],
        "acknowledgement of another version",
    ),
    "sotw: refused with its version": (
        "sotw",
        [
            {
                "type_url": CLUSTER,
                "response_nonce": "<nonce>",
                "version_info": "v1",
                "error_detail": {"code": 3, "message": "refused"},
            }
        ],
        "refusal whose version is not the last accepted",
    ),
    "sotw: no nonce": (
        "sotw",
        [{"type_url": CLUSTER, "response_nonce": "<nonce>", "version_info": "v1"}, {"type_url": CLUSTER}],
        "request without nonce after a response",
    ),
    "sotw: a name twice": (
        "sotw",
        [{"type_url": ROUTE, "resource_names": ["80", "80"]}],
        "resource_names repeats a name",
    ),
}


@table("form, requests, what", MISTAKES)
def test_a_mistake_is_noticed(form, requests, what):
    with dialogue(form) as (plane, client):
        nonce = client.ask(type_url=CLUSTER, node=NODE).nonce
        for request in requests:
            filled = {key: nonce if value == "<nonce>" else value for key, value in request.items()}
            client.say(**filled)
        client.close()
        assert broken(plane) == [what]


NODES = {
    "none": (None, "first request of the stream without node"),
    "Go client": (
        {"id": "sidecar~127.0.0.1~web-0~default"},
        "node id is not sidecar~ip~name.namespace~namespace.svc.domain",
    ),
    "two namespaces": (
        {"id": "sidecar~127.0.0.1~web-0.a~b.svc.cluster.local"},
        "node id is not sidecar~ip~name.namespace~namespace.svc.domain",
    ),
}


@table("node, what", NODES)
def test_a_wrong_node_is_noticed(node, what):
    with dialogue("delta") as (plane, client):
        client.ask(type_url=CLUSTER, node=node)
        assert broken(plane) == [what]


def answer(status, body="", backend=None, **fields):
    out = {"count": 1, "status": status, "body": body, "backend": backend, "headers": fields}
    return {key: value for key, value in out.items() if value}


TEXT = {"content-type": "text/plain"}
# What Envoy has answered, what the sidecar answers, and whether that is the same.
ANSWERS = {
    "own words for a failure": (
        answer(503, "no healthy upstream", **TEXT),
        {**answer(503, "lb: No available instance", **TEXT), "error": "no_endpoint"},
        True,
    ),
    "another status": (answer(503, "no healthy upstream"), {**answer(502, "lb"), "error": "no_endpoint"}, False),
    "words for a failure without any": (answer(404), {**answer(404, "no route", **TEXT), "error": "no_rule"}, True),
    "words for an answer without any": (answer(502), answer(502, "lb", **TEXT), False),
    "another text of the route": (answer(418, "made", **TEXT), answer(418, "tea", **TEXT), False),
    "another field": (answer(503, "no healthy upstream", a="b"), {**answer(503, "lb"), "error": "no_endpoint"}, False),
    "another backend": (answer(200, backend="a"), answer(200, backend="b"), False),
    "a failure of a backend": (answer(503, backend="a"), {**answer(503, "lb"), "error": "upstream_reset"}, False),
    "own message of a call": (
        answer(200, **{"grpc-status": "14", "grpc-message": "no healthy upstream"}),
        answer(200, **{"grpc-status": "14", "grpc-message": "lb"}),
        True,
    ),
    "another message of the route": (
        answer(200, **{"grpc-status": "14", "grpc-message": "fault filter abort"}),
        answer(200, **{"grpc-status": "14", "grpc-message": "lb"}),
        False,
    ),
}


@table("envoy, sidecar, is_same", ANSWERS)
def test_answers_are_compared(envoy, sidecar, is_same):
    assert compare.is_same([envoy], [sidecar]) == is_same
