# SPDX-License-Identifier: Apache-2.0
"""The Debian packages: what is in them, and that they can be installed, changed, removed and purged in a folder."""

import os
import re
import shutil
import subprocess

import pytest

import harness
from harness import REPOSITORY, eventually

EPOCH = 1_700_000_000

pytestmark = [
    pytest.mark.skipif("MESHER_BIN" in os.environ, reason="what is packed is the build of this tree"),
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="no Debian"),
]


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make(folder):
    run(REPOSITORY / "packaging/deb", folder, env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)})
    return {path.name.partition("_")[0]: path for path in folder.glob("*.deb")}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def system(packages, tmp_path_factory):
    """A folder with both packages unpacked."""
    folder = tmp_path_factory.mktemp("system")
    for package in packages.values():
        run("dpkg-deb", "--extract", package, folder)
    return folder


class Root:
    """A folder that dpkg takes for a system, with nothing in it."""

    def __init__(self, folder):
        self.folder = folder
        admin = folder / "var/lib/dpkg"
        for name in ("info", "updates", "triggers"):
            (admin / name).mkdir(parents=True)
        (admin / "status").touch()
        (admin / "available").touch()

    def dpkg(self, *options):
        # What it depends on is not there, nor is a shell of its own for its scripts.
        forces = "--force-depends,not-root,script-chrootless,confold,bad-path"
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        log = f"--log={self.folder}/log"
        first, _, rest = forces.partition(",")
        names = [first, *(f"--force-{name}" for name in rest.split(","))]
        return run("dpkg", f"--root={self.folder}", log, *names, *options, env={**os.environ, "PATH": path})

    def files(self):
        return {
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if not path.is_dir() and "var" not in path.relative_to(self.folder).parts and path.name != "log"
        }


def test_the_same_binary_gives_the_same_octets(packages, tmp_path):
    again = make(tmp_path)
    assert set(again) == {"mesher", "mesher-dbgsym"}
    for name, package in packages.items():
        assert again[name].read_bytes() == package.read_bytes(), name


def test_what_it_is_and_needs(packages):
    said = run("dpkg-deb", "--field", packages["mesher"])
    fields = dict(re.findall(r"^(\S+): (.*)$", said, re.M))
    version = re.search(r'sourceVersion = "(.*)"', (REPOSITORY / "Sources/Common/BuildInfo.swift").read_text())[1]
    assert (fields["Package"], fields["Version"]) == ("mesher", version)
    assert fields["Architecture"] == run("dpkg", "--print-architecture").strip()
    assert fields["Depends"] == "libc6 (>= 2.36), libgcc-s1"
    symbols = run("dpkg-deb", "--field", packages["mesher-dbgsym"], "Depends")
    assert symbols.strip() == f"mesher (= {version})"
    listed = run("dpkg-deb", "--contents", packages["mesher"])
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}


def test_everything_has_its_place(system):
    for name in (
        "usr/bin/mesher",
        "usr/lib/systemd/system/mesher.service",
        "usr/share/man/man1/mesher.1.gz",
        "usr/share/bash-completion/completions/mesher",
        "usr/share/zsh/site-functions/_mesher",
        "usr/share/fish/vendor_completions.d/mesher.fish",
        "etc/mesher/schema/chassis.json",
        "usr/share/doc/mesher/copyright",
        "usr/share/doc/mesher/swift-nio/LICENSE.txt",
    ):
        assert (system / name).stat().st_size > 0, name
    unit = (system / "usr/lib/systemd/system/mesher.service").read_text()
    assert re.findall(r"^ExecStart=(.*)$", unit, re.M) == ["/usr/bin/mesher"]
    assert "mesher" in run("mandoc", "-T", "ascii", system / "usr/share/man/man1/mesher.1.gz")
    # By the id of the build, where debuggers look.
    (symbols,) = (system / "usr/lib/debug/.build-id").rglob("*.debug")
    noted = run("readelf", "-n", system / "usr/bin/mesher")
    assert f"Build ID: {symbols.parent.name}{symbols.stem}" in noted
    assert not (system / "usr/bin/.debug").exists()


def test_it_runs_from_there(system):
    admin, port = (harness.free_port("127.0.0.1") for _ in range(2))
    environment = {"CHASSIS_CONF_DIR": str(system / "etc/mesher"), "LISTEN_ADDRESS": f"127.0.0.1:{port}"}
    run(system / "usr/bin/mesher", "check", env=environment)
    place = f"--cse.protocols.rest-admin.listenAddress=127.0.0.1:{admin}"
    process = subprocess.Popen([system / "usr/bin/mesher", place], env=environment, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: harness.listens("127.0.0.1", admin), "no admin API", seconds=10)
    finally:
        process.terminate()
    assert process.wait(10) == 0


def test_installed_changed_removed_and_purged(packages, tmp_path):
    root = Root(tmp_path)
    root.dpkg("--install", packages["mesher"], packages["mesher-dbgsym"])
    status = run("dpkg-query", f"--admindir={tmp_path}/var/lib/dpkg", "-W", "-f", "${db:Status-Abbrev} ", "mesher")
    assert status == "ii  "
    run("dpkg", f"--root={tmp_path}", "--verify", "mesher")
    changed = tmp_path / "etc/mesher/mesher.yaml"
    changed.write_text("mesher: {workers: 1}\n")
    own = tmp_path / "etc/mesher/environment"
    own.write_text("SERVICE_PORTS=rest:8080\n")
    (tmp_path / "usr/bin/mesher").write_text("broken")
    root.dpkg("--install", packages["mesher"])
    assert changed.read_text() == "mesher: {workers: 1}\n"
    assert (tmp_path / "usr/bin/mesher").stat().st_size > 1_000_000
    root.dpkg("--remove", "mesher-dbgsym", "mesher")
    left = root.files()
    assert "etc/mesher/mesher.yaml" in left and all(name.startswith("etc/mesher/") for name in left)
    root.dpkg("--purge", "mesher")
    assert root.files() == {"etc/mesher/environment"}
