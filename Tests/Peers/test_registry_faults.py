# SPDX-License-Identifier: Apache-2.0
"""The faults that tests of clients can ask `mesher registry` for."""

import base64
import http.client
import json
import time

import pytest
import websockets.exceptions

from harness import eventually
from service_center import PING, PONG, Center
from test_registry import BASE, Registry


@pytest.fixture
def registry(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        running = Registry(log, options=["--faults"])
    yield running
    running.stop()


def test_nobody_may_ask_for_faults_without_the_option(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        plain = Registry(log)
    assert plain.raw("PUT", "/faults", b"{}")[0] == 404
    plain.stop()


def test_an_answer_is_refused_so_often(registry):
    answer = {"status": 429, "headers": {"Retry-After": "3"}, "body": '{"errorCode":"429001"}', "count": 2}
    registry.faults(rules=[{"method": "POST", "path": "/microservices$"} | answer])
    for _ in range(2):
        status, headers, body = registry.raw("POST", f"{BASE}/microservices", b"{}")
        assert (status, headers["Retry-After"], json.loads(body)) == (429, "3", {"errorCode": "429001"})
    assert registry.call("GET", "/microservices") == (200, {}), "others are not meant"
    assert registry.service()
    assert registry.hits() == [2]


def test_an_answer_is_late(registry):
    registry.faults(rules=[{"path": "/health", "delay": "300ms", "count": 1}])
    began = time.monotonic()
    assert registry.call("GET", "/health")[0] == 200
    assert time.monotonic() - began >= 0.3


def test_an_answer_is_lost_before_or_after_it_is_done(registry):
    for moment, expected in (("before", (200, {})), ("after", None)):
        registry.faults(rules=[{"method": "POST", "path": "/microservices", "lose": moment, "count": 1}])
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            registry.service()
        status, body = registry.call("GET", "/microservices")
        assert (status, body) == expected if expected else len(body["services"]) == 1


def test_a_watcher_is_refused_or_lost(registry):
    web = registry.service()
    registry.faults(rules=[{"path": "/watcher$", "status": 503, "count": 1}])
    with pytest.raises(websockets.exceptions.InvalidStatus):
        registry.watch(web)
    registry.faults(rules=[{"path": "/watcher$", "lose": "after", "count": 1}])
    with registry.watch(web) as socket, pytest.raises(websockets.exceptions.ConnectionClosed):
        socket.recv(timeout=5)
    assert registry.hits() == [1]
    with Center(f"http://127.0.0.1:{registry.port}").socket(f"/microservices/{web}/watcher") as socket:
        socket.send(PING)
        assert socket.frame()[0] == PONG, "it watches"
        assert registry.raw("POST", "/faults/unwatch")[0] == 200
        assert socket.frame() == (None, b"")


def test_everything_is_forgotten(registry):
    registry.instance(registry.service())
    assert registry.raw("POST", "/faults/wipe")[0] == 200
    assert registry.call("GET", "/microservices") == (200, {})


def test_deletions_are_held_back(registry):
    cart = registry.service()
    path = f"/microservices/{cart}/instances"
    registry.faults(holdDeletions="0s")
    registry.call("DELETE", f"{path}/{registry.instance(cart)}")
    assert registry.call("GET", path) == (200, {})
    registry.faults(holdDeletions="30s")
    registry.call("DELETE", f"{path}/{registry.instance(cart)}")
    assert len(registry.call("GET", path)[1]["instances"]) == 1
    registry.faults()


def test_accounts_need_tokens(registry):
    registry.faults(accounts={"root": "secret", "dev": "word"})

    def log_in(name, password, **more):
        body = json.dumps({"name": name, "password": password} | more)
        status, _, text = registry.raw("POST", "/v4/token", body)
        return status, json.loads(text)

    def ask(path, token=None):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, _, text = registry.raw("GET", BASE + path, headers=headers)
        return json.loads(text).get("errorCode", status)

    token = log_in("dev", "word", tokenExpirationTime="15m")[1]["token"]
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["account"], claims["roles"]) == ("dev", ["developer"])
    assert 890 <= claims["exp"] - time.time() <= 901
    assert (ask("/microservices"), ask("/microservices", token), ask("/microservices", "x")) == (
        "401204",
        200,
        "401201",
    )
    assert (ask("/health"), ask("/health", token)) == (200, "403205"), "a token that is shown is judged"
    assert ask("/health", log_in("root", "secret")[1]["token"]) == 200
    assert [log_in("dev", "no")[1]["errorCode"] for _ in range(4)] == ["401202"] * 3 + ["403201"]
    watcher = f"{BASE}/microservices/x/watcher"
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    assert registry.raw("GET", watcher, headers=upgrade)[::2] == (200, b""), "no 401 for an upgrade"
    registry.faults(accounts={"dev": "word"}, tokenLife="100ms")
    token = log_in("dev", "word")[1]["token"]
    eventually(lambda: ask("/microservices", token) == "401205", "the token stays good")


@pytest.mark.parametrize(
    "plan", ['{"rules": [{"path": "("}]}', '{"holdDeletions": "3"}', '{"rules": [{"lose": "soon"}]}']
)
def test_a_bad_plan_is_refused(registry, plan):
    assert registry.raw("PUT", "/faults", plan)[0] == 400
