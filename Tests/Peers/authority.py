# SPDX-License-Identifier: Apache-2.0
"""A small certificate authority on the openssl command, which signs whatever a test asks for, also what none should."""

import secrets
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

HOUR, DAY = 3600, 86400
BOTH, SERVER, CLIENT = "serverAuth, clientAuth", "serverAuth", "clientAuth"
MAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87
CURVE, RSA = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"), ("-newkey", "rsa:2048")

CONFIGURATION = """
[ca]
default_ca = here
[here]
database = database
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = optional
"""


def tagged(tag, content):
    """One element of DER."""
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def names(dns=(), uris=(), ips=()):
    """Subject alternative names as (tag, octets)."""
    return [
        *((DNS, name.encode("latin-1")) for name in dns),
        *((URI, uri.encode("latin-1")) for uri in uris),
        *((IP, bytes(map(int, ip.split(".")))) for ip in ips),
    ]


@dataclass(frozen=True)
class Pair:
    """A certificate, with the chain up to but not including the root, and its key."""

    certificate: Path
    key: Path
    serial: int
    expiry: int
    password: Path | None = None

    @property
    def keys(self):
        """The same as keys of tls.yaml."""
        known = {"certFile": self.certificate, "keyFile": self.key}
        return known | ({"certPwdFile": self.password} if self.password else {})

    def with_key_of(self, other):
        """This certificate with a key that is not its own."""
        return replace(self, key=other.key, password=other.password)


class Authority:
    """Signs certificates: as a root, or with the certificate of `signer`, whatever that was made for.

    A root is NAME.crt with NAME.key. All files lie in the folder, which authorities of different names may share.
    """

    def __init__(self, folder, name="ca", signer=None):
        self.folder = Path(folder)
        (self.folder / "openssl.cnf").write_text(CONFIGURATION)
        (self.folder / "database").touch()
        self.chain = signer.certificate.read_text() if signer else ""
        signer = signer or self._signed_by_itself(name, name, "keyUsage=critical,keyCertSign,cRLSign")
        self.certificate, self.key = signer.certificate, signer.key

    def _openssl(self, *arguments):
        command = ["openssl", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, check=False, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def _files(self, stem):
        return self.folder / f"{stem}.crt", self.folder / f"{stem}.key"

    def _signed_by_itself(self, stem, common, extension):
        certificate, key = self._files(stem)
        self._openssl(
            *("req", "-x509", *CURVE, "-nodes", "-days", 30, "-subj", f"/CN={common}"),
            *("-addext", extension, "-keyout", key, "-out", certificate),
        )
        return Pair(certificate, key, 0, 0)

    def issue(
        self,
        name=None,
        *,
        common=None,
        dns=(),
        uris=(),
        ips=(),
        san=None,
        usage=BOTH,
        starts=-HOUR,
        ends=30 * DAY,
        rsa=False,
        is_authority=False,
        speaks=False,
    ):
        """A certificate and its key, in files of this name. `starts` and `ends` are seconds from now.

        `san` are names as (tag, octets), `[]` an extension without any; without names there is no extension.
        Without `usage` the certificate does not say what it is for. An authority that `speaks` may be a peer as well.
        """
        san = names(dns, uris, ips) or None if san is None else san
        name = name or secrets.token_hex(8)
        serial = secrets.randbits(62) | 1 << 62
        certificate, key = self._files(name)
        request = ("-subj", f"/CN={common or name}", "-keyout", key, "-out", f"{name}.csr")
        self._openssl("req", *(RSA if rsa else CURVE), "-nodes", *request)
        extensions = [
            f"basicConstraints = critical, CA:{'TRUE' if is_authority else 'FALSE'}",
            "subjectKeyIdentifier = hash",
            "authorityKeyIdentifier = keyid",
        ]
        if is_authority:
            extensions.append("keyUsage = critical, keyCertSign, cRLSign" + (", digitalSignature" if speaks else ""))
        elif usage:
            extensions += ["keyUsage = critical, digitalSignature, keyEncipherment", f"extendedKeyUsage = {usage}"]
        if san is not None:
            sequence = tagged(0x30, b"".join(tagged(tag, content) for tag, content in san))
            extensions.append(f"subjectAltName = DER:{sequence.hex(':')}")
        (self.folder / f"{name}.ext").write_text("\n".join(extensions) + "\n")
        (self.folder / "serial").write_text(f"{serial:016X}\n")
        now = time.time()
        first, last = int(now + starts), int(now + ends)
        start, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(moment)) for moment in (first, last))
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", self.certificate, "-keyfile", self.key),
            *("-startdate", start, "-enddate", end, "-extfile", f"{name}.ext"),
            *("-in", f"{name}.csr", "-out", certificate),
        )
        certificate.write_text(certificate.read_text() + self.chain)
        return Pair(certificate, key, serial, last)

    def self_signed(self, *dns):
        """A certificate that nobody vouches for but itself."""
        alternatives = ",".join(f"DNS:{name}" for name in dns)
        return self._signed_by_itself(secrets.token_hex(8), "self", f"subjectAltName={alternatives}")

    def below(self, **options):
        """An intermediate authority; what it signs carries its certificate along."""
        signer = self.issue(common="intermediate", is_authority=True, **options)
        return Authority(self.folder, signer=signer)

    def encrypted(self, pair, password="s3cret phrase", form="aes-256-cbc"):
        """The same pair with its key encrypted: by this cipher in PKCS #8, or `traditional` as older tools write it."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        key, file = folder / pair.key.name, folder / "password"
        file.write_text(password + "\n")
        tool = ("ec", "-aes128") if form == "traditional" else ("pkcs8", "-topk8", "-v2", form)
        self._openssl(*tool, "-in", pair.key, "-out", key, "-passout", f"file:{file}")
        return replace(pair, key=key, password=file)
