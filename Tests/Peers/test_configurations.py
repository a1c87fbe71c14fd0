# SPDX-License-Identifier: Apache-2.0
"""Configuration folders as users of the original have them start, and their sidecars behave."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import harness
from authority import Authority
from harness import REPOSITORY, binary, eventually, request

FOLDERS = REPOSITORY / "Tests/Fixtures/Config"
ENVIRONMENTS = {
    "seed": {},
    "newest": {},
    "old-layout": {"SPECIFIC_ADDR": "10.0.0.1:{app}"},
    # What the start script of the original's container wrote into files.
    "container": {
        "SERVICE_NAME": "cart",
        "APP_ID": "shop",
        "VERSION": "1.2.0",
        "MD": "canary=no|shard=a",
        "OUTGOING_HANDLER": "router,loadbalance,transport",
        "REFRESH_INTERVAL": "5s",
        "CSE_REGISTRY_ADDR": "http://127.0.0.1:30100",
        "SERVICE_PORTS": "rest:{app}",
    },
}


class FolderSidecar(harness.Sidecar):
    """A sidecar of one of the folders: on 127.0.0.2, with a registry file instead of a registry."""

    def __init__(self, name, app, services):
        super().__init__(app, services)
        self.folder = FOLDERS / name
        if (self.folder / "tls.yaml").exists():
            # Its certificates belong to somebody else's machine: see test_tls_of_the_seed.
            self.folder = Path(shutil.copytree(self.folder, Path(self.directory.name, name)))
            lines = (self.folder / "tls.yaml").read_text().splitlines(keepends=True)
            (self.folder / "tls.yaml").write_text("".join(each for each in lines if "registry" in each or each == "ssl:\n"))
        variables = {key: value.format(app=app) for key, value in ENVIRONMENTS[name].items()}
        self.environment = {
            "PATH": os.environ["PATH"],
            "CHASSIS_CONF_DIR": str(self.folder),
            "HTTP_PORT": str(self.port),
            "ADMIN_PORT": str(self.admin),
            # The addresses of the files are not this machine's, as in a container.
            "mesher_listenIP": "127.0.0.2",
            **variables,
        }
        self.options = [
            "--cse.service.registry.type=file",
            "--cse.service.registry.serviceDiscovery.type=file",
            f"--cse.service.registry.address={self.directory.name}/services.yaml",
        ]
        if not {"SERVICE_PORTS", "SPECIFIC_ADDR"} & set(variables):
            self.options += ["--service-ports", f"rest:{app}"]

    def _write(self, services, timeouts, limits):
        super()._write(services, timeouts, limits)
        # The route rules of the folders ask for versions.
        entries = [
            f"{{name: {name}, instance: ["
            + ", ".join(
                f'{{endpoints: ["rest://127.0.0.1:{port}"], version: {version}, app: shop}}'
                for version in ("1.0.0", "2.0.0")
            )
            + "]}"
            for name, port in services.items()
        ]
        Path(self.directory.name, "services.yaml").write_text(f"service: [{', '.join(entries)}]\n")

    def run(self, *command):
        return subprocess.run(
            [binary(), *command, *self.options], env=self.environment, capture_output=True, text=True, timeout=20
        )

    def _launch(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [binary(), *self.options], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ask(self, path):
        with harness.Client(("127.0.0.2", self.admin)) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            return client.response()


@pytest.fixture(params=ENVIRONMENTS)
def folder(request):
    origin = harness.Origin()
    sidecar = FolderSidecar(request.param, origin.port, {"inventory": origin.port})
    sidecar.start()
    yield sidecar, origin
    sidecar.stop()
    origin.refuse()


def test_a_folder_of_the_original(folder):
    sidecar, origin = folder
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        client.send(request("GET", "http://inventory:8080/items", host="Host: inventory:8080"))
        assert client.response().status == 200
    outgoing = origin.requests[-1]
    assert dict(outgoing.fields)["x-cse-context"] == b'{"x-cse-src-microservice":"cart"}'
    assert dict(outgoing.fields)["x-forwarded-port"] == b"8080"
    with harness.Client(("127.0.0.2", sidecar.port)) as client:
        client.send(request("GET", "/own", host="Host: cart"))
        assert client.response().body == b"GET /own 0"
    health = json.loads(sidecar.ask("/v1/mesher/health").body)
    assert (health["serviceName"], health["version"]) == ("cart", "1.2.0")
    assert b'app="shop"' in sidecar.ask("/v1/mesher/metrics").body


def test_its_check_names_what_is_not_active(folder):
    sidecar, _ = folder
    done = sidecar.run("check", "--json")
    report = json.loads(done.stdout)
    assert report["valid"] and done.returncode == 0
    has_grpc = "grpc:" in (sidecar.folder / "chassis.yaml").read_text().replace("grpc://", "")
    grpc = ["grpc://127.0.0.2:40101"] if has_grpc else []
    assert report["endpoints"] == [
        f"rest://127.0.0.2:{sidecar.port}", *grpc, f"rest-admin://127.0.0.2:{sidecar.admin}"
    ]  # fmt: skip
    assert not [each for each in report["problems"] if "unknown" in each["problem"]]
    warnings = {each["problem"].partition(":")[0] for each in report["problems"] if each["severity"] == "warning"}
    assert warnings <= {"has no effect"}
    unread = {each["key"] for each in report["problems"]}
    log = sidecar.log.read_text()
    # Never silently: the start has named each of them too.
    assert all(key in log for key in unread)
    assert Path(sidecar.folder).name == "container" or unread


def test_without_a_registry_that_answers(folder):
    """As the folders stand, with a service-center: the sidecar serves incoming requests and says why nothing goes out."""
    sidecar, origin = folder
    sidecar.stop_process()
    sidecar.options = sidecar.options[3:]
    with sidecar.log.open("wb") as log:
        sidecar.process = subprocess.Popen(
            [binary(), *sidecar.options], env=sidecar.environment, stdout=log, stderr=log
        )
    for port in (sidecar.port, sidecar.admin):
        eventually(lambda port=port: harness.listens("127.0.0.2", port), "no listener", seconds=15)
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        client.send(request("GET", "http://inventory/", host="Host: inventory"))
        refused = client.response()
        assert (refused.status, refused.error) == (503, "not_ready")
    with harness.Client(("127.0.0.2", sidecar.port)) as client:
        client.send(request("GET", "/own", host="Host: cart"))
        assert client.response().body == b"GET /own 0"
    assert sidecar.ask("/readyz").status == 503


def test_tls_of_the_seed(tmp_path):
    """Without the files that it names the sidecar does not start, and says which; with them it does."""
    folder = Path(shutil.copytree(FOLDERS / "seed", tmp_path / "seed"))
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": str(folder), "mesher_listenIP": "127.0.0.2"}

    def check():
        done = subprocess.run([binary(), "check", "--json"], env=environment, capture_output=True, text=True, timeout=20)
        return json.loads(done.stdout)

    report = check()
    named = {each["problem"].split()[0]: each["severity"] for each in report["problems"]}
    # Connections wait for files that are better; a listener does not.
    assert not report["valid"] and named["/etc/ssl/cart.crt"] == "error" and named["/etc/ssl/ca.crt"] == "warning"
    Authority(tmp_path).issue("cart", dns=["cart"])
    text = (folder / "tls.yaml").read_text().replace("/etc/ssl", str(tmp_path))
    (folder / "tls.yaml").write_text(text)
    assert check()["valid"]
