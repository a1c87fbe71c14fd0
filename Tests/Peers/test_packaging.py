# SPDX-License-Identifier: Apache-2.0
"""What `make install` puts into place works from there; manual, unit and completions are in order."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import harness
from harness import REPOSITORY, binary, eventually

PACKAGING = REPOSITORY / "packaging"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, **options)


def install(root, *options):
    done = run(PACKAGING / "install", *options, str(root), "/usr", "/etc")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("root")
    install(path)
    return path


class Installed:
    """The installed program, with the configuration that was installed with it."""

    def __init__(self, program, root, *options):
        self.port, self.admin, self.pprof = (harness.free_port("127.0.0.1") for _ in range(3))
        environment = {"CHASSIS_CONF_DIR": str(root / "etc/mesher"), "LISTEN_ADDRESS": f"127.0.0.1:{self.port}"}
        places = [
            f"--cse.protocols.rest-admin.listenAddress=127.0.0.1:{self.admin}",
            f"--pprof.listen=127.0.0.1:{self.pprof}",
        ]
        self.process = subprocess.Popen([program, *places, *options], env=environment, stderr=subprocess.DEVNULL)

    def __enter__(self):
        eventually(lambda: harness.listens("127.0.0.1", self.admin), "no admin API", seconds=10)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(10) == 0

    def get(self, port, path):
        eventually(lambda: harness.listens("127.0.0.1", port), f"nobody listens on {port}", seconds=10)
        with harness.Client(("127.0.0.1", port)) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            return client.response().body.decode()


@pytest.mark.skipif("MESHER_BIN" in os.environ, reason="what is installed is the build of this tree")
class TestInstallation:
    def test_the_binary_serves_from_there(self, root):
        with Installed(root / "usr/bin/mesher", root) as sidecar:
            assert '"serviceName":"example"' in sidecar.get(sidecar.admin, "/v1/mesher/health")

    def test_names_of_functions_are_apart(self, root, tmp_path):
        """The binary is small; profiles have the names from the file beside it, and debuggers find the same file."""
        program, symbols = root / "usr/bin/mesher", root / "usr/bin/.debug/mesher.debug"
        assert program.stat().st_size < 55_000_000
        assert "no symbols" in run("nm", str(program)).stderr
        assert "mesher.debug" in run("readelf", "--string-dump=.gnu_debuglink", str(program)).stdout
        lines = [line.split() for line in run("nm", str(symbols)).stdout.splitlines()]
        (place,) = (line[0] for line in lines if line[1:] == ["T", "main"])
        names = {line[2] for line in lines if line[0] == place}
        with Installed(program, root, "--pprof.enable=true") as sidecar:
            maps = Path(f"/proc/{sidecar.process.pid}/maps").read_text().splitlines()
            base = min(int(line.split("-")[0], 16) for line in maps if line.endswith(str(program)))
            address = f"0x{base + int(place, 16) + 1:x}"
            found = sidecar.get(sidecar.pprof, f"/debug/pprof/symbol?{address}")
            assert found in {f"num_symbols: 1\n{address} {name}\n" for name in names}
            symbols.rename(tmp_path / "elsewhere")
            try:
                assert sidecar.get(sidecar.pprof, f"/debug/pprof/symbol?{address}") == "num_symbols: 1\n"
            finally:
                (tmp_path / "elsewhere").rename(symbols)

    def test_a_changed_configuration_is_kept(self, tmp_path):
        install(tmp_path)
        file = tmp_path / "etc/mesher/mesher.yaml"
        file.write_text("mesher: {workers: 1}\n")
        assert "kept " in install(tmp_path)
        assert file.read_text() == "mesher: {workers: 1}\n"
        assert (file.parent / "mesher.yaml.new").read_text() == (REPOSITORY / "conf/mesher.yaml").read_text()
        install(tmp_path, "--remove")
        left = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
        assert left == {"etc"}
        assert not (tmp_path / "usr/bin/.debug").exists()

    def test_samples_name_the_schema_that_editors_take(self, root, tmp_path):
        samples = sorted((root / "etc/mesher").glob("*.yaml"))
        assert samples
        for sample in samples:
            named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", sample.read_text().splitlines()[0])
            assert json.loads((sample.parent / named[1]).read_text())["title"].startswith(sample.name)
        install(tmp_path)
        install(tmp_path, "--remove")
        assert not (tmp_path / "etc/mesher/schema").exists()

    def test_the_unit_names_what_was_installed(self, root, tmp_path):
        text = (root / "usr/lib/systemd/system/mesher.service").read_text()
        assert re.findall(r"^ExecStart=(.*)$", text, re.M) == ["/usr/bin/mesher"]
        # Its binary has to exist for the check, which is made without a root of its own.
        unit = tmp_path / "mesher.service"
        unit.write_text(text.replace("/usr/bin/mesher", binary()).replace("Documentation=", "# Documentation="))
        done = run("systemd-analyze", "verify", str(unit))
        assert (done.returncode, done.stderr) == (0, "")

    def test_completions(self, root):
        script = root / "usr/share/bash-completion/completions/mesher"
        assert run("bash", "-n", str(script)).returncode == 0
        assert "--service-ports" in script.read_text()
        assert "#compdef mesher" in (root / "usr/share/zsh/site-functions/_mesher").read_text()
        assert "complete -c" in (root / "usr/share/fish/vendor_completions.d/mesher.fish").read_text()


def test_install_says_what_is_missing(tmp_path):
    copy = tmp_path / "packaging"
    copy.mkdir()
    (copy / "install").write_text((PACKAGING / "install").read_text())
    done = run("sh", str(copy / "install"), str(tmp_path), "/usr", "/etc")
    assert done.returncode == 1 and "run make build first" in done.stderr


def test_the_manual_is_well_formed_and_names_every_option():
    done = run("mandoc", "-T", "lint", "-W", "warning", str(PACKAGING / "mesher.1"))
    assert done.stdout == ""
    manual = (PACKAGING / "mesher.1").read_text().replace("\\-", "-")
    for command in ("run", "check", "config", "quickstart", "version", "reference"):
        assert command in manual
        help_text = run(binary(), "help", command).stdout
        options = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", help_text, re.M)
        assert options
        for option in options:
            assert option in manual, f"{option} of {command}"
