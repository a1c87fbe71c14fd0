# SPDX-License-Identifier: Apache-2.0
"""What has no effect is told by the check, the start and each reload in the same words; what is right hears nothing.

What is told of what stands in the tables of test_checks.py.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from governance import Instance, World
from harness import REPOSITORY, binary, eventually


def check(folder):
    return subprocess.run(
        [binary(), "check"], cwd=folder, capture_output=True, text=True, timeout=20,
        env={"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": ".", "REGISTRY_PASSWORD": "secret"},
    ).stdout  # fmt: skip


def rules(rule, service="cart"):
    return f"routeRule:\n  {service}:\n    - {rule}\n"


def test_the_log_tells_the_same():
    """At a start and at each reload; what is refused changes nothing."""
    cart = [Instance("one", version="1.0.0"), Instance("two", version="2.0.0")]
    canary = "match: {headers: {X-Env: {exact: canary}}}"
    with World({"cart": cart}, router=rules("{route: [{tags: {version: 1.0.0}, weight: 70}]}")) as world:
        sidecar = world.sidecar
        folder = Path(sidecar.directory.name)
        log = lambda: sidecar.log.read_text()  # noqa: E731
        told = check(folder).splitlines()[0].partition("warning: ")[2]
        assert told.startswith("routeRule.cart: the weights add up to 70") and told in log()
        sidecar.write("router.yaml", rules(f"{{{canary}, route: [{{tags: {{version: 2.0.0}}}}]}}")
                      + "  crat:\n    - route: [{tags: {version: 1.0.0}}]\n")  # fmt: skip
        eventually(lambda: "services.yaml has no service crat; did you mean cart?" in log(), log)
        eventually(lambda: world.ask("cart", "X-Env: canary").body == b"two", log)
        sidecar.write("router.yaml", rules("{precedence: 1, headers: {X-Env: {exact: canary}}, route: [{weight: 100}]}"))
        eventually(lambda: "the new configuration is refused" in log() and "it belongs below match" in log(), log)
        assert world.ask("cart", "X-Env: canary").body == b"two"
        services = (folder / "services.yaml").read_text()
        sidecar.write("services.yaml", services.replace("instance:", "instances:"))
        eventually(lambda: "registry file ignored" in log() and "did you mean instance?" in log(), log)
        assert world.ask("cart").body == b"two"
        sidecar.write("services.yaml", services + "  - {name: payment}\n")
        eventually(lambda: "payment has no instances" in log(), log)


FOLDERS = [path.parent for top in ("conf", "examples") for path in sorted((REPOSITORY / top).rglob("chassis.yaml"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_folders_of_the_repository_hear_nothing(folder):
    # Certificates of an example are made when it is tried.
    assert not re.search(r": warning: (?!.*\.(crt|key) cannot be read)", check(folder))


CHASSIS = """cse:
  service: {registry: {disabled: true}}
  handler:
    chain:
      Consumer:
        outgoing: tracing-consumer,access-log,traffic-marker,rate-limiter,router,ratelimiter-consumer,bizkeeper-consumer,fault-inject,loadbalance,transport
region: {name: north, availableZone: a}
"""


def pages():
    """The files that pages show, but for the one whose chains need what others say: blocks that begin with a name."""
    for page in sorted((REPOSITORY / "docs").glob("*.md")):
        for text in re.findall(r"```yaml\n(# (?!chassis)\w+\.yaml\n.*?)```", page.read_text(), re.S):
            yield pytest.param(text, id=f"{page.stem}-{text.split()[1]}")


@pytest.mark.parametrize("text", list(pages()))
def test_the_files_of_the_pages_hear_nothing(tmp_path, text):
    name = text.split()[1]
    (tmp_path / "chassis.yaml").write_text(CHASSIS)
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    (tmp_path / name).write_text(text)
    assert not re.search(rf"{name}:.*: warning: (?!.* is not set)", check(tmp_path))
