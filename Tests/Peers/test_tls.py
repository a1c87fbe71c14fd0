# SPDX-License-Identifier: Apache-2.0
"""TLS of traffic: listeners, connections to instances, who is let in, and what happens when certificates change."""

import contextlib
import json
import os
import queue
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import grpc
import pytest

import grpc_world
import harness
from authority import DAY, Authority
from harness import answer, binary, eventually

MUTUAL = {"verifyPeer": "true"}


def tls(tags):
    """The text of tls.yaml."""
    lines = [f'  {tag}.{key}: "{value}"\n' for tag, keys in tags.items() for key, value in keys.items()]
    return "ssl:\n" + "".join(lines)


class Sidecar(grpc_world.Sidecar):
    """A sidecar with TLS, and a local application in clear text."""

    def __init__(self, name, tags, services=(), rest=9, local=9):
        super().__init__(dict(services), {"tls.yaml": tls(tags)}, name=name, local=local)
        self.rest = rest

    def start(self):
        self.rest_port = f"{self.rest},grpc:{self.local}"
        harness.Sidecar.start(self)

    def failures(self, side, reason):
        return self.metric(f'mesher_tls_handshake_failures_total{{reason="{reason}",side="{side}"}}')


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    """An authority with its certificates in `pairs`, by name. Like most that are made by hand, they say no purpose."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    certificates = {
        "cart": {"dns": ["cart"], "uris": ["spiffe://mesh/cart"], "rsa": True},
        "web": {"dns": ["web"], "uris": ["spiffe://mesh/web"]},
        "expired": {"dns": ["cart"], "starts": -20 * DAY, "ends": -10 * DAY},
        "future": {"dns": ["cart"], "starts": 5 * DAY},
        "other": {"dns": ["other"]},
        "unnamed": {"common": "cart"},
        "wild": {"dns": ["*.shop.local"]},
        "locked": {"dns": ["cart"]},
    }
    authority.pairs = {name: authority.issue(name, usage=None, **options) for name, options in certificates.items()}
    # What openssl req encrypts keys with unless it is told otherwise.
    authority.pairs["locked"] = authority.encrypted(authority.pairs["locked"], "secret", "des3")
    stranger = Authority(authority.folder, "stranger")
    authority.pairs["foreign"] = stranger.issue("foreign", usage=None, dns=["cart"])
    return authority


@pytest.fixture(scope="module")
def origin():
    origin = harness.Origin()
    yield origin
    origin.refuse()


@pytest.fixture(scope="module")
def provider(ca, origin):
    """A sidecar whose listener of incoming HTTP wants certificates of its clients."""
    tags = {"cart.rest.Provider": {**ca.pairs["cart"].keys, **MUTUAL, "caFile": ca.certificate}}
    sidecar = Sidecar("cart", tags, rest=origin.port)
    sidecar.start()
    yield sidecar
    sidecar.stop()


def curl(ca, sidecar, *arguments, url="https://cart/x", certificate="web"):
    """What curl says: the HTTP version, the status and the body; or its error."""
    options = ["--cacert", ca.certificate, "--connect-to", f"::127.0.0.2:{sidecar.port}"]
    if certificate:
        pair = ca.pairs[certificate]
        options += ["--cert", pair.certificate, "--key", pair.key]
    done = subprocess.run(
        ["curl", "-sS", "-m", "5", "-w", " %{http_version} %{http_code}", *options, *arguments, url],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


# -- listeners ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--http2", "GET /x 0 2 200"),
        ("--http1.1", "GET /x 0 1.1 200"),
        ("--tlsv1.3", "GET /x 0 2 200"),
        ("--tls-max=1.2", "GET /x 0 2 200"),
        ("--no-alpn", "GET /x 0 1.1 200"),
    ],
)
def test_clients_with_a_certificate(ca, provider, option, said):
    assert curl(ca, provider, *option.split("=")) == said


@pytest.mark.parametrize("option", ["--http2", "--http1.1", "--no-alpn"])
def test_the_scheme_that_is_told_is_what_the_client_speaks(ca, provider, origin, option):
    assert curl(ca, provider, option, "-H", "X-Forwarded-Proto: http").endswith(" 200")
    assert origin.requests[-1].get("x-forwarded-proto") == b"https"


@pytest.mark.parametrize(
    "options",
    [
        ["--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0"],
        ["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-SHA"],
        ["--tls-max", "1.2", "--ciphers", "AES128-GCM-SHA256"],
    ],
    ids=["TLS 1.1", "no AEAD", "no forward secrecy"],
)
def test_what_is_not_safe_is_refused(ca, provider, origin, options):
    before = provider.failures("server", "protocol")
    origin.fresh()
    assert "curl: (35)" in curl(ca, provider, *options)
    eventually(lambda: provider.failures("server", "protocol") == before + 1, "not counted")
    assert not origin.connections


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [(None, "no_certificate"), ("expired", "expired"), ("future", "not_yet_valid"), ("foreign", "unknown_authority")],
)
def test_clients_that_are_not_let_in(ca, provider, origin, certificate, reason):
    before = provider.failures("server", reason)
    origin.fresh()
    assert curl(ca, provider, certificate=certificate).startswith("curl: (")
    eventually(lambda: provider.failures("server", reason) == before + 1, lambda: provider.tail())
    assert f"reason={reason}" in provider.log.read_text() and not origin.connections


def test_clear_text_is_refused(provider, origin):
    origin.fresh()
    before = provider.failures("server", "plain_text")
    with harness.Client(("127.0.0.2", provider.port)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: cart\r\n\r\n")
        assert b"HTTP" not in client.rest()[0]
    eventually(lambda: provider.failures("server", "plain_text") == before + 1, "not counted")
    assert not origin.connections


def test_a_client_that_says_nothing_is_not_waited_for(ca, origin):
    tags = {"cart.rest.Provider": ca.pairs["cart"].keys}
    sidecar = Sidecar("cart", tags, rest=origin.port)
    with open(sidecar.directory.name + "/chassis.yaml", "a") as file:
        file.write("mesher.timeouts.requestHead: 300ms\n")
    sidecar.start()
    with harness.Client(("127.0.0.2", sidecar.port)) as client:
        assert client.rest()[0] == b""
    eventually(lambda: sidecar.failures("server", "timeout") == 1, "not counted")
    # Without verifyPeer everybody is let in.
    assert curl(ca, sidecar, certificate=None) == "GET /x 0 2 200"
    sidecar.stop()


def test_names_that_clients_must_have(ca, origin):
    keys = {**ca.pairs["cart"].keys, **MUTUAL, "caFile": ca.certificate, "subjectAltNames": "spiffe://mesh/web,DNSNAME"}
    sidecar = Sidecar("cart", {"cart.rest.Provider": keys}, rest=origin.port)
    sidecar.start()
    assert curl(ca, sidecar) == "GET /x 0 2 200"
    origin.fresh()
    assert curl(ca, sidecar, certificate="other").startswith("curl: (")
    eventually(lambda: sidecar.failures("server", "wrong_name") == 1, "not counted")
    assert not origin.connections
    sidecar.stop()


def test_the_listener_of_the_application(ca, origin):
    tags = {"mesher.Provider": ca.pairs["web"].keys}
    services = {"cart": [f"rest://127.0.0.1:{origin.port}"]}
    sidecar = Sidecar("web", tags, services)
    sidecar.start()
    command = ["curl", "-sS", "--proxy-insecure", "-x", f"https://127.0.0.1:{sidecar.port}", "http://cart/x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.stdout == "GET /x 0", done.stderr
    sidecar.stop()


@pytest.mark.parametrize("is_right", [True, False])
def test_an_encrypted_key(ca, origin, tmp_path, is_right):
    password = tmp_path / "password"
    password.write_text("secret\n" if is_right else "wrong\n")
    keys = {**ca.pairs["locked"].keys, "certPwdFile": str(password)}
    sidecar = Sidecar("cart", {"cart.rest.Provider": keys}, rest=origin.port)
    if is_right:
        sidecar.start()
        assert curl(ca, sidecar) == "GET /x 0 2 200"
    else:
        with pytest.raises(AssertionError, match="locked.key makes no sense"):
            sidecar.start()
    sidecar.stop()


# -- connections to instances -------------------------------------------------------------------------------------------


class Server:
    """A TLS server of Python's, which tells what name it was asked for."""

    def __init__(self, ca, certificate, authorities=None, alpn=("http/1.1",), newest=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(ca.pairs[certificate].certificate, ca.pairs[certificate].key)
        self.context.set_alpn_protocols(list(alpn))
        if authorities:
            self.context.load_verify_locations(authorities)
            self.context.verify_mode = ssl.CERT_REQUIRED
        if newest:
            self.context.maximum_version = newest
        self.names, self.received, self.versions = [], b"", []
        self.context.sni_callback = lambda sock, name, context: self.names.append(name)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as secure:
            self.versions.append(secure.version())
            while data := secure.recv(1 << 16):
                self.received += data
                for _ in range(data.count(b"\r\n\r\n")):
                    secure.sendall(answer(b"secure"))

    def close(self):
        self.listener.close()


@contextlib.contextmanager
def caller(keys, server, service="cart", query=""):
    """The sidecar of a caller of this server."""
    tags = {f"{service}.rest.Consumer": keys} if keys is not None else {}
    sidecar = Sidecar("web", tags, {service: [f"rest://127.0.0.1:{server.port}{query}"]})
    sidecar.start()
    try:
        yield sidecar
    finally:
        sidecar.stop()
        server.close()


def ask(sidecar, service="cart"):
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        client.send(f"GET http://{service}/x HTTP/1.1\r\nHost: {service}\r\n\r\n".encode())
        return client.response()


def test_a_service_proves_its_name(ca):
    server = Server(ca, "cart", ca.certificate)
    with caller({**ca.pairs["web"].keys, **MUTUAL, "caFile": ca.certificate}, server) as sidecar:
        got = ask(sidecar)
        assert (got.status, got.body) == (200, b"secure")
    assert server.names == ["cart"] and server.versions == ["TLSv1.3"]


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        ("other", "wrong_name"),
        ("unnamed", "wrong_name"),
        ("wild", "wrong_name"),
        ("expired", "expired"),
        ("future", "not_yet_valid"),
        ("foreign", "unknown_authority"),
    ],
)
def test_services_that_prove_nothing(ca, certificate, reason):
    server = Server(ca, certificate)
    with caller({**MUTUAL, "caFile": ca.certificate}, server) as sidecar:
        got = ask(sidecar)
        assert (got.status, got.error) == (502, "connect_failed")
        eventually(lambda: sidecar.failures("client", reason) >= 1, sidecar.tail)
    assert server.received == b"", "not one octet of HTTP"


@pytest.mark.parametrize(
    ("service", "certificate", "keys"),
    [
        ("a.shop.local", "wild", {}),
        ("cart", "other", {"serverName": "other"}),
        ("cart", "cart", {"subjectAltNames": "spiffe://mesh/cart"}),
        ("cart", "cart", {"protocol": "TLSv1.3"}),
    ],
)
def test_other_names(ca, service, certificate, keys):
    server = Server(ca, certificate)
    with caller({**MUTUAL, "caFile": ca.certificate, **keys}, server, service) as sidecar:
        assert ask(sidecar, service).status == 200
    assert server.names == [keys.get("serverName", service)]


def test_tls13_only(ca):
    server = Server(ca, "cart", newest=ssl.TLSVersion.TLSv1_2)
    with caller({**MUTUAL, "caFile": ca.certificate, "protocol": "TLSv1.3"}, server) as sidecar:
        assert ask(sidecar).status == 502
        assert sidecar.failures("client", "protocol") >= 1


def test_an_instance_that_wants_tls_and_nobody_says_how(ca):
    server = Server(ca, "cart")
    with caller(None, server, query="?sslEnabled=true") as sidecar:
        got = ask(sidecar)
        assert got.status == 502 and b"ssl.cart.rest.Consumer" in got.body
    assert server.received == b""


def test_material_that_comes_later(ca, tmp_path):
    """A service's certificate authority that is not there yet keeps nobody else from being served."""
    server = Server(ca, "cart")
    root = tmp_path / "ca.crt"
    with caller({**MUTUAL, "caFile": str(root)}, server) as sidecar:
        assert ask(sidecar).status == 502
        assert "ca.crt cannot be read" in sidecar.log.read_text() and server.received == b""
        shutil.copy(ca.certificate, root)
        eventually(lambda: ask(sidecar).status == 200, sidecar.tail)


def test_without_verification_it_is_only_encrypted(ca):
    server = Server(ca, "foreign")
    with caller({"verifyPeer": "false"}, server, query="?sslEnabled=true") as sidecar:
        assert ask(sidecar).status == 200


# -- two sidecars -------------------------------------------------------------------------------------------------------


def test_two_sidecars_and_applications_in_clear_text(ca, origin):
    """The mesh encrypts and both sides prove who they are; neither application knows."""
    origin.fresh()
    service = grpc_world.Service()
    keys = {**MUTUAL, "caFile": ca.certificate}
    other = Sidecar(
        "cart", {"cart.rest.Provider": {**ca.pairs["cart"].keys, **keys}}, rest=origin.port, local=service.port
    )
    other.start()
    own = {**ca.pairs["web"].keys, **keys}
    places = [f"rest://127.0.0.2:{other.port}", f"grpc://127.0.0.2:{other.grpc}"]
    sidecar = Sidecar("web", {"cart.rest.Consumer": own, "cart.grpc.Consumer": own}, {"cart": places})
    sidecar.start()
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        for number in range(20):
            body = b"x" * number * 1000
            head = f"POST http://cart/{number} HTTP/1.1\r\nHost: cart\r\nContent-Length: {len(body)}\r\n\r\n"
            client.send(head.encode() + body)
            assert client.response("POST").body == b"POST /%d %d" % (number, len(body))
    # HTTP/2 between the two: one connection for all.
    assert sidecar.metric("mesher_upstream_connects_total") == 1
    with grpc_world.through_proxy(sidecar, "cart:80") as channel:
        assert channel.unary("Echo", b"x" * 100000) == b"x" * 100000
        requests = queue.Queue()
        call = channel.both("Hello", iter(requests.get, None))
        assert next(call) == b"hello"
        requests.put(None)
        assert list(call) == []
    # Whoever comes without a certificate stays outside.
    with grpc_world.Channel(f"127.0.0.2:{other.grpc}", ("grpc.enable_http_proxy", 0)) as channel:
        with grpc_world.refusal(grpc.StatusCode.UNAVAILABLE):
            channel.unary("Echo", timeout=1)
    sidecar.stop()
    other.stop()
    service.stop()


def test_a_websocket_between_two_sidecars(ca, origin):
    """HTTP/2 has no Upgrade: a connection of HTTP/1.1 is made for it."""
    origin.fresh()

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        connection.send(connection.read(5))

    keys = {**MUTUAL, "caFile": ca.certificate}
    other = Sidecar("cart", {"cart.rest.Provider": {**ca.pairs["cart"].keys, **keys}}, rest=origin.port)
    other.start()
    tags = {"cart.rest.Consumer": {**ca.pairs["web"].keys, **keys}}
    sidecar = Sidecar("web", tags, {"cart": [f"rest://127.0.0.2:{other.port}"]})
    sidecar.start()
    assert ask(sidecar).status == 200
    origin.fresh()
    origin.script = script
    with harness.Client(("127.0.0.1", sidecar.port)) as client:
        client.send(
            b"GET http://cart/ws HTTP/1.1\r\nHost: cart\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.head().status == 101
        client.send(b"hello")
        assert client.read(5) == b"hello"
    sidecar.stop()
    other.stop()


# -- rotation -----------------------------------------------------------------------------------------------------------


class Mounted:
    """Files behind a symbolic link, as Kubernetes mounts secrets."""

    def __init__(self, directory, pair):
        self.directory, self.count = Path(directory), 0
        self.put(pair)

    def put(self, pair):
        """Another certificate takes the place of the present one, all files at once."""
        self.count += 1
        version = self.directory / f"version-{self.count}"
        version.mkdir()
        shutil.copy(pair.certificate, version / "tls.crt")
        shutil.copy(pair.key, version / "tls.key")
        link = self.directory / "new"
        link.symlink_to(version.name)
        os.replace(link, self.directory / "data")

    @property
    def keys(self):
        return {"certFile": str(self.directory / "data/tls.crt"), "keyFile": str(self.directory / "data/tls.key")}


def presented(port):
    """The serial number of the certificate that a listener shows."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.2:{port}", "-servername", "cart"],
        input=b"", capture_output=True, timeout=10,
    )  # fmt: skip
    done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=done.stdout, capture_output=True, timeout=10)
    return int(done.stdout.decode().strip().partition("=")[2], 16)


def test_certificates_change_under_load(ca, origin, tmp_path):
    origin.fresh()
    first, second = (ca.issue(dns=["cart"]) for _ in range(2))
    mounted = Mounted(tmp_path, first)
    other = Sidecar("cart", {"cart.rest.Provider": mounted.keys}, rest=origin.port)
    other.start()
    own = {**MUTUAL, "caFile": ca.certificate}
    sidecar = Sidecar("web", {"cart.rest.Consumer": own}, {"cart": [f"rest://127.0.0.2:{other.port}"]})
    sidecar.start()
    stop, failures, count = threading.Event(), [], [0]
    context = ssl.create_default_context(cafile=ca.certificate)
    context.check_hostname = True

    def through_the_mesh():
        while not stop.is_set():
            if ask(sidecar).status != 200:
                failures.append("mesh")
            count[0] += 1

    def anew():
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.2", other.port), 4) as sock:
                    with context.wrap_socket(sock, server_hostname="cart") as secure:
                        secure.sendall(b"GET /x HTTP/1.1\r\nHost: cart\r\nConnection: close\r\n\r\n")
                        if not secure.recv(1000).startswith(b"HTTP/1.1 200"):
                            failures.append("answer")
            except OSError as error:
                failures.append(repr(error))

    def kept():
        with socket.create_connection(("127.0.0.2", other.port), 4) as sock:
            with context.wrap_socket(sock, server_hostname="cart") as secure:
                while not stop.is_set():
                    secure.sendall(b"GET /x HTTP/1.1\r\nHost: cart\r\n\r\n")
                    if not secure.recv(1000).startswith(b"HTTP/1.1 200"):
                        failures.append("kept")

    threads = [threading.Thread(target=each) for each in (through_the_mesh, anew, kept)]
    for thread in threads:
        thread.start()
    for pair in (second, first, second):
        mounted.put(pair)
        eventually(lambda pair=pair: presented(other.port) == pair.serial, "the new one is not shown")
    eventually(lambda: count[0] > 50, "no load")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]
    sidecar.stop()
    other.stop()


def test_useless_files_leave_the_old_in_use(ca, origin, tmp_path):
    good = ca.issue(dns=["cart"])
    mounted = Mounted(tmp_path, good)
    sidecar = Sidecar("cart", {"cart.rest.Provider": mounted.keys}, rest=origin.port)
    sidecar.start()
    failed = 'mesher_tls_reload_failed{tag="cart.rest.Provider"}'
    assert sidecar.metric(failed) == 0
    assert sidecar.metric('mesher_tls_certificate_expiry_seconds{tag="cart.rest.Provider"}') > 1.7e9
    certificate, key = tmp_path / "data/tls.crt", tmp_path / "data/tls.key"

    def alarmed(problem):
        eventually(lambda: sidecar.metric(failed) == 1, "no alarm")
        eventually(lambda: problem in sidecar.log.read_text(), sidecar.tail)
        assert "TLS material not renewed" in sidecar.log.read_text() and presented(sidecar.port) == good.serial
        mounted.put(good)
        eventually(lambda: sidecar.metric(failed) == 0, "the alarm stays")

    certificate.write_text("nonsense")
    alarmed("tls.crt makes no sense")
    key.unlink()
    alarmed("tls.key cannot be read")
    mounted.put(ca.pairs["expired"])
    alarmed("has expired")
    shutil.copy(ca.pairs["other"].key, key)
    alarmed("is not that of the certificate")
    sidecar.stop()


# -- check --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (lambda ca: {"certFile": "/nowhere.crt", "keyFile": "/nowhere.key"}, "/nowhere.crt cannot be read"),
        (lambda ca: ca.pairs["expired"].keys, "has expired"),
        (lambda ca: {**ca.pairs["cart"].keys, "keyFile": ca.pairs["other"].key}, "is not that of the certificate"),
        (lambda ca: {**ca.pairs["cart"].keys, **MUTUAL}, "there is no caFile"),
        (lambda ca: {**ca.pairs["cart"].keys, "cipherSuits": "TLS_NONSENSE"}, "unknown cipher suite [TLS_NONSENSE]"),
        (lambda ca: {"certFile": ca.pairs["cart"].certificate}, "a listener with TLS needs certFile and keyFile"),
        (lambda ca: {**ca.pairs["cart"].keys, "caFile": ca.pairs["cart"].key, **MUTUAL}, "cart.key makes no sense"),
        (lambda ca: {**ca.pairs["cart"].keys, "cipherPlugin": "aes"}, "aes"),
    ],
)
def test_check_names_the_mistake(ca, keys, said):
    sidecar = Sidecar("cart", {"cart.rest.Provider": keys(ca)})
    command = [binary(), "check", "--json"]
    environment = dict(os.environ, CHASSIS_CONF_DIR=sidecar.directory.name)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    report = json.loads(done.stdout)
    assert not report["valid"]
    assert [each for each in report["problems"] if said in each["problem"] and "tls.yaml" in each["file"]], report
    sidecar.directory.cleanup()


def test_check_warns_of_certificates_that_end_soon(ca):
    soon = ca.issue(dns=["cart"], ends=5 * DAY)
    sidecar = Sidecar("cart", {"cart.rest.Provider": soon.keys})
    environment = dict(os.environ, CHASSIS_CONF_DIR=sidecar.directory.name)
    done = subprocess.run([binary(), "check"], env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "warning" in done.stdout and "ends on" in done.stdout
    sidecar.directory.cleanup()
