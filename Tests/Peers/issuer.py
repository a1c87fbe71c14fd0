# SPDX-License-Identifier: Apache-2.0
"""A small certificate authority on the openssl command, which signs whatever a test asks for, also what none should."""

import calendar
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HOUR, DAY = 3600, 86400
BOTH, SERVER, CLIENT = "serverAuth, clientAuth", "serverAuth", "clientAuth"
MAIL, DNS, URI, IP = 0x81, 0x82, 0x86, 0x87
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")

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
[req]
distinguished_name = any
"""


def openssl(folder, *arguments):
    """Runs the command in a folder; gives what it prints."""
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"openssl {arguments}: {done.stderr}"
    return done.stdout


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
        return Pair(self.certificate, other.key, self.serial, self.expiry)


class Authority:
    """Signs certificates: as a root, or with the certificate of `signer`, whatever that was made for."""

    def __init__(self, folder, name="root", signer=None):
        self.folder = Path(folder, f"authority-{secrets.token_hex(4)}")
        self.folder.mkdir(parents=True)
        (self.folder / "openssl.cnf").write_text(CONFIGURATION)
        (self.folder / "database").touch()
        (self.folder / "database.attr").write_text("unique_subject = no\n")
        self._keys = {}
        self.chain = signer.certificate.read_text() if signer else ""
        self.certificate, self.key = self.folder / "ca.crt", self.folder / "ca.key"
        if signer:
            self.certificate, self.key = signer.certificate, signer.key
            return
        self._openssl(
            *("req", "-x509", *CURVE, "-nodes", "-days", 2, "-subj", f"/CN={name}", "-keyout", "ca.key"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", "ca.crt"),
        )

    def _openssl(self, *arguments):
        return openssl(self.folder, *arguments)

    def _rsa(self):
        """A key of 2048 bits; they take long to make, so that all certificates share one."""
        if "rsa" not in self._keys:
            self._openssl("genrsa", "-out", "rsa.key", 2048)
            self._keys["rsa"] = self.folder / "rsa.key"
        return self._keys["rsa"]

    def issue(
        self,
        common="someone",
        *,
        dns=(),
        uris=(),
        ips=(),
        san=None,
        usage=BOTH,
        starts=-HOUR,
        ends=DAY,
        rsa=False,
        is_authority=False,
    ):
        """A certificate and its key. `starts` and `ends` are seconds from now.

        `san` are names as (tag, octets), `[]` an extension without any; without names there is no extension.
        """
        san = names(dns, uris, ips) or None if san is None else san
        stem = secrets.token_hex(8)
        serial = int(stem, 16) >> 1 | 1 << 62
        certificate, key = self.folder / f"{stem}.crt", self._rsa() if rsa else self.folder / f"{stem}.key"
        source = ("-key", key) if rsa else (*CURVE, "-nodes", "-keyout", key)
        self._openssl("req", "-new", *source, "-subj", f"/CN={common}", "-out", f"{stem}.csr")
        purpose = "keyCertSign, cRLSign" if is_authority else "digitalSignature, keyEncipherment"
        extensions = [
            f"basicConstraints = critical, CA:{'TRUE' if is_authority else 'FALSE'}",
            f"keyUsage = critical, {purpose}",
            "subjectKeyIdentifier = hash",
            "authorityKeyIdentifier = keyid",
        ]
        if usage and not is_authority:
            extensions.append(f"extendedKeyUsage = {usage}")
        if san is not None:
            extensions.append(f"subjectAltName = DER:{self._sequence(san).hex(':')}")
        (self.folder / f"{stem}.ext").write_text("\n".join(extensions) + "\n")
        (self.folder / "serial").write_text(f"{serial:016X}\n")
        now = int(time.time())
        first, last = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(now + offset)) for offset in (starts, ends))
        self._openssl(
            *("ca", "-batch", "-notext", "-config", "openssl.cnf", "-cert", self.certificate, "-keyfile", self.key),
            *("-startdate", first, "-enddate", last, "-extfile", f"{stem}.ext"),
            *("-in", f"{stem}.csr", "-out", certificate),
        )
        certificate.write_text(certificate.read_text() + self.chain)
        return Pair(certificate, key, serial, calendar.timegm(time.strptime(last, "%Y%m%d%H%M%SZ")))

    @staticmethod
    def _sequence(san):
        return tagged(0x30, b"".join(tagged(tag, content) for tag, content in san))

    def self_signed(self, *dns):
        """A certificate that nobody vouches for but itself."""
        stem = secrets.token_hex(8)
        certificate, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        self._openssl(
            *("req", "-x509", *CURVE, "-nodes", "-days", 2, "-subj", "/CN=self", "-keyout", key, "-out", certificate),
            *("-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in dns)),
        )
        return Pair(certificate, key, 0, 0)

    def below(self, **options):
        """An intermediate authority; what it signs carries its certificate along."""
        return Authority(self.folder, signer=self.issue("intermediate", is_authority=True, **options))

    def encrypted(self, pair, password="s3cret phrase", form="pkcs8"):
        """The same pair with its key encrypted: `pkcs8`, or `traditional` as older tools write it."""
        stem = self.folder / secrets.token_hex(8)
        key, file = stem.with_suffix(".key"), stem.with_suffix(".password")
        file.write_text(password + "\n")
        tool = ("pkcs8", "-topk8", "-v2", "aes-256-cbc") if form == "pkcs8" else ("ec", "-aes128")
        self._openssl(*tool, "-in", pair.key, "-out", key, "-passout", f"file:{file}")
        return Pair(pair.certificate, key, pair.serial, pair.expiry, file)
