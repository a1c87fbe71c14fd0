# SPDX-License-Identifier: Apache-2.0
"""A sidecar that is taken out of service before it is stopped: by `mesher drain`, by the admin API."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import governance
import harness
import http2
from harness import binary, eventually, free_port, listens
from test_registry import Registry

NOTICE = 0.5
# What a request may take on a machine that is busy.
SOON = 3.0
TOKEN = "t0p"
SETTINGS = f"mesher: {{admin: {{token: {TOKEN}}}, timeouts: {{notice: {int(NOTICE * 1000)}ms}}}}\n"


def drain(*options, program=None):
    """What `mesher drain` says, its status, and how long it took."""
    since = time.monotonic()
    done = subprocess.run(
        [program or binary(), "drain", *options], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout + done.stderr, done.returncode, time.monotonic() - since


def incoming(sidecar):
    return ("127.0.0.2", sidecar.port)


def ask(client, target="/x"):
    client.send(harness.request("GET", target))
    return client.response()


@pytest.fixture
def world():
    cart = governance.Instance("cart")
    with governance.World({"cart": [cart]}, rest_port=cart.port, mesher=SETTINGS) as world:
        eventually(lambda: world.sidecar.ask("/readyz").status == 200, "not ready")
        yield world


def by_command(sidecar):
    text, status, _ = drain("--pid", str(sidecar.process.pid))
    assert status == 0 and text == f"process {sidecar.process.pid} is being taken out of service\n"


def post(sidecar, token=TOKEN):
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.admin, timeout=5)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/mesher/drain", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def by_api(sidecar):
    assert post(sidecar, "guessed")[0] == 401
    assert sidecar.ask("/readyz").status == 200
    status, told = post(sidecar)
    assert status == 200 and told["draining"] is True and 0 <= told["for"] < SOON


@pytest.mark.parametrize("leave", [by_command, by_api])
def test_out_of_service(world, leave):
    """Others are told to go elsewhere and served until they do; the application calls others as ever."""
    sidecar = world.sidecar
    with harness.Client(incoming(sidecar)) as early, world.client() as own, http2.Client(incoming(sidecar)) as streams:
        assert ask(early).get("connection") is None and streams.get().status == 200
        since = time.monotonic()
        leave(sidecar)
        eventually(lambda: sidecar.ask("/readyz").body == b"not ready: draining\n", "ready")
        assert sidecar.ask("/healthz").status == 200
        response = ask(early)
        assert response.get("connection") is None or time.monotonic() - since > NOTICE, "told too early"

        # Then each answer is the last one of its connection, old or new.
        streams.until(lambda: streams.goaway is not None)
        assert NOTICE <= time.monotonic() - since < NOTICE + SOON
        assert streams.goaway == http2.NO_ERROR
        for _ in range(3):
            with harness.Client(incoming(sidecar)) as late:
                response = ask(late)
                assert (response.status, response.get("connection")) == (200, b"close")
                assert late.rest() == (b"", "fin")
        with http2.Client(incoming(sidecar)) as late:
            # Whoever looks before it asks finds nothing that would send it away.
            late.until(lambda: late.settings)
            assert late.goaway is None and late.get().status == 200
            assert late.ends() == http2.NO_ERROR
        for _ in range(3):
            response = world.ask(client=own)
            assert (response.status, response.get("connection")) == (200, None)

        # Once more is the same, and the stop does not wait again.
        leave(sidecar) if leave is by_command else post(sidecar)
        assert sidecar.tail().count("taken out of service") == 1
    sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.process.wait(SOON) == 0


def test_watching_goes_on(world):
    """Who looks at the traffic of a sidecar that is out of service sees it."""
    world.sidecar.process.send_signal(signal.SIGUSR1)
    eventually(lambda: world.sidecar.ask("/readyz").status == 503, "not draining")
    tap = [binary(), "tap", "--admin", f"127.0.0.1:{world.sidecar.admin}", "--count", "1", "--json"]
    environment = dict(os.environ, CHASSIS_CONF_DIR=world.sidecar.directory.name)
    watch = subprocess.Popen(tap, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        while watch.poll() is None:
            assert world.ask().status == 200
        assert json.loads(watch.stdout.read())["service"] == "cart"
    finally:
        watch.kill()
        watch.wait()


# -- which process -----------------------------------------------------------------------------------------------------


def test_what_is_no_sidecar_is_left_alone(tmp_path):
    """The signal would end it."""
    with (tmp_path / "log").open("wb") as log:
        registry = Registry(log)
    other = subprocess.Popen(["sleep", "60"])
    try:
        for process in (registry.process, other):
            text, status, _ = drain("--pid", str(process.pid))
            assert status == 1 and f"process {process.pid} is no running sidecar" in text
            assert process.poll() is None
    finally:
        registry.stop()
        other.kill()
        other.wait()
    text, status, _ = drain("--pid", str(other.pid))
    assert status == 1 and f"no process {other.pid} runs here" in text
    assert drain("--pid", "0")[1] == 64


def test_the_only_sidecar_of_a_binary(tmp_path):
    """A copy, so that those of other tests are none of it."""
    copy = tmp_path / "mesher"
    shutil.copy(binary(), copy)
    text, status, _ = drain(program=copy)
    assert status == 1 and f"no sidecar of this user runs here whose binary is {copy}" in text
    with contextlib.ExitStack() as stack:
        with (tmp_path / "log").open("wb") as log:
            registry = Registry(log, program=copy)
        stack.callback(registry.stop)
        first = stack.enter_context(Member("cart", registry.port, tmp_path, program=copy))
        assert drain(program=copy)[:2] == (f"process {first.process.pid} is being taken out of service\n", 0)
        eventually(lambda: "taken out of service" in first.log.read_text(), "it was not told")
        second = stack.enter_context(Member("shop", registry.port, tmp_path, program=copy))
        text, status, _ = drain(program=copy)
        assert status == 1 and "several sidecars run here; name one with --pid:" in text
        assert all(f"{each.process.pid}  {copy}" in text for each in (first, second))
        assert str(registry.process.pid) not in text
        assert drain("--pid", str(second.process.pid), program=copy)[1] == 0
        eventually(lambda: "taken out of service" in second.log.read_text(), "it was not told")


# -- with a registry ---------------------------------------------------------------------------------------------------


class Member:
    """The sidecar of a service, registered."""

    count = 0

    def __init__(self, name, registry_port, directory, application=None, program=None, **keys):
        self.name, self.registry_port, self.application, self.program = name, registry_port, application, program
        Member.count += 1
        self.directory = directory / f"{name}-{Member.count}"
        self.keys = {"mesher.timeouts.farewell": "1s", "cse.service.registry.heartbeat.interval": "10s"} | keys

    def __enter__(self):
        self.directory.mkdir()
        self.port, self.admin = free_port("127.0.0.1", "127.0.0.2"), free_port("127.0.0.1")
        (self.directory / "chassis.yaml").write_text(
            f'cse:\n  protocols:\n    http: {{listenAddress: "127.0.0.2:{self.port}"}}\n'
            f'    rest-admin: {{listenAddress: "127.0.0.1:{self.admin}"}}\n'
            f'  service: {{registry: {{address: "http://127.0.0.1:{self.registry_port}"}}}}\n'
        )
        (self.directory / "microservice.yaml").write_text(
            f"APPLICATION_ID: shop\nservice_description: {{name: {self.name}, version: 1.0.0}}\n"
        )
        command = [self.program or binary(), "--workers", "1"]
        command += [f"--{key}={value}" for key, value in self.keys.items()]
        if self.application:
            command += ["--service-ports", f"rest:{self.application.port}"]
        environment = dict(os.environ, CHASSIS_CONF_DIR=str(self.directory), XDG_STATE_HOME=str(self.directory))
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: listens("127.0.0.1", self.port), "the sidecar does not start", seconds=15)
        eventually(lambda: "instance registered" in self.log.read_text(), "not registered", seconds=15)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=10)

    def get(self):
        """Status and body of a call of cart."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "http://cart/x", headers={"Host": "cart"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()


    def instances(self):
        """How many of cart it knows."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/v1/mesher/services")
            services = json.loads(connection.getresponse().read())["services"]
        return sum(len(each["instances"]) for each in services if each["name"] == "cart")


class Load:
    """Calls of cart, one after the other in a few threads, until it ends."""

    def __init__(self, caller, threads=4):
        self.caller, self.answers, self.isOver = caller, [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def _run(self):
        while not self.isOver.is_set():
            try:
                answer = self.caller.get()
            except OSError as error:
                answer = (0, str(error))
            self.answers.append((time.monotonic(), *answer))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.isOver.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("watches", ["true", "false"])
def test_a_pod_that_ends(tmp_path, watches):
    """What a kubelet does with a native sidecar: the hook at first, TERM when the application has gone.

    The one that calls may hear of it at once, or only when it asks for the next time.
    """
    with contextlib.ExitStack() as stack:
        with (tmp_path / "registry.log").open("wb") as log:
            registry = Registry(log)
        stack.callback(registry.stop)
        applications = [governance.Instance(name) for name in ("one", "two")]
        for each in applications:
            stack.callback(each.refuse)
        one, _ = (stack.enter_context(Member("cart", registry.port, tmp_path, each)) for each in applications)
        keys = {"cse.service.registry.watch": watches, "cse.service.registry.refreshInterval": "1s"}
        caller = stack.enter_context(Member("shop", registry.port, tmp_path, **keys))
        eventually(lambda: {caller.get() for _ in range(4)} == {(200, "one"), (200, "two")}, "not both are found")
        with Load(caller) as load:
            eventually(lambda: len(load.answers) > 50, "nobody asks")
            text, status, taken = drain("--pid", str(one.process.pid))
            assert (status, text) == (0, f"process {one.process.pid} is being taken out of service\n")
            assert taken < SOON
            told = time.monotonic()
            eventually(lambda: "no longer registered" in one.log.read_text(), "still registered")
            # The application goes on for so long after TERM as it likes, and its sidecar longer.
            eventually(
                lambda: caller.instances() == 1 and time.monotonic() > told + 1.5, "nobody hears of it", seconds=10
            )
            applications[0].refuse()
            ended = time.monotonic()
            eventually(lambda: load.answers[-1][0] > ended + 0.5, "nobody asks")
            assert one.process.poll() is None
            since = time.monotonic()
            one.process.send_signal(signal.SIGTERM)
            assert one.process.wait(SOON) == 0 and time.monotonic() - since < 1, "it waited once more"
            gone = time.monotonic()
            eventually(lambda: load.answers[-1][0] > gone + 0.3, "nobody asks")
        assert [each for each in load.answers if each[1] != 200] == []
        assert {each[2] for each in load.answers if each[0] < told} == {"one", "two"}
        assert {each[2] for each in load.answers if each[0] > ended + 0.3} == {"two"}


def has_stopped(process):
    """Whether each of its threads has: one that is busy answers once more."""
    states = [each.read_text().rpartition(")")[2].split()[0] for each in Path(f"/proc/{process}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_a_registry_that_is_away_is_asked_again(tmp_path):
    with contextlib.ExitStack() as stack:
        with (tmp_path / "registry.log").open("wb") as log:
            registry = Registry(log)
            member = stack.enter_context(Member("cart", registry.port, tmp_path))
            registry.process.send_signal(signal.SIGSTOP)
            stack.callback(registry.stop)
            stack.callback(registry.process.send_signal, signal.SIGCONT)
            eventually(lambda: has_stopped(registry.process.pid), "it goes on")
            member.process.send_signal(signal.SIGUSR1)
            eventually(lambda: "cannot end the registration" in member.log.read_text(), member.log.read_text, 10)
            eventually(lambda: member.log.read_text().count("cannot end the registration") > 1, "asked once", 20)
            registry.process.send_signal(signal.SIGCONT)
            eventually(lambda: "no longer registered" in member.log.read_text(), "given up", 20)
            assert member.process.poll() is None
