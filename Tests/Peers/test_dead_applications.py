# SPDX-License-Identifier: Apache-2.0
"""An instance whose application is dead while its sidecar lives: for callers it is as if nobody had taken the call."""

import contextlib

import pytest

import governance
import harness
from couple import LOGGED, Couple, Sidecar
from harness import answer, eventually, request
from observed import Metrics

RETRIES = "cse.loadbalance: {retryEnabled: true, retryOnNext: 1}\n"
EJECTED = "mesher_endpoint_ejections_total"


class Pair:
    """Two instances of cart, each behind its own sidecar; a caller's sidecar that knows both."""

    def __init__(self, **files):
        self.stack = contextlib.ExitStack()
        self.origins = [governance.Instance(name) for name in ("alive", "dead")]
        for each in self.origins:
            self.stack.callback(each.refuse)
        self.alive, self.dead = self.origins
        self.sidecars = [
            self.stack.enter_context(Sidecar(rest_port=each.port, name="cart")) for each in self.origins
        ]
        services = {"cart": [each.instance for each in self.sidecars]}
        self.caller = self.stack.enter_context(Sidecar(services, chassis=LOGGED, **files))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def answers(self, count):
        """Statuses of GETs and POSTs in turn, one after the other on one connection."""
        statuses = []
        with harness.Client(("127.0.0.1", self.caller.port)) as client:
            for number in range(count):
                method = ("GET", "POST")[number % 2]
                body = b"hello" if method == "POST" else b""
                client.send(request(method, f"http://cart/{number}", f"Content-Length: {len(body)}", body=body))
                statuses.append(client.response().status)
        return statuses


@pytest.mark.parametrize("files", [{"load_balancing": RETRIES}, {}], ids=["retries_on", "defaults"])
def test_calls_go_to_the_other_instance(files):
    """All of them, the POSTs too: the sidecar of the dead one says that nobody saw the call. And it is left out."""
    with Pair(**files) as pair:
        metrics = Metrics(pair.caller)
        assert set(pair.answers(4)) == {200}
        pair.dead.refuse()
        pair.dead.fresh()
        assert pair.answers(60) == [200] * 60
        assert metrics.moved(EJECTED) == {EJECTED: 1}
        assert len(pair.alive.requests) == 60 + 2 and {each.body for each in pair.alive.requests} == {b"", b"hello"}
        # What it got before it was left out is all that its sidecar ever had to refuse.
        refused = Metrics(pair.sidecars[1]).value("mesher_errors_total", reason="connect_failed")
        assert 1 <= refused <= 10, refused


def test_an_application_that_comes_back():
    """It is used again when its time is over, and no call pays for the trial."""
    with Pair(load_balancing=RETRIES, mesher="mesher.outlier.baseEjectionTime: 200ms\n") as pair:
        pair.dead.refuse()
        pair.dead.fresh()
        pair.dead.script = pair.dead.serve
        assert pair.answers(20) == [200] * 20
        pair.dead.listen()

        def is_asked():
            assert pair.answers(4) == [200] * 4
            return pair.dead.requests

        eventually(is_asked, "never asked again")


@pytest.mark.parametrize("reason", ["connect_failed", "overloaded", "not_ready"])
def test_an_application_that_passes_on_such_an_answer(reason):
    """A gateway that calls others through its sidecar, and hands their 502 to its caller with all header fields.

    It has seen the call and may have done half of its work: a POST must not be made twice for that.
    """
    with Pair(load_balancing=RETRIES) as pair:
        body = answer(b"lb", "502 Bad Gateway", f"x-mesher-error: {reason}")
        for each in pair.origins:
            each.script = harness.replies(body)
        for number in range(4):
            with harness.Client(("127.0.0.1", pair.caller.port)) as client:
                client.send(request("POST", f"http://cart/{number}", "Content-Length: 5", body=b"hello"))
                assert client.response().status == 502
        assert sum(len(each.requests) for each in pair.origins) == 4


def test_an_application_that_answers_502_itself():
    """An answer of the application stays one: passed on, not repeated for a POST."""
    with Pair(load_balancing=RETRIES) as pair:
        for each in pair.origins:
            each.status = "502 Bad Gateway"
        assert pair.answers(8) == [502] * 8
        assert sum(len(each.requests) for each in pair.origins) == 8


def test_the_only_instance_is_dead():
    """Nobody else is there: the caller is told what the other sidecar said, and the log of each has its own line."""
    with Couple() as couple:
        couple.origin.refuse()
        with couple.connect() as client:
            client.send(request("GET", "http://cart/x"))
            response = client.response()
        assert (response.status, response.error) == (502, "connect_failed")

