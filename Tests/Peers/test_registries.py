# SPDX-License-Identifier: Apache-2.0
"""Several registries side by side: a service belongs to the first one in the configured order that has it."""

import json
import subprocess

import pytest

from harness import binary, eventually, free_port
from test_discovery import Caller, Instance, register, registry, world  # noqa: F401
from test_registry import Registry

BOTH = ["servicecenter,file", "file,servicecenter"]


def write(path, **services):
    """A registry file, put in its place at once."""
    entries = [f'  - {{name: {name}, instance: ["{instance.endpoint}"]}}\n' for name, instance in services.items()]
    fresh = path.with_suffix(".new")
    fresh.write_text("service:\n" + "".join(entries) if entries else "service: []\n")
    fresh.rename(path)


def keys(path, order):
    return {"cse.service.registry.type": order, "mesher.registry.file": str(path)}


def admin(caller, path):
    return json.loads(caller.ask(path)[1])


def ready(caller):
    return caller.ask("/readyz")[1].strip()


@pytest.fixture
def services(world):  # noqa: F811
    """One instance for each place that a service is in."""
    return {name: world(Instance, name) for name in ("a", "b", "c of the center", "c of the file", "d")}


@pytest.mark.parametrize("order", BOTH)
def test_a_service_belongs_to_the_first_registry_that_has_it(world, registry, services, tmp_path, order):  # noqa: F811
    register(registry, services["a"], name="a")
    register(registry, services["c of the center"], name="c")
    write(tmp_path / "services.yaml", b=services["b"], c=services["c of the file"])
    caller = world(Caller, tmp_path / "web", registry.port, **keys(tmp_path / "services.yaml", order))
    first, second = order.split(",")
    mine = "c of the center" if first == "servicecenter" else "c of the file"
    # The first request already.
    assert caller.get("c") == (200, None, mine)
    assert caller.get("a") == (200, None, "a")
    assert caller.get("b") == (200, None, "b")
    assert caller.get("nosuch")[:2] == (502, "no_endpoint")
    assert services["c of the center" if first == "file" else "c of the file"].requests == 0
    eventually(lambda: ready(caller) == "ready", "both have answered")

    def shares():
        return {each["name"]: each for each in admin(caller, "/v1/mesher/services")["sources"]}

    assert [each["name"] for each in admin(caller, "/v1/mesher/services")["sources"]] == [first, second]
    assert set(shares()[first]["services"]) == ({"a", "c"} if first == "servicecenter" else {"b", "c"})
    if first == "servicecenter":
        assert (shares()["file"]["services"], shares()["file"]["hidden"]) == (["b"], ["c"])
        told = caller.log.read_text()
        assert told.count("a service is in several registries") == 1
    health = {each["name"]: each for each in admin(caller, "/v1/mesher/health")["registries"]}
    assert health[first]["synced"] and health[second]["synced"]


def test_each_of_them_changes_while_the_sidecar_runs(world, registry, services, tmp_path):  # noqa: F811
    path = tmp_path / "services.yaml"
    service, (instance,) = register(registry, services["c of the center"], name="c")
    write(path, b=services["b"], c=services["c of the file"])
    caller = world(Caller, tmp_path / "web", registry.port, **keys(path, BOTH[0]))
    assert caller.get("c")[2] == "c of the center" and caller.get("b")[2] == "b"
    write(path, c=services["c of the file"], d=services["d"])
    eventually(lambda: caller.get("d")[:1] == (200,), "the file has one more")
    assert caller.get("d")[2] == "d" and caller.get("c")[2] == "c of the center"
    eventually(lambda: caller.get("b")[1] == "no_endpoint", "the file has one less")
    # What the first one has no more is the second one's, and the other way round.
    assert registry.call("DELETE", f"/microservices/{service}/instances/{instance}")[0] == 200
    assert registry.call("DELETE", f"/microservices/{service}?force=true")[0] == 200
    eventually(lambda: caller.get("c")[2] == "c of the file", "the file has it still", seconds=15)
    register(registry, services["d"], name="d")
    register(registry, services["a"], name="c", version="2.0.0")
    eventually(lambda: caller.get("c")[2] == "a", "the registry has it again", seconds=15)


@pytest.mark.parametrize("order", BOTH)
def test_a_file_serves_while_the_registry_is_away(world, services, tmp_path, order):  # noqa: F811
    path, port = tmp_path / "services.yaml", free_port("127.0.0.1")
    write(path, b=services["b"])
    caller = world(Caller, tmp_path / "web", port, **keys(path, order))
    assert caller.get("b") == (200, None, "b")
    assert caller.get("a")[:2] == (503, "not_ready")
    assert ready(caller) == "not ready: registry"
    health = {each["name"]: each for each in admin(caller, "/v1/mesher/health")["registries"]}
    assert health["file"]["synced"] and not health["servicecenter"]["synced"]
    with (tmp_path / "registry.log").open("wb") as log:
        running = world(Registry, log, port)
        register(running, services["a"], name="a")
        eventually(lambda: caller.get("a")[0] == 200, "the registry is there", seconds=20)
        eventually(lambda: ready(caller) == "ready", "ready")
        running.stop()
    assert caller.get("b")[0] == 200 and caller.get("a")[0] == 200
    write(path, b=services["b"], d=services["d"])
    eventually(lambda: caller.get("d")[:1] == (200,), "the file is followed on", seconds=10)


def test_a_registry_serves_while_the_file_is_missing(world, registry, services, tmp_path):  # noqa: F811
    register(registry, services["a"], name="a")
    path = tmp_path / "services.yaml"
    caller = world(Caller, tmp_path / "web", registry.port, **keys(path, BOTH[1]))
    eventually(lambda: ready(caller) == "not ready: registry file", "the registry has answered")
    assert caller.get("a") == (200, None, "a")
    write(path, b=services["b"])
    eventually(lambda: caller.get("b") == (200, None, "b"), "the file is there")
    assert ready(caller) == "ready"


def check(folder, text):
    (folder / "chassis.yaml").write_text(text)
    (folder / "microservice.yaml").write_text("service_description: {name: web}\n")
    (folder / "service.json").write_text('{"service": []}')
    done = subprocess.run(
        [binary(), "check"], env={"CHASSIS_CONF_DIR": str(folder)}, capture_output=True, text=True, timeout=20
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("cse: {service: {registry: {type: 'servicecenter, file'}}}", 0, "no errors"),
        ("cse: {service: {registry: {type: [servicecenter, file]}}}", 0, "no errors"),
        ("cse: {service: {registry: {type: 'servicecenter,fiel'}}}", 1, 'unknown registry type "fiel"; write file'),
        ("cse: {service: {registry: {type: 'file,file'}}}", 1, "file stands there twice"),
        ("mesher: {registry: {file: x.yaml}}", 0, "it has no effect"),
        ("cse: {service: {registry: {type: file, address: a}}}\nmesher: {registry: {file: b}}", 0, "no effect"),
    ],
)
def test_what_is_written_wrongly_is_told(tmp_path, text, code, words):
    done, said = check(tmp_path, text)
    assert (done, words in said) == (code, True), said
