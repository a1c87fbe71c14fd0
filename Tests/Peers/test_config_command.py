# SPDX-License-Identifier: Apache-2.0
"""`mesher config`: what holds, and where it is written, without a running sidecar."""

import json
import re
import subprocess

import pytest

import harness
from harness import binary, eventually

CHASSIS = """\
cse:
  protocols:
    http: {listenAddress: "${ADDRESS}"}
  service: {registry: {type: file, address: services.yaml}}
servicecomb:
  loadbalance: {strategy: {name: Random}, cart: {retryEnabled: true}}
  credentials: {account: {name: web, password: hush-1}}
mesher.admin.token: hush-2
tracing.settings.URI: http://user:hush-3@127.0.0.1:9/x
localHealthCheck: [{port: 8080}]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "chassis.yaml").write_text(CHASSIS)
    (tmp_path / "microservice.yaml").write_text("service_description: {name: shop}\n")
    (tmp_path / "services.yaml").write_text("service: []\n")
    (tmp_path / "mesher.yaml").write_text("mesher: {timeouts: {connect: 500ms}, wrokers: 3}\n")
    return tmp_path


def config(folder, *arguments, **environment):
    """Runs the command in a folder, which is not its configuration directory unless somebody says so."""
    return subprocess.run(
        [binary(), "config", *arguments],
        cwd=folder.parent,
        env={"PATH": "/usr/bin:/bin", "ADDRESS": "127.0.0.1:30101", **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


def rows(done):
    """Key to value and source."""
    found = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert all(len(row) == 3 for row in found), done.stdout
    return {key: (value, source) for key, value, source in found}


def test_each_value_has_its_source(folder):
    environment = {"mesher_timeouts_keepAlive": "5s", "VERSION": "1.2.3", "HOME": "/root"}
    done = config(folder, str(folder), "--workers", "2", "--mesher.timeouts.connect=2s", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    found = rows(done)
    assert list(found) == sorted(found)
    assert found["mesher.timeouts.connect"] == ("2s", "command line --mesher.timeouts.connect")
    assert found["mesher.workers"] == ("2", "command line --workers")
    assert found["mesher.timeouts.keepAlive"] == ("5s", "environment variable mesher_timeouts_keepAlive")
    assert found["service_description.version"] == ("1.2.3", "environment variable VERSION")
    assert found["cse.protocols.http.listenAddress"] == ("127.0.0.1:30101", f"{folder}/chassis.yaml:3:27")
    assert found["cse.loadbalance.cart.retryEnabled"] == ("true", f"{folder}/chassis.yaml:6:64")
    assert found["mesher.wrokers"] == ("3", f"{folder}/mesher.yaml:1:47 (no effect)")
    assert not {"HOME", "ADDRESS", "mesher.timeouts.drain"} & found.keys()


def test_nobody_is_shown_a_secret(folder):
    for arguments in ([], ["--json"], ["--all"], ["mesher.admin.token"]):
        done = config(folder, str(folder), *arguments)
        assert "hush-" not in done.stdout + done.stderr and "******" in done.stdout


@pytest.mark.parametrize("place", ["argument", "variable", "option"])
def test_where_the_files_are(folder, place):
    if place == "argument":
        done = config(folder, str(folder))
    elif place == "variable":
        done = config(folder, CHASSIS_CONF_DIR=str(folder))
    else:
        done = config(folder, "--config", f"{folder}/mesher.yaml", CHASSIS_CONF_DIR=str(folder))
    assert rows(done)["mesher.timeouts.connect"] == ("500ms", f"{folder}/mesher.yaml:1:30")


@pytest.mark.parametrize("prefix", ["cse.loadbalance", "servicecomb.loadbalance"])
def test_what_stands_below_a_key(folder, prefix):
    done = config(folder, str(folder), prefix)
    assert set(rows(done)) == {"cse.loadbalance.strategy.name", "cse.loadbalance.cart.retryEnabled"}
    done = config(folder, str(folder), prefix, "mesher.timeouts.connect")
    assert len(rows(done)) == 3


def test_defaults(folder):
    found = rows(config(folder, str(folder), "mesher.timeouts", "--all"))
    assert found["mesher.timeouts.drain"] == ("30s", "default")
    assert found["mesher.timeouts.connect"][1] != "default"
    done = config(folder, str(folder), "mesher.limits")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "nothing is set there; --all prints the defaults\n")


def test_a_key_that_is_none(folder):
    done = config(folder, str(folder), "mesher.timeouts.conect")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no key is called mesher.timeouts.conect; did you mean mesher.timeouts.connect?" in done.stderr
    # One that nobody knows and that is set is shown.
    assert config(folder, str(folder), "mesher.wrokers").returncode == 0


def test_mistakes_are_told_behind_what_holds(folder):
    (folder / "mesher.yaml").write_text("mesher: {timeouts: {connect: never, keepAlive: 5s}}\n")
    done = config(folder, str(folder), "mesher.timeouts")
    assert done.returncode == 1
    assert rows(done)["mesher.timeouts.keepAlive"][0] == "5s"
    assert f'{folder}/mesher.yaml:1:30: mesher.timeouts.connect: "never" is not a duration' in done.stderr
    assert done.stderr.endswith("mesher: one error: mesher would not start\n")
    document = json.loads(config(folder, str(folder), "--json").stdout)
    assert [each["key"] for each in document["problems"] if each["severity"] == "error"] == ["mesher.timeouts.connect"]


def test_a_command_line_that_is_wrong(folder):
    assert config(folder, str(folder), str(folder)).returncode == 64
    assert config(folder, "--workres", "2").returncode == 64
    done = config(folder, f"{folder}/nowhere")
    assert done.returncode == 1 and f"{folder}/nowhere/chassis.yaml: the file does not exist" in done.stderr


def test_a_value_of_several_lines_is_one_line(folder):
    (folder / "router.yaml").write_text("cse.routeRule.cart: |\n  - route: [{weight: 100}]\n")
    found = rows(config(folder, str(folder), "cse.routeRule"))
    assert found["cse.routeRule.cart"][0] == r"- route: [{weight: 100}]\n"


def test_it_is_what_a_running_sidecar_says(folder):
    """The same document as the admin API's, since both are made by the same code."""
    port, admin = harness.free_port("127.0.0.1"), harness.free_port("127.0.0.1")
    environment = {"ADDRESS": f"127.0.0.1:{port}", "CHASSIS_CONF_DIR": str(folder), "HOME": str(folder)}
    option = f"--cse.protocols.rest-admin.listenAddress=127.0.0.1:{admin}"
    process = subprocess.Popen([binary(), option], env=environment, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: harness.listens("127.0.0.1", admin), "no admin API", seconds=10)
        with harness.Client(("127.0.0.1", admin)) as client:
            client.send(b"GET /v1/mesher/config HTTP/1.1\r\nHost: localhost\r\n\r\n")
            served = json.loads(client.response().body)
    finally:
        process.terminate()
        process.wait(10)
    printed = json.loads(config(folder, "--all", "--json", option, **environment).stdout)
    assert printed["settings"] == served["settings"] and len(printed["settings"]) > 100
    assert printed["problems"] == served["problems"]
