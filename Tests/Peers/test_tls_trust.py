# SPDX-License-Identifier: Apache-2.0
"""T1 to T3: TLS of both listeners and towards instances; who is refused, and that no octet of HTTP came before it.

Certificates are those of authority.py, sidecars and their peers those of secure.py. Sidecars are shared by tests that
do not change them; each listener that refuses somebody is also one that takes others, which a test of its own shows.
"""

import contextlib
import re
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import harness
import secure
import wire
from authority import BOTH, CLIENT, DAY, DNS, HOUR, MAIL, SERVER, URI, Authority
from harness import CLOSE, answer, eventually, request, table
from secure import HANDSHAKE, INCOMING, NOTICED, OUTGOING, client_context, failing, refused, refused_in_clear

V10, V11, V12, V13 = (getattr(ssl.TLSVersion, f"TLSv1{suffix}") for suffix in ("", "_1", "_2", "_3"))
# Without a word for it in the specification: whatever does not mislead.
UNNAMED = ("other", "unknown_authority")
SPIFFE = "spiffe://mesh/ns/shop/sa/"
RELOAD_FAILED, EXPIRY = "mesher_tls_reload_failed", "mesher_tls_certificate_expiry_seconds"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """An authority that nobody trusts, of the same name."""
    return Authority(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="module")
def web(ca):
    """What listeners show. TLS 1.2 has to be possible with the suites of the original, which are for RSA."""
    return ca.issue(dns=["web"], ips=[OUTGOING, INCOMING], rsa=True)


@pytest.fixture(scope="module")
def shared_app():
    """The application behind sidecars, in clear; at the same time the service cart."""
    app = harness.Origin()
    app.entry = f'{{endpoints: ["rest://127.0.0.1:{app.port}"]}}'
    yield app
    app.refuse()


@pytest.fixture
def app(shared_app):
    """The application, which has seen nothing yet, and sees nothing but strict HTTP/1.1."""
    shared_app.fresh()
    yield shared_app
    assert shared_app.violations == []
    shared_app.fresh()


@pytest.fixture(scope="module")
def one_way(ca, web, shared_app):
    """Nobody has to prove who it is. A version that is broken is asked for in vain."""
    sealed = secure.Instance(ca.issue(dns=["sealed"]), query="?sslEnabled=true")
    tags = {"web.rest.Provider": web.keys, "mesher.Provider": web.keys | {"protocol": "TLSv1.0"}}
    services = {"cart": [shared_app], "sealed": [sealed]}
    with secure.running("web", tags, services, shared_app.port) as sidecar:
        sidecar.sealed = sealed
        yield sidecar
    sealed.refuse()


@pytest.fixture(scope="module")
def mutual(ca, web, shared_app):
    """Callers need a certificate. The own application may use one suite of TLS 1.2, and gRPC has its own pair."""
    grpc = ca.issue(dns=["web"])
    tags = {
        "web.rest.Provider": web.keys | {"caFile": ca.certificate, "verifyPeer": True},
        "web.grpc.Provider": grpc.keys | {"verifyPeer": False},
        "mesher.Provider": web.keys | {"cipherSuits": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
    }
    with secure.running("web", tags, {"cart": [shared_app]}, shared_app.port) as sidecar:
        sidecar.grpc_pair = grpc
        yield sidecar


@pytest.fixture(scope="module")
def named(ca, web, shared_app):
    """Callers need a certificate with one of two names. The own application has to speak TLS 1.3."""
    names = {"subjectAltNames": f"{SPIFFE}buyer, buyer.shop"}
    tags = {
        "web.rest.Provider": web.keys | {"caFile": ca.certificate, "verifyPeer": True} | names,
        "mesher.Provider": web.keys | {"protocol": "TLSv1.3"},
    }
    mesher = "mesher.timeouts: {requestHead: 500ms, keepAlive: 500ms}\n"
    with secure.running("web", tags, {"cart": [shared_app]}, shared_app.port, mesher=mesher) as sidecar:
        yield sidecar


class Door:
    """A listener, and the request that it takes."""

    def __init__(self, sidecar, address):
        self.sidecar, self.address = sidecar, (address, sidecar.port)
        self.outgoing = address == OUTGOING
        self.target, self.host = ("http://cart/x", "cart") if self.outgoing else ("/x", "web")

    @property
    def octets(self):
        return request("GET", self.target, host=f"Host: {self.host}")

    def connect(self, context, **options):
        return secure.Client(self.address, context, **options)

    def works(self, context, **options):
        """One answer; gives the version and suite of the connection."""
        with self.connect(context, **options) as client:
            response = client.get(self.target, self.host)
            assert (response.status, response.body) == (200, b"GET /x 0")
            return client.sock.version(), client.sock.cipher()[0]

    def refuses(self, context, *reasons):
        with failing(self.sidecar, "server", *reasons):
            refused(self.address, context, octets=self.octets)


@pytest.fixture(params=[INCOMING, OUTGOING], ids=["incoming", "outgoing"])
def door(request, one_way, app):
    """Both listeners of the sidecar that takes everybody."""
    return Door(one_way, request.param)


# -- T1: versions, suites, protocols --------------------------------------------------------------------------------


def curl(*arguments):
    """What curl prints, the body first, then what was asked for with `-w`."""
    done = subprocess.run(["curl", "-sS", "-m", "5", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("protocol, spoken", [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl(one_way, app, ca, version, protocol, spoken):
    """A client of every day, with both versions of TLS and of HTTP."""
    printed = curl(
        *("--cacert", ca.certificate, "--resolve", f"web:{one_way.port}:{INCOMING}", protocol),
        *(f"--tlsv{version}", "--tls-max", version, "-w", " %{http_code} %{http_version}"),
        f"https://web:{one_way.port}/x",
    )
    assert printed == f"GET /x 0 200 {spoken}"


def test_curl_through_the_outgoing_listener(one_way, app, ca):
    """The own application may call through TLS as well: an HTTPS proxy, to curl."""
    proxy = ("--proxy", f"https://{OUTGOING}:{one_way.port}", "--proxy-cacert", ca.certificate)
    assert curl(*proxy, "-w", " %{http_code}", "http://cart/x") == "GET /x 0 200"


@pytest.mark.parametrize("version", [V12, V13])
def test_versions(door, ca, version):
    """The suites are those with forward secrecy and authenticated encryption."""
    spoken, suite = door.works(client_context(ca, versions=[version]))
    assert spoken == version.name.replace("_", ".")
    assert re.fullmatch(r"(TLS|ECDHE-RSA)[-_](AES(_)?(128|256)[-_]GCM|CHACHA20[-_]POLY1305)[-_]?.*", suite), suite


def test_the_newest_version_is_preferred(door, ca):
    assert door.works(client_context(ca))[0] == "TLSv1.3"


@pytest.fixture(scope="module")
def lax(web):
    """A server that takes what nobody should, to show that the clients of the tests really offer it."""
    server = secure.Instance(web, versions=[V10, V13], ciphers="ALL", alpn=())
    yield server
    server.refuse()


def offered(lax, context):
    """What a server that takes everything agrees on with this client."""
    with secure.Client((OUTGOING, lax.port), context) as client:
        assert client.get().status == 200
        return client.sock.version(), client.sock.cipher()[0]


@pytest.mark.parametrize("version", [V10, V11])
def test_broken_versions_are_refused(door, app, ca, lax, version):
    context = client_context(ca, versions=[version])
    assert offered(lax, context)[0] == ("TLSv1" if version is V10 else "TLSv1.1")
    door.refuses(context, "protocol")
    assert app.octets == b""


@pytest.mark.parametrize(
    "suite",
    ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA384"],
)
def test_weak_suites_are_refused(door, app, ca, lax, suite):
    """Neither an exchange of keys by RSA, nor CBC."""
    context = client_context(ca, versions=[V12], ciphers=suite)
    assert offered(lax, context) == ("TLSv1.2", suite)
    door.refuses(context, "protocol", "other")
    assert app.octets == b""


@pytest.mark.parametrize(
    "offer, chosen", [(["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (None, None)]
)
def test_protocol_by_negotiation(door, ca, offer, chosen):
    """HTTP/2 where the client can, HTTP/1.1 otherwise and without the extension."""
    context = client_context(ca, alpn=offer)
    with door.connect(context) as client:
        assert client.sock.selected_alpn_protocol() == chosen
    if chosen != "h2":
        door.works(context)


@pytest.mark.parametrize(
    "octets",
    [b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n", b"GET http://cart/x HTTP/1.1\r\nHost: cart\r\n\r\n",
     b"CONNECT cart:443 HTTP/1.1\r\nHost: cart:443\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
    ids=["origin-form", "absolute-form", "connect", "http2"],
)  # fmt: skip
def test_plain_text_is_refused(door, app, octets):
    with failing(door.sidecar, "server", "plain_text"):
        refused_in_clear(door.address, octets)
    assert app.octets == b""


def test_a_handshake_that_is_none(door, app, ca):
    """Records of TLS with nonsense in them end the connection, and nobody else's."""
    with door.connect(client_context(ca)) as kept:
        with failing(door.sidecar, "server", "other", "protocol"):
            refused_in_clear(door.address, b"\x16\x03\x01\x00\x20" + b"\xff" * 32 + door.octets)
        assert app.octets == b""
        assert kept.get(door.target, door.host).status == 200


def test_a_handshake_in_pieces(door, ca):
    """Octets that come one by one are the same handshake, and the same request."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(ca).wrap_bio(incoming, outgoing, server_hostname="web")
    with harness.Client(door.address) as client:

        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    for octet in outgoing.read():
                        client.send(bytes([octet]))
                    data = client.sock.recv(1 << 16)
                    assert data, "ended"
                    incoming.write(data)

        until_done(tls.do_handshake)
        tls.write(door.octets)
        assert until_done(lambda: tls.read(1 << 16)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("octets", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01"], ids=["silent", "stuck"])
def test_a_handshake_that_does_not_go_on_is_ended(named, octets):
    """L2: whoever connects and says nothing, or not enough, is not waited for."""
    with harness.Client((INCOMING, named.port)) as client:
        client.sock.settimeout(12)
        client.send(octets)
        data, ended = client.rest()
    assert ended and data[:1] in (b"", b"\x15"), data


def test_no_renegotiation(one_way, app, ca):
    """Who asks for a second handshake on a connection loses it."""
    command = ["openssl", "s_client", "-connect", f"{INCOMING}:{one_way.port}", "-tls1_2", "-CAfile", ca.certificate]
    process = subprocess.Popen(
        [*command, "-servername", "web"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        printed = b""
        for word, step in ((b"Verify return code: 0 (ok)", b"R\n"), (b"RENEGOTIATING", b"")):
            while word not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            process.stdin.write(step)
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"GET /x HTTP/1.1\r\nHost: web\r\n\r\n")
            process.stdin.flush()
        printed += process.stdout.read()
        process.wait(5)
    finally:
        process.kill()
        process.communicate()
    assert b"HTTP/1.1" not in printed
    assert app.octets == b""


def test_one_suite(mutual, app, ca):
    """cipherSuits is what TLS 1.2 may use; TLS 1.3 has its own."""
    door = Door(mutual, OUTGOING)
    assert door.works(client_context(ca, versions=[V12])) == ("TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384")
    door.refuses(client_context(ca, versions=[V12], ciphers="ECDHE-RSA-AES128-GCM-SHA256"), "protocol", "other")
    assert door.works(client_context(ca, versions=[V13], ciphers="ECDHE-RSA-AES128-GCM-SHA256"))[0] == "TLSv1.3"


def test_only_the_newest_version(named, app, ca):
    """protocol is the oldest version."""
    door = Door(named, OUTGOING)
    assert door.works(client_context(ca))[0] == "TLSv1.3"
    door.refuses(client_context(ca, versions=[V12]), "protocol")
    assert app.octets.count(b"GET ") == 1


def test_which_pair_a_grpc_listener_shows(one_way, mutual, ca, web):
    """That of gRPC, else that of HTTP; the outgoing one that of mesher."""
    context = client_context(ca, alpn=["h2"])
    for sidecar, address, pair in (
        (one_way, INCOMING, web),
        (one_way, OUTGOING, web),
        (mutual, INCOMING, mutual.grpc_pair),
        (mutual, OUTGOING, web),
    ):
        with secure.Client((address, sidecar.grpc), context) as client:
            assert client.serial == pair.serial
            assert client.sock.selected_alpn_protocol() == "h2"


# -- T2: who may call -----------------------------------------------------------------------------------------------


def impostors(ca, other):
    """Certificates that nobody may be let in with, on either side, and the reasons: a function of the names."""
    return {
        "expired": (lambda **san: ca.issue(**san, starts=-2 * DAY, ends=-HOUR), ["expired"]),
        "early": (lambda **san: ca.issue(**san, starts=HOUR), ["not_yet_valid"]),
        "foreign": (lambda **san: other.issue(**san), UNNAMED),
        "lonely": (lambda **san: ca.self_signed(*san["dns"]), ["unknown_authority"]),
        "orphan": (lambda **san: other.below().issue(**san), UNNAMED),
        "minted": (lambda **san: Authority(ca.folder, signer=ca.issue(**san)).issue(**san), UNNAMED),
        # It is not the last certificate of the chain that has expired, which is all that some libraries tell about.
        "outlived": (lambda **san: ca.below(starts=-2 * DAY, ends=-HOUR).issue(**san), ["expired", *UNNAMED]),
    }


IMPOSTORS = list(impostors(None, None))


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("kind", [None, *IMPOSTORS, "server only"])
def test_callers_that_are_refused(mutual, app, ca, other, kind, version):
    """Without a certificate, or with one that does not count. In TLS 1.3 the caller has sent its request by then."""
    if kind is None:
        pair, reasons = None, ["no_certificate"]
    elif kind == "server only":
        pair, reasons = ca.issue(dns=["buyer"], usage=SERVER), UNNAMED
    else:
        make, reasons = impostors(ca, other)[kind]
        pair = make(dns=["buyer"])
    Door(mutual, INCOMING).refuses(client_context(ca, pair, versions=[version]), *reasons)
    assert app.octets == b""


@pytest.mark.parametrize("version", [V12, V13])
@pytest.mark.parametrize("kind", ["plain", "client only", "below another", "no name"])
def test_callers_that_are_taken(mutual, app, ca, kind, version):
    pair = {
        "plain": lambda: ca.issue(dns=["buyer"]),
        "client only": lambda: ca.issue(dns=["buyer"], usage=CLIENT),
        "below another": lambda: ca.below().issue(dns=["buyer"]),
        "no name": lambda: ca.issue(),
    }[kind]()
    door = Door(mutual, INCOMING)
    assert door.works(client_context(ca, pair, versions=[version]))[0] == version.name.replace("_", ".")
    assert len(app.requests) == 1


def test_strict_means_no_plain_text(mutual, app):
    with failing(mutual, "server", "plain_text"):
        refused_in_clear((INCOMING, mutual.port), request("GET", "/x", host="Host: web"))
    assert app.octets == b""


BUYER = f"{SPIFFE}buyer"


@table(
    "san",
    {
        "uri": {"uris": [BUYER]},
        "dns": {"dns": ["buyer.shop"]},
        "one of several": {"dns": ["a.shop", "buyer.shop"], "uris": [f"{SPIFFE}a"]},
        "uri among dns": {"dns": ["a.shop", "b.shop"], "uris": [BUYER]},
    },
)
def test_names_that_are_taken(named, app, ca, san):
    assert Door(named, INCOMING).works(client_context(ca, ca.issue(**san)))
    assert len(app.requests) == 1


@table(
    "san",
    {
        "none, only CN": {"common": "buyer.shop"},
        "an empty list, and CN": {"common": "buyer.shop", "san": []},
        "an empty name": {"common": "buyer.shop", "san": [(DNS, b"")]},
        "an empty uri": {"san": [(URI, b"")]},
        "another": {"dns": ["seller.shop"], "uris": [f"{SPIFFE}seller"]},
        "a longer one": {"dns": ["buyer.shop.example"], "uris": [f"{BUYER}2"]},
        "a shorter one": {"dns": ["buyer.sho"], "uris": [BUYER[:-1]]},
        "more before it": {"dns": ["xbuyer.shop"], "uris": [f"x{BUYER}"]},
        "a path below": {"uris": [f"{BUYER}/"]},
        "another trust domain": {"uris": ["spiffe://mesh.evil/ns/shop/sa/buyer"]},
        "capitals": {"uris": [BUYER.replace("mesh", "Mesh")]},
        "percent-encoded": {"uris": [BUYER.replace("buyer", "%62uyer")]},
        "NUL and more": {"san": [(DNS, b"buyer.shop\0.evil"), (URI, BUYER.encode() + b"\0.evil")]},
        "NUL at the end": {"san": [(DNS, b"buyer.shop\0"), (URI, BUYER.encode() + b"\0")]},
        "uri as dns": {"san": [(DNS, BUYER.encode())]},
        "dns as uri": {"san": [(URI, b"buyer.shop")]},
        "mail": {"san": [(MAIL, b"buyer.shop")]},
        "two in one": {"san": [(DNS, b"a,buyer.shop"), (URI, f"{SPIFFE}a,{BUYER}".encode())]},
        "everything": {"san": [(DNS, b"*"), (DNS, b"*.*"), (URI, b"*"), (URI, b"spiffe://*")]},
    },
)
def test_names_that_are_refused(named, app, ca, san):
    """The name is compared octet by octet with those of the certificate that are of its kind, and never with CN."""
    # The library may refuse the odd ones already for their form.
    reasons = ["wrong_name", *(["other", "several_identities"] if "san" in san else [])]
    Door(named, INCOMING).refuses(client_context(ca, ca.issue(**san)), *reasons)
    assert app.octets == b""


@table(
    "options, reason",
    {
        "two identities": ({"uris": [BUYER, f"{SPIFFE}a"]}, "several_identities"),
        "two, and a name": ({"dns": ["buyer.shop"], "uris": [f"{SPIFFE}a", "urn:b"]}, "several_identities"),
        "an authority": ({"uris": [BUYER], "is_authority": True, "speaks": True}, "authority"),
        "an authority by name": ({"dns": ["buyer.shop"], "is_authority": True, "speaks": True}, "authority"),
    },
)
def test_certificates_that_are_no_identity(named, app, ca, options, reason):
    """One URI and no more, and never the certificate of an authority, whatever else stands in it."""
    Door(named, INCOMING).refuses(client_context(ca, ca.issue(**options)), reason)
    assert app.octets == b""


# -- T2: whom the sidecar calls -------------------------------------------------------------------------------------

WILD = "cart.shop.example"
# Names of a server's certificate that are not those of the service `cart`.
WRONG_NAMES = {
    "another": {"dns": ["other"]},
    "commononly": {"common": "cart"},
    "emptylist": {"common": "cart", "san": []},
    "emptyname": {"common": "cart", "san": [(DNS, b"")]},
    "nul": {"san": [(DNS, b"cart\0.evil")]},
    "nulatend": {"san": [(DNS, b"cart\0")]},
    "longer": {"dns": ["cart.evil", "cart2", "xcart"]},
    "asuri": {"san": [(URI, b"cart")]},
    "asmail": {"san": [(MAIL, b"cart")]},
    "address": {"common": "cart", "ips": [OUTGOING]},
    "star": {"dns": ["*", "c*", "*t"]},
}
# The same for cart.shop.example: wildcards are a whole label, the leftmost one, and stand for exactly one.
WRONG_WILDCARDS = {
    "inside": {"dns": ["cart.*.example"]},
    "last": {"dns": ["cart.shop.*"]},
    "partial": {"dns": ["c*.shop.example", "*t.shop.example", "ca*rt.shop.example"]},
    "twice": {"dns": ["*.*.example"]},
    "higher": {"dns": ["*.example", "*"]},
    "deeper": {"dns": ["*.cart.shop.example"]},
    "dotless": {"dns": ["*shop.example", "*cart.shop.example"]},
    "wildnul": {"san": [(DNS, b"*.shop.example\0.evil")]},
    "wilduri": {"san": [(URI, b"*.shop.example")]},
}
WRONG_IDENTITIES = {
    "onlydns": {"dns": ["onlydns"]},
    "spiffelonger": {"uris": [f"{SPIFFE}cart2"]},
    "spiffenul": {"san": [(URI, f"{SPIFFE}cart\0".encode())]},
    "spiffedns": {"san": [(DNS, f"{SPIFFE}cart".encode())]},
}


@pytest.fixture(scope="module")
def shop(ca, other, shared_app):
    """A sidecar that has to be sure whom it calls, by one service for each case: instances in `to`, by service."""
    own = ca.issue(dns=["shop"])
    made = {}

    def serve(name, pair=None, **options):
        made[name] = secure.Instance(pair or ca.issue(dns=[name]), **options)

    # Those that it may call.
    serve("good")
    serve("silent", alpn=())
    serve("marked", query="?sslEnabled=true")
    serve("renamed", ca.issue(dns=["other.example"]))
    serve("wild", ca.issue(dns=["*.shop.example"]))
    serve("spiffe", ca.issue(dns=["a"], uris=[f"{SPIFFE}spiffe"]))
    serve("signer", ca.issue(dns=["signer"], is_authority=True, speaks=True))
    serve("several", ca.issue(dns=["third.example"]))
    serve("below", ca.below().issue(dns=["below"]))
    serve("serveronly", ca.issue(dns=["serveronly"], usage=SERVER))
    serve("anybody", other.issue(dns=["nobody"], ends=-HOUR / 2))
    serve("older", ca.issue(dns=["older"], rsa=True), versions=[V12])
    serve("older-ecdsa", versions=[V12])
    serve("suite", ca.issue(dns=["suite"], rsa=True), versions=[V12])
    serve("newer")
    serve("strict", client_authority=ca)
    serve("one", ca.issue(dns=["one", "two"]))
    serve("cut")
    # Those that it may not.
    for name, (make, _) in impostors(ca, other).items():
        serve(name, make(dns=[name]))
    serve("clientonly", ca.issue(dns=["clientonly"], usage=CLIENT))
    serve("spiffetwo", ca.issue(uris=[f"{SPIFFE}a", f"{SPIFFE}spiffe"]))
    serve("spiffesigner", ca.issue(uris=[f"{SPIFFE}spiffe"], is_authority=True, speaks=True))
    for name, san in (WRONG_NAMES | WRONG_WILDCARDS | WRONG_IDENTITIES).items():
        serve(name, ca.issue(usage=BOTH, **san))
    serve("broken", ca.issue(dns=["broken"], rsa=True), versions=[V10, V11])
    serve("weak", ca.issue(dns=["weak"], rsa=True), versions=[V12], ciphers="AES128-SHA:ECDHE-RSA-AES128-SHA")
    serve("behind", ca.issue(dns=["behind"], rsa=True), versions=[V12])
    serve("foreignclients", client_authority=other)
    plain = harness.Origin()
    plain.entry = f'{{endpoints: ["rest://127.0.0.1:{plain.port}"]}}'
    services = {name: [instance] for name, instance in made.items()}
    services |= {"two": [made["one"]], "plain": [plain]}
    services |= {"pair": [made["expired"], secure.Instance(ca.issue(dns=["pair"]))]}
    made["plain"] = plain

    tags = {"rest.Consumer": own.keys | {"caFile": ca.certificate, "verifyPeer": True}}
    tags |= {f"{name}.rest.Consumer": {"serverName": "cart"} for name in WRONG_NAMES}
    tags |= {f"{name}.rest.Consumer": {"serverName": WILD} for name in ("wild", *WRONG_WILDCARDS)}
    tags |= {f"{name}.rest.Consumer": {"subjectAltNames": f"{SPIFFE}cart"} for name in WRONG_IDENTITIES}
    tags |= {
        "renamed.rest.Consumer": {"serverName": "other.example"},
        "spiffe.rest.Consumer": {"subjectAltNames": f"{SPIFFE}spiffe"},
        "spiffetwo.rest.Consumer": {"subjectAltNames": f"{SPIFFE}spiffe"},
        "spiffesigner.rest.Consumer": {"subjectAltNames": f"{SPIFFE}spiffe"},
        "several.rest.Consumer": {"subjectAltNames": f"{SPIFFE}x, second.example,third.example"},
        "anybody.rest.Consumer": {"verifyPeer": False},
        "suite.rest.Consumer": {"cipherSuits": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"},
        "newer.rest.Consumer": {"protocol": "TLSv1.3"},
        "behind.rest.Consumer": {"protocol": "TLSv1.3"},
    }
    with secure.running("shop", tags, services, shared_app.port) as sidecar:
        sidecar.own, sidecar.to = own, made
        yield sidecar
    for instance in {each for instances in services.values() for each in instances}:
        instance.refuse()


def ask(sidecar, service, method="GET", path="/x", body=b"", client=None):
    """One answer of a service, through the outgoing listener in clear."""
    fields = [f"Content-Length: {len(body)}"] if body else []
    octets = request(method, f"http://{service}{path}", *fields, body=body, host=f"Host: {service}")
    with contextlib.nullcontext(client) if client else harness.Client((OUTGOING, sidecar.port)) as used:
        used.send(octets)
        return used.response(method)


def called(shop, name):
    """Asks a service that may be asked; gives what its server saw of the handshake."""
    instance = shop.to[name]
    for _ in range(3):
        response = ask(shop, name)
        assert (response.status, response.body) == (200, b"GET /x 0"), f"{response.body}\n{shop.tail()}"
    (handshake,) = instance.handshakes
    assert instance.violations == [] and instance.requests[0].host == name.encode()
    return handshake


@pytest.mark.parametrize(
    "name, asked",
    [("good", "good"), ("silent", "silent"), ("marked", "marked"), ("below", "below"), ("serveronly", "serveronly"),
     ("renamed", "other.example"), ("wild", WILD), ("anybody", "anybody")],
)  # fmt: skip
def test_whom_it_calls(shop, name, asked):
    """Requests in clear become one connection with TLS. It asks for the service, or for serverName."""
    handshake = called(shop, name)
    assert (handshake.error, handshake.version, handshake.name) == (None, "TLSv1.3", asked)


@pytest.mark.parametrize("name", ["spiffe", "several", "signer"])
def test_identities(shop, name):
    """subjectAltNames takes the place of the name that is compared; without a URI a server may be an authority."""
    assert called(shop, name).error is None


@pytest.mark.parametrize(
    "name, version, suites",
    [("older", "TLSv1.2", r"ECDHE-RSA-(AES(128|256)-GCM-SHA\d+|CHACHA20-POLY1305)"),
     ("older-ecdsa", "TLSv1.2", r"ECDHE-ECDSA-(AES(128|256)-GCM-SHA\d+|CHACHA20-POLY1305)"),
     ("suite", "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384"), ("newer", "TLSv1.3", "TLS_.*")],
)  # fmt: skip
def test_versions_and_suites_towards_instances(shop, name, version, suites):
    handshake = called(shop, name)
    assert handshake.version == version and re.fullmatch(suites, handshake.cipher)


def test_own_certificate(shop):
    """Who wants to know gets the certificate of the sidecar."""
    assert called(shop, "strict").peer_serial == shop.own.serial


def uncalled(shop, name, *reasons):
    """Asks a service that must not be asked: 502, and its server has not seen one octet of HTTP."""
    instance = shop.to[name]
    with failing(shop, "client", *reasons):
        response = ask(shop, name)
    assert (response.status, response.error) == (502, "connect_failed")
    instance.until(lambda: instance.handshakes)
    # The alert that ends a handshake may still be on its way.
    instance.quiet()
    assert {each.first for each in instance.handshakes} == {HANDSHAKE}, "in clear"
    assert instance.octets == b""


@pytest.mark.parametrize("name", IMPOSTORS)
def test_whom_it_does_not_call(shop, ca, other, name):
    uncalled(shop, name, *impostors(ca, other)[name][1])


@pytest.mark.parametrize("name, reason", [("spiffetwo", "several_identities"), ("spiffesigner", "authority")])
def test_certificates_that_are_no_identity_of_servers(shop, name, reason):
    uncalled(shop, name, reason)


@pytest.mark.parametrize("name", ["broken", "behind"])
def test_versions_that_it_does_not_use(shop, name):
    uncalled(shop, name, "protocol")


def test_suites_that_it_does_not_use(shop):
    uncalled(shop, "weak", "protocol", "other")


def test_a_certificate_of_clients_is_none_of_servers(shop):
    uncalled(shop, "clientonly", *UNNAMED)


@pytest.mark.parametrize("name", [*WRONG_NAMES, *WRONG_WILDCARDS, *WRONG_IDENTITIES])
def test_names_of_servers(shop, name):
    """Only whole names count, and wildcards only in the leftmost label; CN, other kinds of names, and NUL never."""
    san = (WRONG_NAMES | WRONG_WILDCARDS | WRONG_IDENTITIES)[name]
    uncalled(shop, name, "wrong_name", *(["other"] if "san" in san else []))


def test_a_server_in_clear(shop):
    """Who does not answer with TLS gets nothing in clear, and no second try without."""
    plain = shop.to["plain"]

    def script(connection):
        connection.read(5)
        connection.perform([answer(b"in clear", "400 Bad Request", "Connection: close"), CLOSE])

    plain.script = script
    with failing(shop, "client", "plain_text", "protocol", "other"):
        response = ask(shop, "plain")
    assert (response.status, response.error) == (502, "connect_failed")
    assert {each.received[0] for each in plain.connections} == {HANDSHAKE}
    assert b"HTTP/1.1\r\n" not in plain.octets and b"GET" not in plain.octets


def test_a_server_that_does_not_want_it(shop):
    """In TLS 1.3 the refusal comes after what the client thinks is the end of the handshake."""
    instance = shop.to["foreignclients"]
    response = ask(shop, "foreignclients")
    assert response.status == 502
    instance.until(lambda: instance.handshakes)
    assert all(each.error for each in instance.handshakes) and instance.octets == b""


def test_another_instance_is_taken(shop):
    """U3: one of two instances has let its certificate expire. Nothing was sent to it, so that POST is safe too."""
    for method, body in (("GET", b""), ("POST", b"hello")):
        for _ in range(10):
            assert ask(shop, "pair", method, body=body).status == 200
    assert shop.to["expired"].octets == b""


def test_one_address_of_two_services(shop):
    """A connection is of one service: the name and the identity were checked for that."""
    for _ in range(2):
        for name in ("one", "two"):
            assert ask(shop, name).status == 200
    instance = shop.to["one"]
    assert [each.name for each in instance.handshakes] == ["one", "two"]
    hosts = [{each.host for each in wire_requests(connection)} for connection in instance.connections]
    assert hosts == [{b"one"}, {b"two"}]


@pytest.mark.parametrize("first", ["in clear", "unverified"])
def test_no_service_gets_the_connection_of_a_laxer_one(ca, other, app, first):
    """Two services at one address: what the first may do without TLS, or without a proof, the second may not."""
    server = app if first == "in clear" else secure.Instance(other.issue(dns=["strict"]))
    if first == "in clear":
        app.script = without_tls
    tags = {"strict.rest.Consumer": {"caFile": ca.certificate, "verifyPeer": True}}
    if first == "unverified":
        tags["lax.rest.Consumer"] = {"verifyPeer": False}
    with secure.running("web", tags, {"lax": [server], "strict": [server]}) as sidecar:
        assert ask(sidecar, "lax").status == 200
        assert ask(sidecar, "strict").status == 502
        assert ask(sidecar, "lax").status == 200
    assert {each.host for each in server.requests} == {b"lax"}
    if server is not app:
        server.refuse()


def without_tls(connection):
    """Answers in clear; who wants a handshake is not served."""
    if connection.sock.recv(1, socket.MSG_PEEK) == bytes([HANDSHAKE]):
        connection.finish(connection.close)
    else:
        harness.echo(connection)


def wire_requests(connection):
    """The requests without a body that came over a connection, read again."""
    left = [bytes(connection.received)]
    reader = wire.Reader(lambda: left.pop() if left else b"")
    return list(iter(lambda: wire.read_request(reader), None))


@pytest.mark.parametrize("is_clean", [True, False], ids=["whole", "cut"])
def test_a_body_that_ends_with_the_connection(shop, is_clean):
    """Without the word that TLS has for the end, a body that lasts until the end is cut, and the client must see it."""
    instance = shop.to["cut"]

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\nhalf a body")
        if is_clean:
            with contextlib.suppress(OSError):
                connection.sock.unwrap()
        connection.finish(connection.close)

    instance.script = script
    if is_clean:
        assert ask(shop, "cut").body == b"half a body"
    else:
        with pytest.raises((wire.Truncated, ConnectionError)):
            response = ask(shop, "cut")
            assert response.status == 502, response
            raise wire.Truncated(response)


def test_marked_endpoint_without_consumer_tls(one_way, app, ca):
    """sslEnabled=true says that there must be TLS; where nothing says how, nothing is sent in clear."""
    with secure.Client((OUTGOING, one_way.port), client_context(ca)) as client:
        response = client.get("http://sealed/x", "sealed")
        assert (response.status, response.error) == (502, "connect_failed")
        assert client.get("http://cart/x", "cart").status == 200
    assert one_way.sealed.connections == []


# -- keys of tls.yaml -----------------------------------------------------------------------------------------------


def test_precedence(ca, app):
    """Keys without a tag are for everybody, also for the own application; those of a tag are stronger."""
    own = ca.issue(dns=["web", "cart", "stranger"], rsa=True)
    cart, stranger = secure.Instance(own, client_authority=ca), secure.Instance(ca.issue(dns=["nobody"]))
    tags = {
        "": own.keys | {"caFile": ca.certificate, "verifyPeer": True},
        "web.rest.Provider": {"verifyPeer": False},
        "mesher.Provider": {"protocol": "TLSv1.3"},
    }
    with secure.running("web", tags, {"cart": [cart], "stranger": [stranger]}, app.port) as sidecar:
        incoming, outgoing = Door(sidecar, INCOMING), Door(sidecar, OUTGOING)
        assert incoming.works(client_context(ca, versions=[V12]))[0] == "TLSv1.2"
        outgoing.refuses(client_context(ca), "no_certificate")
        outgoing.refuses(client_context(ca, own, versions=[V12]), "protocol")
        assert outgoing.works(client_context(ca, own))[0] == "TLSv1.3"
        assert cart.good[0].peer_serial == own.serial
        with failing(sidecar, "client", "wrong_name"), outgoing.connect(client_context(ca, own)) as client:
            assert client.get("http://stranger/x", "stranger").status == 502
        assert stranger.octets == b""
    cart.refuse()
    stranger.refuse()


def test_encrypted_keys(ca, app):
    """certPwdFile, with keys in the form of today and in the older one, and towards instances that ask for a pair."""
    plain = ca.issue(dns=["web"])
    pairs = [ca.encrypted(plain), ca.encrypted(plain, "another one", "traditional"), ca.encrypted(plain)]
    cart = secure.Instance(ca.issue(dns=["cart"]), client_authority=ca)
    tags = {"web.rest.Provider": pairs[0].keys, "mesher.Provider": pairs[1].keys, "cart.rest.Consumer": pairs[2].keys}
    with secure.running("web", tags, {"cart": [cart]}, app.port) as sidecar:
        for address in (INCOMING, OUTGOING):
            assert Door(sidecar, address).works(client_context(ca))
        assert cart.good[0].peer_serial == plain.serial
        log = sidecar.log.read_text()
        assert "s3cret phrase" not in log and "another one" not in log
    cart.refuse()


# -- between sidecars -----------------------------------------------------------------------------------------------

SECRET = "what-nobody-may-read"


@pytest.fixture(scope="module")
def between(ca, other, shared_app):
    """web calls cart: two sidecars, both applications in clear, and a tap on what is between them."""
    web, cart = (ca.issue(dns=[name], uris=[f"{SPIFFE}{name}"]) for name in ("web", "cart"))
    trust = {"caFile": ca.certificate, "verifyPeer": True}
    provider = {"cart.rest.Provider": cart.keys | trust | {"subjectAltNames": f"{SPIFFE}web"}}
    with secure.running("cart", provider, rest_port=shared_app.port) as callee:
        tap = secure.Tap((INCOMING, callee.port))
        consumer = {"cart.rest.Consumer": web.keys | trust}
        with secure.running("web", consumer, {"cart": [tap]}) as caller:
            yield SimpleNamespace(caller=caller, callee=callee, tap=tap, web=web)
        tap.close()


@pytest.fixture
def mesh(between, app):
    """The two sidecars, behind which the application has seen nothing yet."""
    return between


@pytest.mark.parametrize("method, size", [("GET", 0), ("POST", 5), ("PUT", 3 << 20)])
def test_two_sidecars(mesh, app, method, size):
    """What one application sends in clear the other gets in clear, and nobody between them can read it."""
    body = (SECRET.encode() * (size // len(SECRET) + 1))[:size]
    app.script = mirror
    with harness.Client((OUTGOING, mesh.caller.port)) as client:
        for index in range(3):
            response = ask(mesh.caller, "cart", method, f"/{SECRET}/{index}", body, client)
            assert (response.status, bytes(response.body)) == (200, body)
    assert [each.target for each in app.requests] == [f"/{SECRET}/{index}".encode() for index in range(3)]
    assert set(mesh.tap.firsts) == {HANDSHAKE}
    assert SECRET.encode() not in mesh.tap.carried and b"HTTP/1.1" not in mesh.tap.carried


def mirror(connection):
    """Answers with the body of the request."""
    for each in connection.requests():
        connection.send(answer(bytes(each.body)))


def test_a_stream_between_two_sidecars(mesh, app):
    """Pieces of a body are not held back by either of them."""

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two", b"three"):
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            assert gone_on.acquire(timeout=harness.PATIENCE), "the client did not get a piece"
        connection.send(b"0\r\n\r\n")

    gone_on = threading.Semaphore(0)
    app.script = script
    with harness.Client((OUTGOING, mesh.caller.port)) as client:
        client.send(request("GET", "http://cart/stream"))
        assert client.head().status == 200
        for piece in (b"one", b"two", b"three"):
            assert client.chunk() == piece
            gone_on.release()
        assert client.chunk() == b""


def test_many_at_once_between_two_sidecars(mesh, app):
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda index: ask(mesh.caller, "cart", path=f"/{index}").status, range(200)))
    assert statuses == [200] * 200
    assert mesh.caller.failures() == {} and len(app.requests) == 200


@pytest.mark.parametrize("kind", ["nobody", "thief", "in clear"])
def test_who_goes_around_the_sidecar(mesh, app, ca, kind):
    """Others in the network reach the application neither without a certificate, nor with one of another service."""
    address = (INCOMING, mesh.callee.port)
    if kind == "in clear":
        with failing(mesh.callee, "server", "plain_text"):
            refused_in_clear(address, request("GET", "/x", host="Host: cart"))
    else:
        pair = ca.issue(dns=["web"], uris=[f"{SPIFFE}thief"]) if kind == "thief" else None
        with failing(mesh.callee, "server", "wrong_name" if pair else "no_certificate"):
            refused(address, client_context(ca, pair), "cart")
    assert app.octets == b""


def test_grpc_between_two_sidecars(ca, other):
    """Unary calls and streams, the message of an error, and nothing to a callee that is not who it should be."""
    grpc = pytest.importorskip("grpc")

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            if details.method == "/cart.Cart/Echo":
                return grpc.unary_unary_rpc_method_handler(lambda message, _: message)
            if details.method == "/cart.Cart/Chat":
                return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
            return None

    server = grpc.server(ThreadPoolExecutor(8), [Handler()], options=[("grpc.so_reuseport", 0)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    web, cart = ca.issue(dns=["web"]), ca.issue(dns=["cart"])
    trust = {"caFile": ca.certificate, "verifyPeer": True}
    options = [("grpc.default_authority", "cart"), ("grpc.enable_http_proxy", 0)]
    try:
        with secure.running("cart", {"cart.grpc.Provider": cart.keys | trust}, grpc_port=port) as callee:
            entry = SimpleNamespace(entry=f'{{endpoints: ["grpc://{INCOMING}:{callee.grpc}"]}}')
            for authority, is_good in ((ca, True), (other, False)):
                tags = {"cart.grpc.Consumer": web.keys | trust | {"caFile": authority.certificate}}
                with secure.running("web", tags, {"cart": [entry]}) as caller:
                    with grpc.insecure_channel(f"{OUTGOING}:{caller.grpc}", options) as channel:
                        echo = channel.unary_unary("/cart.Cart/Echo")
                        if not is_good:
                            with failing(caller, "client", *UNNAMED), pytest.raises(grpc.RpcError) as raised:
                                echo(b"x", timeout=5)
                            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
                            continue
                        assert echo(SECRET.encode(), timeout=5) == SECRET.encode()
                        messages = [b"%d" % index * 1000 for index in range(50)]
                        assert list(channel.stream_stream("/cart.Cart/Chat")(iter(messages), timeout=5)) == messages
                        with pytest.raises(grpc.RpcError) as raised:
                            channel.unary_unary("/cart.Cart/Nothing")(b"", timeout=5)
                        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
            with failing(callee, "server", "no_certificate"):
                preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
                refused((INCOMING, callee.grpc), client_context(ca, alpn=["h2"]), "cart", preface)
    finally:
        server.stop(None)


# -- T3: renewal ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["rename", "overwrite", "swap"])
def test_certificates_are_replaced_under_load(ca, app, tmp_path, way):
    """New connections get the new certificate, the others stay open, and nobody notices a thing."""
    pairs = [ca.issue(dns=["web"], ends=DAY + index * HOUR) for index in range(4)]
    files = secure.Files(tmp_path / "tls", pairs[0])
    tag = "web.rest.Provider"
    with secure.running("web", {tag: files.keys}, rest_port=app.port) as sidecar:
        assert sidecar.of_tag(EXPIRY, tag) == pairs[0].expiry
        with secure.Load((INCOMING, sidecar.port), client_context(ca)) as load:
            for pair in pairs[1:]:
                eventually(lambda: load.serials, "there was no load")
                getattr(files, way)(pair)
                eventually(lambda pair=pair: load.serials[-1] == pair.serial, sidecar.tail, seconds=NOTICED)
                seen = load.good
                eventually(lambda seen=seen: load.good > seen + 20, "the load has stopped")
                assert sidecar.of_tag(EXPIRY, tag) == pair.expiry
        assert load.errors == []
        assert load.opened == 2, "a connection had to be opened again"
        assert set(load.serials) == {pair.serial for pair in pairs}
        eventually(lambda: not sidecar.of_tag(RELOAD_FAILED, tag), "still an alarm")


def test_bad_material_is_not_taken(ca, app, tmp_path):
    """The certificate in use stays in use, an alarm says so, and good material ends it."""
    good = [ca.issue(dns=["web"]) for _ in range(6)]
    files = secure.Files(tmp_path / "tls", good[0])
    encrypted = ca.encrypted(ca.issue(dns=["web"]))
    bad = {
        "garbage": lambda: files.write("tls.crt", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "empty": lambda: files.write("tls.key", b""),
        "gone": lambda: (files.folder / "tls.crt").unlink(),
        "mismatched": lambda: files.rename(good[0].with_key_of(good[1])),
        "expired": lambda: files.rename(ca.issue(dns=["web"], starts=-2 * DAY, ends=-HOUR)),
        "encrypted": lambda: files.write("tls.key", encrypted.key.read_bytes()),
    }
    tag = "web.rest.Provider"
    with secure.running("web", {tag: files.keys}, rest_port=app.port) as sidecar:
        current = good[0]

        def serial():
            with secure.Client((INCOMING, sidecar.port), client_context(ca)) as client:
                assert client.get().status == 200
                return client.serial

        for (kind, spoil), pair in zip(bad.items(), [*good[1:], good[0]], strict=True):
            before = len(sidecar.lines("TLS material not renewed"))
            spoil()
            eventually(lambda: sidecar.of_tag(RELOAD_FAILED, tag) == 1, f"{kind}: no alarm", seconds=NOTICED)
            new = sidecar.lines("TLS material not renewed")[before:]
            assert new and all(" WARN " in line and tag in line for line in new), f"{kind}: {new}"
            assert serial() == current.serial and sidecar.of_tag(EXPIRY, tag) == current.expiry, kind
            files.rename(pair)
            eventually(lambda pair=pair: serial() == pair.serial, f"{kind}: never recovered", seconds=NOTICED)
            eventually(lambda: sidecar.of_tag(RELOAD_FAILED, tag) == 0, f"{kind}: still an alarm")
            current = pair
        assert sidecar.alive and sidecar.ask("/readyz").status == 200


def test_own_certificate_is_replaced(ca, tmp_path):
    """Towards instances as well: new connections have the new certificate, those in use stay."""
    pairs = [ca.issue(dns=["web"], ends=DAY + index * HOUR) for index in range(3)]
    files = secure.Files(tmp_path / "tls", pairs[0])
    brief, kept = (secure.Instance(ca.issue(dns=[name]), client_authority=ca) for name in ("brief", "kept"))

    def once(connection):
        connection.request()
        connection.perform([answer(b"ok", "200 OK", "Connection: close"), CLOSE])

    brief.script = once
    keys = files.keys | {"caFile": ca.certificate, "verifyPeer": True}
    tags = {"brief.rest.Consumer": keys, "kept.rest.Consumer": keys}
    with secure.running("web", tags, {"brief": [brief], "kept": [kept]}) as sidecar:

        def serial():
            assert [ask(sidecar, name).status for name in ("brief", "kept")] == [200, 200]
            return brief.good[-1].peer_serial

        assert serial() == pairs[0].serial
        for pair in pairs[1:]:
            files.swap(pair)
            eventually(lambda pair=pair: serial() == pair.serial, "never used", seconds=NOTICED)
            assert sidecar.of_tag(EXPIRY, "brief.rest.Consumer") == pair.expiry
        assert len(kept.handshakes) == 1 and kept.good[0].peer_serial == pairs[0].serial
        files.write("tls.crt", b"nothing")
        alarm = lambda: sidecar.of_tag(RELOAD_FAILED, "brief.rest.Consumer") == 1  # noqa: E731
        eventually(alarm, "no alarm", seconds=NOTICED)
        assert serial() == pairs[-1].serial
    brief.refuse()
    kept.refuse()


def is_taken(address, context, session=None):
    """Whether a client gets an answer."""
    with contextlib.suppress(ssl.SSLError, ConnectionError, wire.Truncated):
        with secure.Client(address, context, session=session) as client:
            return client.get().status == 200
    return False


def test_authorities_are_replaced(ca, other, app, tmp_path):
    """Who was trusted only by the old authority is not any more, not even with a session of that time."""
    bundle = tmp_path / "ca.crt"
    bundle.write_bytes(ca.certificate.read_bytes())
    web = ca.issue(dns=["web"])
    old, new = (client_context(ca, each.issue(dns=["buyer"])) for each in (ca, other))
    tags = {"web.rest.Provider": web.keys | {"caFile": bundle, "verifyPeer": True}}

    def put(*authorities):
        content = b"".join(each.certificate.read_bytes() for each in authorities)
        bundle.with_suffix(".new").write_bytes(content)
        bundle.with_suffix(".new").rename(bundle)

    with secure.running("web", tags, rest_port=app.port) as sidecar:
        address = (INCOMING, sidecar.port)
        Door(sidecar, INCOMING).refuses(new, *UNNAMED)
        with secure.Client(address, old) as kept:
            assert kept.get().status == 200
            session = kept.sock.session
            put(ca, other)
            eventually(lambda: is_taken(address, new), "the second authority is not trusted", seconds=NOTICED)
            assert is_taken(address, old)
            put(other)
            eventually(lambda: not is_taken(address, old), "the first authority is still trusted", seconds=NOTICED)
            assert not is_taken(address, old, session), "its session is as good as a certificate"
            assert is_taken(address, new)
            assert kept.get().status == 200, "an open connection was closed"


@table("version, options, is_resumed", {
    "tickets": (V12, 0, True), "tickets of TLS 1.3": (V13, 0, True), "none": (V12, ssl.OP_NO_TICKET, False),
})  # fmt: skip
def test_sessions_are_kept_by_clients_alone(ca, app, version, options, is_resumed):
    """A ticket resumes a session; who takes none begins anew, as the sidecar remembers nobody."""
    with secure.running("web", {PROVIDER: ca.issue(dns=["web"]).keys}, rest_port=app.port) as sidecar:
        context, session = client_context(ca, versions=[version]), None
        context.options |= options
        for _ in range(2):
            with secure.Client((INCOMING, sidecar.port), context, session=session) as client:
                assert client.get().status == 200
                was_resumed, session = client.sock.session_reused, client.sock.session
        assert was_resumed is is_resumed


@pytest.mark.parametrize("end", [socket.socket.close, harness.end_with_reset], ids=["fin", "rst"])
def test_who_only_looks_whether_a_port_is_open(ca, app, end):
    """A TCP probe is `closed`, one counter and few lines for all of them, and each of these says how many it stands for."""
    with secure.running("web", {PROVIDER: ca.issue(dns=["web"]).keys}, rest_port=app.port) as sidecar:
        began = time.monotonic()
        for _ in range(300):
            end(socket.create_connection((INCOMING, sidecar.port)))
        counted = lambda: sidecar.failures() == {("server", "closed"): 300}  # noqa: E731
        eventually(counted, lambda: f"{sidecar.failures()}")
        seconds = int(time.monotonic() - began) + 1
        lines = sidecar.lines("TLS handshake failed")
        assert 1 <= len(lines) <= 5 * (seconds + 1) < 300, len(lines)


def test_a_session_is_no_longer_good_than_the_certificate(ca, app):
    """Resumption spares the proof of who one is, and not whether that still holds."""
    tags = {PROVIDER: ca.issue(dns=["web"]).keys | {"caFile": ca.certificate, "verifyPeer": True}}
    with secure.running("web", tags, rest_port=app.port) as sidecar:
        address, sessions = (INCOMING, sidecar.port), {}
        lasting, brief = (ca.issue(dns=["buyer"], ends=ends) for ends in (DAY, 2))
        for pair in (brief, lasting):
            for context in (client_context(ca, pair, versions=[version]) for version in (V12, V13)):
                with secure.Client(address, context) as client:
                    assert client.get().status == 200
                    sessions[context] = client.sock.session
        old = list(sessions)[:2]
        eventually(lambda: time.time() > brief.expiry + 1, "the clock stands still", seconds=NOTICED)
        for context, session in sessions.items():
            assert is_taken(address, context) == is_taken(address, context, session) == (context not in old)


# -- mistakes -------------------------------------------------------------------------------------------------------

PROVIDER = "web.rest.Provider"


def mistakes(ca, folder):
    """Keys of the provider, the key that is named, and what has to be said of it."""
    pair, old = ca.issue(dns=["web"]), ca.issue(dns=["web"], starts=-2 * DAY, ends=-HOUR)
    encrypted = ca.encrypted(pair)
    wrong, garbage = folder / "wrong", folder / "garbage"
    wrong.write_text("not the password\n")
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return {
        "no certificate there": (pair.keys | {"certFile": "/nowhere/tls.crt"}, "certFile", "/nowhere/tls.crt"),
        "no key there": (pair.keys | {"keyFile": "/nowhere/tls.key"}, "keyFile", "/nowhere/tls.key"),
        "no authority there": (pair.keys | {"caFile": "/nowhere/ca", "verifyPeer": True}, "caFile", "/nowhere/ca"),
        "no password there": (encrypted.keys | {"certPwdFile": "/nowhere/pw"}, "certPwdFile", "/nowhere/pw"),
        "another key": (pair.with_key_of(old).keys, "(certFile|keyFile)", "(?=.*key)(?=.*certificate)"),
        "no certificate in it": (pair.keys | {"certFile": garbage}, "certFile", "garbage"),
        "wrong password": (encrypted.keys | {"certPwdFile": wrong}, "(certPwdFile|keyFile)", "password"),
        "no password": ({**pair.keys, "keyFile": encrypted.key}, "(certPwdFile|keyFile)", "(password|certPwdFile)"),
        "nobody to verify with": (pair.keys | {"verifyPeer": True}, "verifyPeer", "caFile"),
        "only a certificate": ({"certFile": pair.certificate}, "(certFile|keyFile)", "keyFile"),
        "unknown suite": (pair.keys | {"cipherSuits": "TLS_NO_SUCH_SUITE"}, "cipherSuits", "TLS_NO_SUCH_SUITE"),
        "a suite that is too weak": (
            pair.keys | {"cipherSuits": "TLS_RSA_WITH_AES_128_CBC_SHA"}, "cipherSuits", "cipher suite",
        ),
        "unknown version": (pair.keys | {"protocol": "TLSv1.9"}, "protocol", "TLSv1.9"),
    }  # fmt: skip


MISTAKES = [
    "no certificate there", "no key there", "no authority there", "no password there", "another key",
    "no certificate in it", "wrong password", "no password", "nobody to verify with", "only a certificate",
    "unknown suite", "a suite that is too weak", "unknown version",
]  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_check_tells(ca, tmp_path, kind):
    keys, key, words = mistakes(ca, tmp_path)[kind]
    status, (*lines, summary) = secure.check(tmp_path, {PROVIDER: keys})
    (said,) = [line for line in lines if ": warning: " not in line]
    # A key that is missing has no place.
    assert re.match(rf"\S*tls\.yaml(:\d+:\d+)?: ssl\.{PROVIDER}\.{key}: .*{words}", said), said
    assert status == 1 and summary.startswith("1 error")
    assert "s3cret phrase" not in "".join(lines) and "not the password" not in "".join(lines)


def test_check_tells_of_an_expired_certificate(ca, tmp_path):
    old = ca.issue(dns=["web"], starts=-2 * DAY, ends=-HOUR)
    _, lines = secure.check(tmp_path, {PROVIDER: old.keys})
    assert [line for line in lines if re.search(rf"tls\.yaml:.* ssl\.{PROVIDER}\.certFile: .*expired", line)], lines


def test_check_is_content(ca, tmp_path):
    """With all keys at once, also those of consumers, for one service and for all."""
    pair = ca.encrypted(ca.issue(dns=["web"], ends=400 * DAY))
    keys = pair.keys | {"caFile": ca.certificate, "verifyPeer": True, "protocol": "TLSv1.3"}
    keys |= {"cipherSuits": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"}
    names = {"serverName": "cart.example", "subjectAltNames": f"{SPIFFE}cart, cart.example"}
    tags = {"": {"protocol": "TLSv1.2"}, PROVIDER: keys, "web.grpc.Provider": keys, "mesher.Provider": keys}
    tags |= {"rest.Consumer": keys, "cart.rest.Consumer": keys | names, "cart.grpc.Consumer": keys | names}
    status, lines = secure.check(tmp_path, tags)
    assert status == 0 and lines[0].startswith("no errors in "), lines


def test_a_start_refuses(ca, web, tmp_path):
    """Broken TLS is never no TLS."""
    broken = web.with_key_of(ca.issue(dns=["web"]))
    with pytest.raises(AssertionError, match="ended while starting"):
        with secure.running("web", {PROVIDER: broken.keys}):
            pass
