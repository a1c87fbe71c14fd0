# SPDX-License-Identifier: Apache-2.0
"""Istio as control plane at its safe ports: who it is, who the workload is, and the identity that it gets."""

import contextlib
import json
import re
import threading

import pytest

import harness
import istio  # noqa: F401  finds the control plane for tests
from controlplane import scenario
from controlplane.backends import Backends
from controlplane.identity import PILOT, Authority, SecureControlPlane, pem, token
from controlplane.proxies import Mesher
from harness import eventually

NAME = "spiffe://cluster.local/ns/default/sa/web"
# Pauses before another try are half a second to four while a test runs.
SOON = 15


@pytest.fixture(scope="module")
def backends():
    with Backends(["v1", "v2", "v3", "v3b"]) as backends:
        yield backends


class World:
    """A control plane with an authority, and a sidecar with the files that Istio would mount."""

    def __init__(self, backends, folder, **options):
        self.folder = folder
        self.authority = Authority()
        state = next(scenario.phases(scenario.read("split")))[1]
        resources = scenario.Mesh(state, backends.ports, {}).resources()
        self.plane = SecureControlPlane(resources, self.authority, **options)
        self.log = self.plane.log
        self.sidecar = Mesher()
        self.sidecar.settings = (
            "  istio:\n"
            f"    rootCertificate: {folder}/root.pem\n    tokenFile: {folder}/token\n    certificateDirectory: {folder}\n"
        )
        self.write("root.pem", pem(self.authority.root))
        self.write("token", token())

    def __enter__(self):
        self.plane.__enter__()
        self.sidecar.begin(self.plane)
        return self

    def __exit__(self, *_):
        self.sidecar.stop()
        self.plane.__exit__(None, None, None)

    def write(self, name, text):
        (self.folder / f"{name}.new").write_text(text)
        (self.folder / f"{name}.new").rename(self.folder / name)

    def health(self):
        with contextlib.suppress(OSError):
            return json.loads(self.sidecar.ask("/v1/mesher/health").body)["controlPlane"]
        return {"connected": False}

    def identity(self):
        return self.health().get("identity", {})

    def series(self, name):
        found = re.search(rf"^{name} (\S+)$", self.sidecar.ask("/v1/mesher/metrics").body.decode(), re.M)
        return float(found[1]) if found else None

    def connected(self):
        eventually(lambda: self.health()["connected"], lambda: f"no stream:\n{self.sidecar.tail()}", seconds=SOON)

    def events(self, kind):
        return [each for each in self.log.events if each["event"] == kind]

    def lines(self, *texts):
        return [
            line
            for line in self.sidecar.log.read_text(errors="replace").splitlines()
            if all(text in line for text in texts)
        ]

    def says(self, *texts):
        eventually(lambda: self.lines(*texts), lambda: f"{texts} is not told:\n{self.sidecar.tail()}", seconds=SOON)

    def ask(self):
        with harness.Client(("127.0.0.1", self.sidecar.port)) as client:
            client.send(b"GET http://istioserver:8080/ HTTP/1.1\r\nHost: istioserver:8080\r\n\r\n")
            return client.response().status


def test_a_stream_over_tls_with_a_token_and_an_identity(backends, tmp_path):
    with World(backends, tmp_path) as world:
        world.connected()
        eventually(lambda: world.ask() == 200, "no route", seconds=SOON)
        eventually(lambda: "name" in world.identity(), lambda: f"no identity:\n{world.sidecar.tail()}", seconds=SOON)
        assert world.identity()["name"] == NAME and "error" not in world.identity()
        signed = world.events("signed")
        assert [(each["name"], each["validity"], each["cluster"]) for each in signed] == [(NAME, 86400, "Kubernetes")]
        assert world.series("mesher_istio_certificate_expiry_timestamp_seconds") > 1e9
        assert world.series("mesher_istio_certificate_renewals_total") == 0
        assert world.log.violations == [] and world.events("refused") == []
        text = world.sidecar.log.read_text()
        assert "PRIVATE KEY" not in text and (tmp_path / "token").read_text() not in text
        answer = world.sidecar.ask("/v1/mesher/certificates").body
        (shown,) = json.loads(answer)["certificates"]
        assert (shown["tag"], shown["names"], shown["renews"]) == ("istio", [NAME], True)
        assert 86000 < shown["notAfter"] - shown["notBefore"] < 90000 and b"PRIVATE" not in answer


def test_the_next_stream_has_the_token_of_that_time(backends, tmp_path):
    with World(backends, tmp_path) as world:
        world.connected()
        assert {each["token"] for each in world.events("admitted")} == {"0"}
        world.write("token", token(number=1))
        world.plane.drop()
        eventually(lambda: world.events("admitted")[-1]["token"] == "1", "the old token is used", seconds=SOON)
        world.connected()
        assert world.ask() == 200


def test_a_control_plane_that_another_mesh_vouches_for_is_not_spoken_to(backends, tmp_path):
    world = World(backends, tmp_path)
    world.write("root.pem", pem(Authority().root))
    with world:
        world.says("the control plane cannot be reached", f"not vouched for by anybody in {tmp_path}/root.pem")
        assert not world.health()["connected"] and "root.pem" in world.health()["error"]
        assert world.events("open") == [] and world.events("signed") == []
        world.write("root.pem", pem(world.authority.root))
        world.connected()


def test_a_control_plane_of_another_name_is_not_spoken_to(backends, tmp_path):
    with World(backends, tmp_path, names=["other.istio-system.svc"]) as world:
        world.says("the control plane cannot be reached", "the certificate does not name this host")
        assert world.events("open") == []


def test_a_missing_token_is_named_until_it_is_there(backends, tmp_path):
    world = World(backends, tmp_path)
    (tmp_path / "token").unlink()
    with world:
        world.says("the control plane cannot be reached", f"{tmp_path}/token cannot be read: mount a token")
        world.write("token", token())
        world.connected()
        # Told once, however often it was tried.
        assert len([line for line in world.lines("token cannot be read") if "cannot be reached" in line]) == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (lambda: token(namespace="other"), "PERMISSION_DENIED"),
        (lambda: token(life=-1), "UNAUTHENTICATED"),
        (lambda: token()[:-3] + "abc", "UNAUTHENTICATED"),
    ],
    ids=["namespace", "expired", "signature"],
)
def test_a_token_that_is_refused_is_told_and_read_again(backends, tmp_path, wrong, status):
    world = World(backends, tmp_path)
    world.write("token", wrong())
    with world:
        world.says("the control plane does not let this workload in", status)
        eventually(lambda: status in world.health().get("error", ""), "health says nothing", seconds=SOON)
        eventually(lambda: status in world.identity().get("error", ""), "health has no identity", seconds=SOON)
        assert world.series("mesher_istio_certificate_expiry_timestamp_seconds") is None
        world.write("token", token())
        world.connected()
        eventually(lambda: world.identity().get("name") == NAME, "no identity", seconds=SOON)
        assert "error" not in world.identity()


def test_an_account_of_the_environment_has_to_be_that_of_the_token(backends, tmp_path):
    world = World(backends, tmp_path)
    world.sidecar.environment = {**world.sidecar.environment, "SERVICE_ACCOUNT": "somebody"}
    with world:
        world.says("the identity in the mesh is not proven yet", "PERMISSION_DENIED", "sa/somebody")
        assert "name" not in world.identity()


def test_certificates_are_renewed_at_half_of_their_life_and_no_request_fails(backends, tmp_path):
    with World(backends, tmp_path, life=6) as world:
        world.connected()
        eventually(lambda: "name" in world.identity(), "no identity", seconds=SOON)
        first, stop, statuses = world.identity()["notAfter"], threading.Event(), []

        def load():
            while not stop.is_set():
                statuses.append(world.ask())

        thread = threading.Thread(target=load)
        thread.start()
        try:
            eventually(
                lambda: (world.series("mesher_istio_certificate_renewals_total") or 0) >= 2, "no renewal", seconds=SOON
            )
            # The authority is away when the next one is due, and comes back.
            world.plane.fault = "no authority"
            eventually(lambda: "error" in world.identity(), "the failure is not told", seconds=SOON)
            world.says("not renewed: the old one stays in use", "the authority is away")
            assert world.identity()["name"] == NAME
            world.plane.fault = None
            eventually(lambda: "error" not in world.identity(), "not tried again", seconds=SOON)
        finally:
            stop.set()
            thread.join()
        assert world.identity()["notAfter"] > first
        assert set(statuses) == {200}
        # About three seconds lie between two, never as many as the whole life.
        times = [each["at"] for each in world.events("signed")][:3]
        assert all(2 < after - before < 5 for before, after in zip(times, times[1:], strict=False)), times


def test_new_authorities_are_taken_over_while_a_certificate_lives(backends, tmp_path):
    with World(backends, tmp_path) as world:
        world.connected()
        eventually(lambda: "name" in world.identity(), "no identity", seconds=SOON)
        world.write("root.pem", "nothing")
        world.says("the authorities of the mesh are not renewed: the old ones stay in use", "root.pem has no certificate")
        world.write("root.pem", pem(world.authority.root) + pem(Authority().root))
        world.says("the authorities of the mesh are renewed", "root.pem")
        assert len(world.events("signed")) == 1 and len(world.lines("the identity in the mesh is proven")) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("another name", "does not prove"),
        ("another key", "that of another key"),
        ("no root", "no certificate with its root"),
    ],
)
def test_a_certificate_that_is_of_no_use_is_not_used(backends, tmp_path, fault, words):
    world = World(backends, tmp_path)
    world.plane.fault = fault
    with world:
        world.says("the identity in the mesh is not proven yet", words)
        assert "name" not in world.identity() and words in world.identity()["error"]
        # Discovery does not wait for it.
        world.connected()
        world.plane.fault = None
        eventually(lambda: world.identity().get("name") == NAME, "not asked again", seconds=SOON)


@pytest.mark.parametrize("name", [PILOT, NAME], ids=["pilot", "somebody"])
def test_an_old_control_plane_wants_a_certificate_and_proves_its_account(backends, tmp_path, name):
    world = World(backends, tmp_path, names=[name], is_mutual=True, address="127.0.0.1:15011")
    chain, key = world.authority.pair(NAME)
    for file, text in {"cert-chain": chain, "key": key, "root-cert": pem(world.authority.root)}.items():
        world.write(f"{file}.pem", text)
    with world:
        if name == PILOT:
            world.connected()
            assert world.events("admitted")[0]["peer"] == NAME
        else:
            world.says("the control plane cannot be reached", f"in {tmp_path}/root-cert.pem")
            assert world.events("open") == []
