# SPDX-License-Identifier: Apache-2.0
"""A certificate authority on the openssl command, for certificates good and bad."""

import datetime
import subprocess
from pathlib import Path


class Authority:
    """Makes certificates in a directory; each is NAME.crt with NAME.key."""

    def __init__(self, directory, name="ca"):
        self.directory, self.name = Path(directory), name
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self._openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "30",
                      "-subj", f"/CN={name}")  # fmt: skip

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=30)

    def path(self, name):
        return str(self.directory / name)

    @property
    def root(self):
        return self.path(f"{self.name}.crt")

    def issue(self, name, names=None, common=None, starts=-1, days=30, password=None, usage=None, rsa=False):
        """Makes a certificate.

        `names` as in subjectAltName (`DNS:cart,URI:spiffe://mesh/cart`), `starts` and `days` count from now.
        """
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        secret = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        self._openssl("req", "-newkey", *kind, *secret, "-keyout", f"{name}.key", "-out", f"{name}.csr",
                      "-subj", f"/CN={common or name}")  # fmt: skip
        extensions = []
        if names != "":
            extensions.append(f"subjectAltName={names or f'DNS:{name}'}")
        if usage:
            extensions.append(f"extendedKeyUsage={usage}")
        (self.directory / f"{name}.ext").write_text("basicConstraints=CA:false\n" + "\n".join(extensions) + "\n")
        index = self.directory / f"{self.name}.index"
        index.write_text("")
        (self.directory / f"{self.name}.cnf").write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={index}\nnew_certs_dir={self.directory}\ndefault_md=sha256\n"
            "rand_serial=yes\nunique_subject=no\npolicy=p\n[p]\ncommonName=supplied\n"
        )

        def moment(days):
            now = datetime.datetime.now(datetime.timezone.utc)
            return (now + datetime.timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")

        self._openssl("ca", "-batch", "-config", f"{self.name}.cnf", "-in", f"{name}.csr", "-out", f"{name}.crt",
                      "-notext", "-cert", f"{self.name}.crt", "-keyfile", f"{self.name}.key",
                      "-startdate", moment(starts), "-enddate", moment(days), "-extfile", f"{name}.ext")  # fmt: skip
        return name

    def material(self, name):
        """The keys of a tag that has this certificate."""
        return {"certFile": self.path(f"{name}.crt"), "keyFile": self.path(f"{name}.key")}

    def serial(self, name):
        done = subprocess.run(["openssl", "x509", "-in", self.path(f"{name}.crt"), "-noout", "-serial"],
                              capture_output=True, text=True, check=True)  # fmt: skip
        return int(done.stdout.strip().partition("=")[2], 16)
