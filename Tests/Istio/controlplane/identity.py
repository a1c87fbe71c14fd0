# SPDX-License-Identifier: Apache-2.0
"""The control plane's safe port, and the certificate authority behind it: who calls is known by a token, as in Istio."""

import base64
import contextlib
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .server import ControlPlane

SERVICE = "istio.v1.auth.IstioCertificateService"
AUDIENCE = "istio-ca"
NAME = "istiod.istio-system.svc"
PILOT = "spiffe://cluster.local/ns/istio-system/sa/istio-pilot-service-account"
SECRET = b"only for tests"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signature(text):
    return encoded(hmac.digest(SECRET, text.encode(), hashlib.sha256))


def token(account="web", namespace="default", life=3600, audience=AUDIENCE, number=0):
    """A service account's token, as Kubernetes writes it; `number` tells two apart."""
    claims = {
        "aud": [audience],
        "exp": int(time.time() + life),
        "jti": str(number),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": account}},
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    text = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS256"}, claims))
    return f"{text}.{signature(text)}"


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


class Authority:
    """A root, an authority below it, and the certificates that they sign."""

    def __init__(self, name="mesh"):
        self.key, self.root_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root, middle = self._name(f"{name} root"), self._name(f"{name} authority")
        self.root = self._authority(root, root, self.root_key, self.root_key)
        self.middle = self._authority(middle, root, self.key, self.root_key)

    @staticmethod
    def _name(text):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    @staticmethod
    def _builder(subject, issuer, public_key, life):
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer, subject, public_key, x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=1))
            .not_valid_after(now + timedelta(seconds=life))
        )

    def _authority(self, subject, issuer, key, signer):
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = self._builder(subject, issuer, key.public_key(), 86400)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        return builder.sign(signer, hashes.SHA256())

    def sign(self, public_key, names, life=86400):
        """A certificate for these alternative names, without a subject."""
        usage = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(x509.Name([]), self.middle.subject, public_key, life)
        for extension, is_critical in (
            (x509.SubjectAlternativeName(names), True),
            (x509.BasicConstraints(False, None), True),
            (usage, True),
            (x509.ExtendedKeyUsage(both), False),
        ):
            builder = builder.add_extension(extension, is_critical)
        return builder.sign(self.key, hashes.SHA256())

    def pair(self, *names):
        """Chain and key of a certificate, PEM; names with a scheme are URIs."""
        key = ec.generate_private_key(ec.SECP256R1())
        kinds = [(x509.UniformResourceIdentifier if "://" in name else x509.DNSName)(name) for name in names]
        return pem(self.sign(key.public_key(), kinds)) + pem(self.middle), key_pem(key)


class Refused(Exception):
    """Why a call is refused: a status and a text."""


def caller(metadata):
    """The claims of the token that a call brings."""
    kind, _, text = dict(metadata).get("authorization", "").partition(" ")
    try:
        head, body, proof = text.split(".")
        claims = json.loads(decoded(body))
    except ValueError:
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "no token") from None
    if kind != "Bearer" or proof != signature(f"{head}.{body}"):
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "the token is not signed by the cluster")
    if AUDIENCE not in claims["aud"] or claims["exp"] < time.time():
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, "the token is for others, or has expired")
    return claims


class SecureControlPlane(ControlPlane):
    """The control plane at its port for TLS, which asks for a token; with `is_mutual` it asks for a certificate instead.

    `life` is how long certificates live that are asked for, in seconds. `fault` spoils what the authority answers.
    """

    def __init__(self, resources, authority, names=(NAME,), life=86400, is_mutual=False, **options):
        self.authority, self.names, self.life, self.is_mutual = authority, names, life, is_mutual
        self.fault = None
        super().__init__(resources, **options)

    @property
    def url(self):
        return f"grpcs://127.0.0.1:{self.port}"

    def open(self, server):
        chain, key = self.authority.pair(*self.names)
        roots = pem(self.authority.root).encode() if self.is_mutual else None
        credentials = grpc.ssl_server_credentials([(key.encode(), chain.encode())], roots, self.is_mutual)
        method = grpc.unary_unary_rpc_method_handler(self._create, _read, _write)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"CreateCertificate": method})])
        return server.add_secure_port(self.address, credentials)

    def admit(self, context, node):
        """The node of a stream has to be that of the token."""
        if self.is_mutual:
            peer = context.auth_context().get("x509_subject_alternative_name", [b""])[0].decode()
            self.log.write("admitted", peer=peer)
            return
        with self._refusing(context):
            claims = caller(context.invocation_metadata())
            namespace, account = claims["kubernetes.io"]["namespace"], claims["kubernetes.io"]["serviceaccount"]["name"]
            said = node["metadata"]
            if said.get("NAMESPACE") != namespace or said.get("SERVICE_ACCOUNT", account) != account:
                raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"the token is that of {namespace}/{account}")
            self.log.write("admitted", token=claims["jti"])

    def _create(self, request, context):
        csr, validity = request
        with self._refusing(context):
            claims = caller(context.invocation_metadata())
            account, namespace = claims["kubernetes.io"]["serviceaccount"]["name"], claims["kubernetes.io"]["namespace"]
            name = f"spiffe://cluster.local/ns/{namespace}/sa/{account}"
            key = self._check(x509.load_pem_x509_csr(csr.encode()), name)
            cluster = dict(context.invocation_metadata()).get("clusterid")
            self.log.write("signed", name=name, validity=validity, cluster=cluster, token=claims["jti"])
            if self.fault == "no authority":
                context.abort(grpc.StatusCode.UNAVAILABLE, "the authority is away")
            if self.fault == "another name":
                name += "-other"
            if self.fault == "another key":
                key = ec.generate_private_key(ec.SECP256R1()).public_key()
            leaf = self.authority.sign(key, [x509.UniformResourceIdentifier(name)], self.life)
            chain = [leaf, self.authority.middle, self.authority.root]
            return [pem(each) for each in (chain[:1] if self.fault == "no root" else chain)]

    @staticmethod
    def _check(request, name):
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found = names.value.get_values_for_type(x509.UniformResourceIdentifier)
        if not request.is_signature_valid or not names.critical or request.public_key().curve.name != "secp256r1":
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the request makes no sense")
        if found != [name]:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, f"{found} is not {name}")
        return request.public_key()

    @contextlib.contextmanager
    def _refusing(self, context):
        try:
            yield
        except Refused as refusal:
            self.log.write("refused", status=refusal.args[0].name, why=refusal.args[1])
            context.abort(*refusal.args)


# The two messages of the call by hand, as nobody publishes them: strings are fields 1, the number of seconds is field 3.
def _varint(octets, at):
    value = shift = 0
    while True:
        value |= (octets[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if octets[at - 1] < 0x80:
            return value, at


def _read(octets):
    """The request as (csr, validity)."""
    csr, validity, at = "", 0, 0
    while at < len(octets):
        tag, at = _varint(octets, at)
        value, at = _varint(octets, at)
        if tag == 0x0A:
            csr, at = octets[at : at + value].decode(), at + value
        elif tag == 0x18:
            validity = value
    return csr, validity


def _write(chain):
    """The response."""
    out = b""
    for text in chain:
        size, head = len(text), b"\x0a"
        while size > 0x7F:
            head, size = head + bytes([size & 0x7F | 0x80]), size >> 7
        out += head + bytes([size]) + text.encode()
    return out
