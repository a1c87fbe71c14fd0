# SPDX-License-Identifier: Apache-2.0
"""`mesher reference --schema`: what editors are told of the files is what `mesher check` says of them.

A schema may take what the program refuses, since it sees one value at a time. It never refuses what the program takes.
"""

import json
import re
import subprocess

import jsonschema
import pytest
import yaml

from harness import REPOSITORY, binary


class Loader(yaml.SafeLoader):
    """YAML as editors read it: the core schema of YAML 1.2, and no key twice."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        if len(names) != len(set(names)):
            raise yaml.constructor.ConstructorError(None, None, "a key stands here twice", node.start_mark)
        return super().construct_mapping(node, deep)


for tag, expression, first in [
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("merge", r"^<<$", "<"),
]:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(expression), list(first))


def load(text):
    return yaml.load(text, Loader)


@pytest.fixture(scope="module")
def schemas(tmp_path_factory):
    """The validators, by the name of the file that they are for."""
    folder = tmp_path_factory.mktemp("schemas")
    subprocess.run([binary(), "reference", "--schema", "--output", str(folder)], check=True, timeout=30)
    found = {path.stem + ".yaml": json.loads(path.read_text()) for path in folder.glob("*.json")}
    return {name: jsonschema.Draft7Validator(schema) for name, schema in found.items()}


def mistakes(schemas, file, document):
    return [f"{'.'.join(map(str, each.path))}: {each.message[:300]}" for each in schemas[file].iter_errors(document)]


def reference():
    printed = subprocess.run([binary(), "reference", "--json"], capture_output=True, text=True, timeout=20, check=True)
    return json.loads(printed.stdout)


def test_they_are_schemas(schemas):
    assert {"chassis.yaml", "mesher.yaml", "mesh.yaml", "router.yaml", "services.yaml"} <= schemas.keys()
    assert {row["file"] for row in reference()} <= schemas.keys()
    for name, validator in schemas.items():
        jsonschema.Draft7Validator.check_schema(validator.schema)
        definitions = validator.schema.get("definitions", {})
        used = set(re.findall(r'"\$ref": "#/definitions/([^"]+)"', json.dumps(validator.schema)))
        assert used == definitions.keys(), name
        # Expressions are read by ECMAScript in editors: no groups with names, and no flags.
        assert "(?P" not in json.dumps(validator.schema) and "(?i" not in json.dumps(validator.schema)


def test_one_file_at_a_time(schemas):
    for arguments, file in [(["mesh.yaml"], "mesh.yaml"), (["mesh"], "mesh.yaml"), ([], "chassis.yaml")]:
        done = subprocess.run([binary(), "reference", "--schema", *arguments], capture_output=True, timeout=20)
        assert json.loads(done.stdout) == schemas[file].schema
    done = subprocess.run([binary(), "reference", "--schema", "nginx"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "there is no schema of nginx.yaml, only of auth.yaml" in done.stderr


# ---- What is right


def samples():
    """The configuration files of the repository; a file of Compose is none."""
    paths = [path for folder in ["conf", "examples"] for path in sorted((REPOSITORY / folder).rglob("*.yaml"))]
    return [path for path in paths if path.name != "compose.yaml"]


@pytest.mark.parametrize("path", samples(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_sample(schemas, path):
    assert mistakes(schemas, path.name, load(path.read_text())) == []


def examples():
    """The YAML of the pages: blocks, and what is typed into files. A name in the first line says which file it is."""
    for page in sorted(REPOSITORY.glob("docs/*.md")):
        text = page.read_text()
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", text, re.S | re.M), 1):
            # Manifests of Kubernetes, and files of Compose.
            if block.startswith("apiVersion:") or "image:" in block:
                continue
            named = re.match(r"# (\w+\.yaml)", block)
            keys = {"service:": "services.yaml", "services:": "dev.yaml"}
            file = named[1] if named else keys.get(block.split(None, 1)[0], "chassis.yaml")
            yield pytest.param(file, block, id=f"{page.stem}-{number}")
        typed = re.findall(r"^\$ cat > (?:\S*/)?(\w+\.yaml) <<'END'\n(.*?)^> END$", text, re.S | re.M)
        for number, (file, lines) in enumerate(typed, 1):
            block = re.sub(r"^> ?", "", lines, flags=re.M)
            # A manifest of Kubernetes is no file of mesher.
            if re.search("^apiVersion:", block, re.M):
                continue
            yield pytest.param(file, block, id=f"{page.stem}-typed-{number}-{file}")


def in_a_hurry(identity):
    """The example of files with mistakes, all but one of which are in values."""
    return identity.startswith("configuration-typed-")


@pytest.mark.parametrize("file, block", [each for each in examples() if not in_a_hurry(each.id)])
def test_example_of_a_page(schemas, file, block):
    assert mistakes(schemas, file, load(block)) == []


def test_example_with_mistakes(schemas):
    found = {each.values[0]: mistakes(schemas, each.values[0], load(each.values[1])) for each in examples() if in_a_hurry(each.id)}
    assert [len(found[file]) for file in ("chassis.yaml", "mesher.yaml")] == [2, 1]
    assert found["mesher.yaml"][0].startswith("mesher.timeouts.connect: ")
    # A key that is not known is a warning.
    assert found["microservice.yaml"] == []


# ---- What is wrong

BROKEN = sorted(path for path in (REPOSITORY / "Tests/Fixtures/Broken").iterdir() if path.is_dir())
# What only the program can tell, and why.
UNSEEN = {
    "admin-without-address": "two keys",
    "edge-rules": "not active yet, and an expression",
    "listen-everywhere": "depends on the mode",
    "mode": "the command line",
    "no-chassis-file": "no file",
    "no-files-at-all": "no file",
    "no-microservice-file": "no file",
    "no-name": "what is missing may be in another file",
    "registry-tls": "two keys, and files",
    "route-expression": "an expression",
    "service-ports-number": "the environment",
    "service-ports-sign": "the command line",
    "specific-address": "the environment",
    "unknown-keys": "errors only with --strict",
    "variable-of-a-key": "the environment",
}


def broken(schemas, folder):
    found = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found += mistakes(schemas, path.name, load(path.read_text()))
        except yaml.YAMLError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("folder", BROKEN, ids=lambda folder: folder.name)
def test_broken_folder(schemas, folder):
    assert bool(broken(schemas, folder)) != (folder.name in UNSEEN), broken(schemas, folder)


MESH = {
    "clusters": [{"name": "one", "service": "cart"}],
    "hosts": [{"name": "shop", "routes": [{"targets": [{"cluster": "one"}]}]}],
}


@pytest.mark.parametrize(
    "wrong",
    [
        "{hosts: [], clusters: [], host: []}",
        "{hosts: {a: 1}}",
        "{clusters: [{service: cart}]}",
        "{clusters: [{name: a, service: cart, serivce: b}]}",
        "{clusters: [{name: a, service: cart, limits: {request: 1}}]}",
        "{clusters: [{name: a, service: cart, balancing: SessionStickiness}]}",
        "{clusters: [{name: a, endpoints: [{adress: '1.2.3.4:5'}]}]}",
        "{hosts: [{name: a}]}",
        "{hosts: [{name: a, routes: [{target: [{cluster: a}]}]}]}",
        "{hosts: [{name: a, routes: [{targets: [{cluster: a, weight: -1}]}]}]}",
        "{hosts: [{name: a, routes: [{match: [{path: {exact: /a, prefix: /b}}], reply: {}}]}]}",
        "{hosts: [{name: a, routes: [{match: [{path: {exact: a}}], reply: {}}]}]}",
        "{hosts: [{name: a, routes: [{match: [{headers: {x: {equals: y}}}], reply: {}}]}]}",
        "{hosts: [{name: a, routes: [{match: [{methods: [get]}], reply: {}}]}]}",
        "{hosts: [{name: a, routes: [{redirect: {status: 300}}]}]}",
        "{hosts: [{name: a, routes: [{reply: {status: 99}}]}]}",
        "{hosts: [{name: a, routes: [{targets: [{cluster: a}], timeouts: {head: 5}}]}]}",
        "{hosts: [{name: a, routes: [{targets: [{cluster: a}], retry: {statuses: [200]}}]}]}",
        "{hosts: [{name: a, routes: [{targets: [{cluster: a}], hash: [{header: a, cookie: b}]}]}]}",
    ],
)
def test_mesh_takes_its_own_language_only(schemas, wrong):
    assert mistakes(schemas, "mesh.yaml", {"mesh": MESH}) == []
    assert mistakes(schemas, "mesh.yaml", {"mesh": load(wrong)})
    assert mistakes(schemas, "chassis.yaml", {"mesh": load(wrong)})


@pytest.mark.parametrize(
    "file, wrong",
    [
        ("router.yaml", "routeRule: {cart: {precedence: 1, route: [{weight: 100}]}}"),
        ("router.yaml", "routeRule: {cart: [{precedence: high, route: [{weight: 100}]}]}"),
        ("router.yaml", "routeRule: {com.shop: {cart: [{route: [{weight: 101}]}]}}"),
        ("router.yaml", "servicecomb: {routeRule: {cart: [{route: []}, {}]}}"),
        ("rate_limiting.yaml", "cse: {flowcontrol: {Consumer: {qps: {limit: {cart: 100/s}}}}}"),
        ("rate_limiting.yaml", "servicecomb: {flowcontrol: {Consumer: {qps: {limit: {com: {cart: 0.5}}}}}}"),
        ("circuit_breaker.yaml", "servicecomb: {isolation: {Consumer: {com.shop.cart: {timeoutInMilliseconds: 1s}}}}"),
        ("circuit_breaker.yaml", "cse: {isolation: {Consumer: {com: {shop: {timeoutInMilliseconds: 1s}}}}}"),
        ("circuit_breaker.yaml", "cse: {isolation.Consumer.com.shop.timeoutInMilliseconds: 1s}"),
        ("egress.yaml", "egressRule: {a: [{ports: [{port: 80}]}]}"),
        ("services.yaml", "services: []"),
        ("dev.yaml", "rules: {}"),
        ("dev.yaml", "services: {web: [[]]}"),
        ("dev.yaml", "services: {web: {prot: 8080}}"),
        ("dev.yaml", "services: {web: 808O}"),
        ("dev.yaml", "services: {web: [{port: 99999}]}"),
        ("dev.yaml", "services: {web: {port: 8080, health: healthz}}"),
        ("dev.yaml", "{services: {web: 8080}, routeRule: {}}"),
        ("dev.yaml", "{services: {web: 8080}, rules: {mesher: {timeouts: {connect: soon}}}}"),
        ("dev.yaml", "services: {web: {port: 8080, config: {mesher: {timeouts: {connect: soon}}}}}"),
        ("services.yaml", "service: [{name: cart, instance: [http]}]"),
        ("services.yaml", "service: [{name: cart, instance: [{version: 1.0.0}]}]"),
    ],
)
def test_mistake(schemas, file, wrong):
    assert mistakes(schemas, file, load(wrong))


def test_placeholders_and_quotes(schemas):
    right = """
    mesher:
      workers: "4"
      timeouts: {connect: "${CONNECT||1s}", drain: 1h30m, farewell: 0}
      limits: {buffer: "${BUFFER}", memory: 512MiB}
    cse.protocols.http.listenAddress: $INTERNAL_IP:30101
    servicecomb: {protocols.http.listenAddress: "[fd00::1]:30101", loadbalance: {strategy: {name: roundrobin}}}
    service_description: {version: 1.10, properties: {a: true}}
    localHealthCheck: [{port: "${PORT}"}]
    """
    assert mistakes(schemas, "chassis.yaml", load(right)) == []


# ---- Every key, whatever is written


# Whose values nobody looks at yet.
ANYTHING = ["service_description.paths", "service_description.schemas", "mesher.ingress.rule.http"]
# What stands in the place of names that users choose: such that the program looks at the values.
NAMES = {"protocol": "rest", "source": "web"}


def spellings(key):
    """One name of every form that a pattern of the reference has."""
    optional = re.search(r"\[([^\]]*)\]", key)
    if optional:
        rest = key[: optional.start()], key[optional.end() :]
        return [name for middle in ("", optional[1]) for name in spellings(middle.join(rest))]
    several = re.search(r"<([^>]*)>", key)
    if several:
        choices = several[1].split("|") if "|" in several[1] else [NAMES.get(several[1], "some")]
        return [name for each in choices for name in spellings(key[: several.start()] + each + key[several.end() :])]
    return [key]


def wrong_names(schemas, file, document):
    """The keys of a document of dotted keys that have errors."""
    return {each.path[0] for each in schemas[file].iter_errors(document)}


def nested(document):
    """The same with maps in the place of dots."""
    maps = {}
    for name, value in document.items():
        *parts, last = name.split(".")
        map = maps
        for part in parts:
            map = map.setdefault(part, {})
        map[last] = value
    return maps


def names_of(file, is_newer):
    """The names of the keys of a file whose values are looked at, with what is their default."""
    for row in reference():
        if file in (row["file"], "chassis.yaml") and row["state"] != "unused" and row["key"] not in ANYTHING:
            for name in [] if "<key>" in row["key"] else spellings(row["key"]):
                is_framework = name.startswith("cse.")
                if is_framework or not is_newer:
                    yield name.replace("cse.", "servicecomb.", 1) if is_newer else name, row["default"]


@pytest.mark.parametrize("is_newer", [False, True], ids=["cse", "servicecomb"])
@pytest.mark.parametrize("file", sorted({row["file"] for row in reference()}))
def test_every_key_is_known(schemas, file, is_newer):
    """As maps and with dots, with both prefixes; and every default is a value."""
    names = dict(names_of(file, is_newer))
    nothing = [[{}]]
    flat = {name: nothing for name in names}
    # A name without dots is no different as a map.
    assert set(names) - wrong_names(schemas, file, flat) == set()
    paths = [list(map(str, each.absolute_path)) for each in schemas[file].iter_errors(nested(flat))]
    found = {".".join(path[:length]) for path in paths for length in range(1, len(path) + 1)}
    assert set(names) - found == set()
    right = {name: load(text) for name, text in names.items() if text}
    assert wrong_names(schemas, file, right) | wrong_names(schemas, file, nested(right)) == set()


# What the program reads only when something else is there: TLS, profiles, a rule that refers to it, a name; or never.
UNREAD = re.compile(r"ssl\.|pprof\.listen|accessLogFormat|sourceTemplate\.|cse\.flowcontrol\.web\.|.*\.(schemas|operations)\.")

VALUES = """
true; "false"; YES; 0; 5; "7"; -1; 100; 1.5; 0.01; 1%; 2147483647; abc; ""; 5s; 1h30m; 64KiB; 1k; 127.0.0.1:6060; "[::1]:80";
"10.0.0.0/8, 192.168.1.7"; [10.0.0.0/8]; "rest : 8080 , grpc:9000"; [rest:8080]; "http_500,http_502"; [http_502]; ip; "b3, w3c"; [w3c];
random; tlsv1.3; "router,loadbalance,transport"; [ratelimiter-provider, transport]; "servicecenter, file"; [file]; per-host; /metrics;
UP; production; INSTANCE; returnnull; zoneaware; jittered; kie; v3; app; manual; zipkin; json; http://127.0.0.1:30100; "${HOME}"
"""


@pytest.mark.parametrize("value", [text.strip() for text in VALUES.split(";")])
def test_what_check_takes_the_schema_takes(schemas, value, tmp_path):
    """All keys have the value: of those that the program does not complain of, the schema does not either."""
    document = load(f"value: {value}")["value"]
    rows = reference()
    if isinstance(document, list):
        rows = [row for row in rows if re.match(r"list(?! of (hosts|clusters|\{))|one or several", row["type"])]
    names = [name for row in rows for name in spellings(row["key"])]
    (tmp_path / "chassis.yaml").write_text("".join(f"{name}: {value}\n" for name in dict.fromkeys(names)))
    done = subprocess.run(
        [binary(), "check", "--json"],
        env={"CHASSIS_CONF_DIR": str(tmp_path), "SERVICE_NAME": "web", "HOME": "/"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    refused = {each.get("key") for each in json.loads(done.stdout)["problems"] if each["severity"] == "error"}
    taken = [name for name in names if name not in refused and not UNREAD.match(name)]
    assert taken
    assert wrong_names(schemas, "chassis.yaml", {name: document for name in taken}) == set()
