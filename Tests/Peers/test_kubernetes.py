# SPDX-License-Identifier: Apache-2.0
"""What a cluster is given: the chart, the kustomize overlays and the plain files, checked without a cluster.

`UPDATE_GOLDEN=1` writes the golden files anew.
"""

import base64
import difflib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

import authority
import cluster
import harness
from harness import REPOSITORY, binary

PACKAGING = REPOSITORY / "packaging"
CHART = PACKAGING / "helm/mesher"
PLAIN = PACKAGING / "kubernetes"
PAGE = REPOSITORY / "docs/kubernetes.md"
FIXTURES = REPOSITORY / "Tests/Fixtures/Kubernetes"
TOOLS = REPOSITORY / ".venv/kubernetes"
CASES = sorted(path.stem for path in (FIXTURES / "values").glob("*.yaml"))
RENDERINGS = [*CASES, "plain sc", "plain pilot"]
BASE = "sidecar-injector-webhook-mesher"
SELECTORS = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
NEWEST = ".".join(kubernetes_validate.latest_version().split(".")[:2])

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="helm and kubectl are there for x86_64 only")


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return {"PATH": f"{TOOLS}:{os.environ['PATH']}", "HOME": str(home)}


@pytest.fixture(scope="module")
def render(environment):
    """The text of a rendering: of the chart with values, or of plain files."""
    done = {}

    def rendered(case, *options):
        if (case, options) not in done:
            values = [] if case is None else ["--values", FIXTURES / f"values/{case}.yaml"]
            where = ["--namespace", "servicecomb", "--api-versions", "monitoring.coreos.com/v1"]
            result = run("helm", "template", "mesher", CHART, *where, *values, *options, env=environment)
            assert result.returncode == 0, result.stderr
            done[case, options] = result.stdout
        return done[case, options]

    return rendered


@pytest.fixture(scope="module")
def objects(render):
    """The objects of a rendering."""

    def read(case):
        if case.startswith("plain "):
            text = (PLAIN / f"mesher-{case.removeprefix('plain ')}.yaml").read_text()
        else:
            text = render(case)
        return [each for each in yaml.safe_load_all(text) if each]

    return read


def one(objects, kind, name=None):
    (found,) = (each for each in objects if each["kind"] == kind and (name is None or each["metadata"]["name"] == name))
    return found


def named(objects, kind):
    return {each["metadata"]["name"] for each in objects if each["kind"] == kind}


def container(objects):
    (found,) = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return found


def template(objects):
    """The text that says what sidecars are made of."""
    (name,) = (
        name for name in named(objects, "ConfigMap") if name.endswith("-configmap") and name != "mesher-configmap"
    )
    return one(objects, "ConfigMap", name)["data"]["sidecar_k8s_spec.yaml"]


# MARK: The chart by itself


def test_the_linters_find_nothing(environment):
    done = run("helm", "lint", "--strict", "--quiet", CHART, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rules = {
        "extends": "default",
        "rules": {
            "line-length": {"max": 132},
            "document-start": "disable",
            "braces": "disable",
            "indentation": {"indent-sequences": True},
        },
    }
    files = [CHART / "Chart.yaml", CHART / "values.yaml", PLAIN / "base", PLAIN / "overlays", PLAIN / "components"]
    linter = Path(sys.executable).with_name("yamllint")
    done = run(linter, "--strict", "--config-data", json.dumps(rules), *files)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("case", CASES)
def test_the_chart_renders_what_it_did(render, case):
    golden = FIXTURES / f"golden/{case}.yaml"
    text = render(case)
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    changes = difflib.unified_diff(
        golden.read_text().splitlines(), text.splitlines(), "golden", "rendered", lineterm=""
    )
    assert not list(changes)


def test_rendering_twice_is_the_same_and_asks_no_cluster(render):
    assert render(None) == render(None, "--is-upgrade") == render("default")
    for path in (CHART / "templates").iterdir():
        assert not re.search(r"\blookup\b|\brand\w*|genCA|genSigned|\bnow\b|helm\.sh/hook", path.read_text()), path


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"injektor": {}}, "additional properties 'injektor' not allowed"),
        ({"injector": {"replicas": 3}}, "additional properties 'replicas' not allowed"),
        ({"sidecar": {"image": {"name": "x"}}}, "additional properties 'name' not allowed"),
        ({"injector": {"failurePolicy": "fail"}}, "/injector/failurePolicy"),
        ({"injector": {"port": 0}}, "/injector/port"),
        ({"injector": {"kubernetesVersion": 1.34}}, "/injector/kubernetesVersion"),
        ({"sidecar": {"discoveryType": "istio"}}, "/sidecar/discoveryType"),
        ({"sidecar": {"runAsUser": 0}}, "/sidecar/runAsUser"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        (
            {"injector": {"certManager": {"enabled": True}, "certificate": {"secretName": "x"}}},
            "injector.certManager.enabled and injector.certificate.secretName are both set",
        ),
        ({"injector": {"certificate": {"caBundle": "-----BEGIN CERTIFICATE-----"}}}, "secretName, which is not set"),
        (
            {"injector": {"certificate": {"secretName": "x"}}},
            "injector.certificate.secretName needs injector.certificate.caBundle: set it to the PEM text",
        ),
        ({"rbac": {"rules": []}}, "additional properties 'rules' not allowed"),
    ],
)
def test_a_slip_fails_the_installation(environment, tmp_path, values, told):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = run("helm", "template", "mesher", CHART, "--values", file, env=environment)
    assert done.returncode == 1 and told in done.stderr


@pytest.mark.parametrize(("version", "fits"), [("1.28.15", False), ("1.29.0", True), ("v1.33.1-gke.100", True)])
def test_clusters_that_it_is_for(environment, version, fits):
    done = run("helm", "template", "mesher", CHART, "--kube-version", version, env=environment)
    assert (done.returncode == 0) == fits, done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "rollout status deployment/sidecar-injector-webhook-mesher-deployment"),
        ([], f"keeps it in the Secret {BASE}-certs."),
        (["rbac.create=false"], "It needs rights that this chart has not given"),
        (["injector.certManager.enabled=true"], f"get certificate {BASE}\n"),
        (["injector.replicaCount=1"], "There is one replica"),
        (["injector.enabled=false"], "No injector was installed"),
    ],
)
def test_the_installation_says_what_is_next(environment, options, told):
    settings = [word for option in options for word in ("--set", option)]
    done = run("helm", "install", "mesher", CHART, "--dry-run=client", *settings, env=environment)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert told in notes and "kubectl label namespace shop" in notes


def test_every_value_is_in_the_schema_and_none_besides():
    """Closed at every level, but for maps whose keys are the user's."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)

    def compare(values, schema, path):
        if schema.get("type") != "object" or "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        known = set(schema["properties"]) - {"global"}
        if values or path == "":
            optional = known if path in (".sidecar.image", ".injector.resources", ".sidecar.resources") else set()
            assert set(values) | optional == known, path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, schema["properties"][key], f"{path}.{key}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), schema, "")


def test_one_version_everywhere():
    source = (REPOSITORY / "Sources/Common/BuildInfo.swift").read_text()
    version = re.search(r'sourceVersion = "(.*)"', source)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    for file in (PLAIN / "base/kustomization.yaml", *PLAIN.glob("*/*/kustomization.yaml")):
        assert set(re.findall(r"(?:version|newTag): ([\d.]\S*)", file.read_text())) == {version}


# MARK: All renderings


@pytest.mark.parametrize("version", ["1.29", NEWEST])
@pytest.mark.parametrize("case", RENDERINGS)
def test_kubernetes_knows_every_field(objects, case, version):
    custom = json.loads((FIXTURES / "custom-resources.json").read_text())
    for each in objects(case):
        schema = custom.get(f"{each['apiVersion']} {each['kind']}")
        if schema:
            jsonschema.validate(each["spec"], schema)
        else:
            assert kubernetes_validate.validate(each, version, strict=True) == version


@pytest.mark.parametrize("case", RENDERINGS)
def test_everything_that_is_named_is_there(objects, case):
    every = objects(case)
    deployment, service = one(every, "Deployment"), one(every, "Service")
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [
        each["spec"]["selector" if "selector" in each["spec"] else "podSelector"]["matchLabels"]
        for each in every
        if each["kind"] in ("PodDisruptionBudget", "NetworkPolicy")
    ]
    for selector in selectors:
        assert set(selector) == SELECTORS and selector.items() <= labels.items()
    ports = {port["name"] for port in container(every)["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for probe in ("readinessProbe", "livenessProbe"):
        assert container(every)[probe]["httpGet"]["port"] in ports
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container(every)["volumeMounts"]} == set(volumes)
    maps = {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    assert maps <= named(every, "ConfigMap")
    (webhook,) = one(every, "MutatingWebhookConfiguration")["webhooks"]
    where = webhook["clientConfig"]["service"]
    assert (where["namespace"], where["name"]) == (service["metadata"]["namespace"], service["metadata"]["name"])
    assert where["port"] == service["spec"]["ports"][0]["port"]
    # Its own pods never wait for it: by namespace, and by label.
    assert where["namespace"] in webhook["namespaceSelector"]["matchExpressions"][0]["values"]
    assert labels["app"] in webhook["objectSelector"]["matchExpressions"][0]["values"]


@pytest.mark.parametrize("case", RENDERINGS)
def test_the_injector_satisfies_restricted(objects, case):
    spec = one(objects(case), "Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(objects(case))["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec.get("hostNetwork", False) == (case == "everything")
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {"configMap", "secret"}


@pytest.mark.parametrize("case", RENDERINGS)
def test_images_have_a_version_and_labels_are_complete(objects, case):
    every = objects(case)
    sidecar = yaml.safe_load(template(every))["containers"][0]
    for image in (container(every)["image"], sidecar["image"]):
        assert re.search(r"(:\d[^/]*|@sha256:[0-9a-f]{64})$", image), image
    wanted = SELECTORS | {"app.kubernetes.io/version", "app.kubernetes.io/part-of"}
    if not case.startswith("plain "):
        wanted |= {"app.kubernetes.io/managed-by", "helm.sh/chart"}
    for each in every:
        if each["metadata"]["name"] != "clients":
            assert wanted <= set(each["metadata"]["labels"]), each["metadata"]


def renamed(value, base):
    """A value with another base of all names."""
    return json.loads(json.dumps(value).replace(BASE, base))


@pytest.mark.parametrize("case", RENDERINGS)
def test_the_injector_has_the_rights_that_it_needs_and_no_others(objects, case):
    """Those with which it runs beside the API server of the tests, where it makes its certificate; else none."""
    every = objects(case)
    base, account = ("mesh-injector" if case == "everything" else BASE), "mesher-sidecar-injector-service-account"
    spec = one(every, "Deployment")["spec"]["template"]["spec"]
    rules = [each for each in every if each["apiVersion"].startswith("rbac.")]
    if case == "own-account":
        assert (spec["serviceAccountName"], named(every, "ServiceAccount"), rules) == ("injector", set(), [])
        assert spec["automountServiceAccountToken"] is True
        return
    account = one(every, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["name"] == spec["serviceAccountName"]
    if case in MOUNTED:
        assert rules == [] and spec["automountServiceAccountToken"] is False
        return
    assert spec["automountServiceAccountToken"] is True and len(rules) == 4
    assert one(every, "Role")["rules"] == renamed(cluster.ROLE, base)
    assert one(every, "ClusterRole")["rules"] == renamed(cluster.CLUSTER_ROLE, base)
    subject = {"kind": "ServiceAccount", "name": account["metadata"]["name"], "namespace": "servicecomb"}
    for kind in ("Role", "ClusterRole"):
        role, binding = one(every, kind), one(every, f"{kind}Binding")
        assert binding["subjects"] == [subject]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role["metadata"]["name"]}
        assert binding["roleRef"] == reference
        assert role["metadata"].get("namespace") == ("servicecomb" if kind == "Role" else None)
    # What the options name is what the rules are for.
    options = dict(option.lstrip("-").split("=", 1) for option in container(every)["args"][1:] if "=" in option)
    assert options["certificateSecret"] == renamed(cluster.SECRET[1], base)
    assert options["webhookConfigName"] == renamed(cluster.CONFIGURATION[1], base)
    assert options["webhookConfigName"] == one(every, "MutatingWebhookConfiguration")["metadata"]["name"]
    assert options["serviceName"] == one(every, "Service")["metadata"]["name"]


# Where the certificate is somebody else's.
MOUNTED = {"cert-manager", "own-authority", "own-certificates"}


@pytest.mark.parametrize("case", RENDERINGS)
def test_the_certificate_is_somebody_s(objects, case):
    """The injector's own, or one that is mounted where it looks, and whose authority the API server is told."""
    every = objects(case)
    spec = one(every, "Deployment")["spec"]["template"]["spec"]
    webhook = one(every, "MutatingWebhookConfiguration")
    where = webhook["webhooks"][0]["clientConfig"]
    told = webhook["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from")
    mounted = [volume["secret"]["secretName"] for volume in spec["volumes"] if volume["name"] == "certificates"]
    if case not in MOUNTED:
        assert (mounted, told) == ([], None) and "caBundle" not in where
        assert not named(every, "Certificate") | named(every, "Issuer")
        return
    (secret,) = mounted
    mount = {"name": "certificates", "mountPath": "/etc/webhook/mesher/certs", "readOnly": True}
    assert mount in container(every)["volumeMounts"] and "--manageCABundle=false" in container(every)["args"]
    if case == "own-certificates":
        assert base64.b64decode(where["caBundle"]).startswith(b"-----BEGIN CERTIFICATE-----\nMIIB\n")
        assert (secret, told) == ("mesher-tls", None)
        assert not named(every, "Certificate") | named(every, "Issuer")
        return
    certificate = one(every, "Certificate", BASE)
    assert "caBundle" not in where and told == f"servicecomb/{BASE}"
    assert certificate["metadata"]["namespace"] == "servicecomb"
    assert certificate["spec"]["secretName"] == secret
    assert f"{where['service']['name']}.{where['service']['namespace']}.svc" in certificate["spec"]["dnsNames"]
    if case == "cert-manager":
        assert certificate["spec"]["issuerRef"] == {"name": "company", "kind": "ClusterIssuer"}
        assert not named(every, "Issuer") and named(every, "Certificate") == {BASE}
        assert not named(every, "PodDisruptionBudget"), "one replica"
        return
    # An authority that signs itself, and this certificate.
    issuer = one(every, "Issuer", certificate["spec"]["issuerRef"]["name"])
    root = one(every, "Certificate", f"{BASE}-ca")
    assert root["spec"]["isCA"] and root["spec"]["secretName"] == issuer["spec"]["ca"]["secretName"]
    assert one(every, "Issuer", root["spec"]["issuerRef"]["name"])["spec"] == {"selfSigned": {}}


# MARK: Kustomize and plain files


def essence(every):
    """What is there whoever made it, sorted."""
    kept = {}
    for each in every:
        each = json.loads(json.dumps(each))
        metas = [each["metadata"]]
        if each["kind"] == "Deployment":
            metas.append(each["spec"]["template"]["metadata"])
        for meta in metas:
            meta.pop("annotations", None)
            for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                meta["labels"].pop(label, None)
        kept[each["kind"], each["metadata"]["name"]] = each
    return kept


@pytest.mark.parametrize("kind", ["sc", "pilot"])
def test_overlay_plain_file_and_chart_are_the_same(environment, render, objects, kind):
    done = run("kubectl", "kustomize", PLAIN / f"overlays/{kind}", env=environment)
    assert done.returncode == 0, done.stderr
    overlay = essence(yaml.safe_load_all(done.stdout))
    assert overlay == essence(objects(f"plain {kind}"))
    chart = render(None, "--set", f"sidecar.discoveryType={kind}")
    assert overlay == essence(each for each in yaml.safe_load_all(chart) if each)
    assert f"defaultDiscoveryType: {kind}\n" in template(overlay.values())


def test_the_component_for_cert_manager_and_the_chart_are_the_same(environment, render, tmp_path):
    shutil.copytree(PACKAGING, tmp_path / "packaging")
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["packaging/kubernetes/overlays/sc"],
        "components": ["packaging/kubernetes/components/cert-manager"],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(document))
    done = run("kubectl", "kustomize", tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    every = [each for each in yaml.safe_load_all(done.stdout) if each]
    chart = [each for each in yaml.safe_load_all(render("own-authority")) if each]
    for each in (*every, *chart):
        if each["kind"] == "Deployment":
            for part in (each["spec"]["template"]["spec"], container([each])):
                part["volumes" if "volumes" in part else "volumeMounts"].sort(key=lambda volume: volume["name"])
    assert essence(every) == essence(chart)
    kind = "MutatingWebhookConfiguration"
    assert one(every, kind)["metadata"]["annotations"] == one(chart, kind)["metadata"]["annotations"]


def test_rendering_the_files_anew_changes_no_octet(environment, tmp_path):
    copy = tmp_path / "packaging"
    shutil.copytree(PACKAGING, copy)
    for file in copy.glob("kubernetes/mesher-*.yaml"):
        file.unlink()
    done = run(copy / "kubernetes/render", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    for file in PLAIN.rglob("*.yaml"):
        assert (copy / "kubernetes" / file.relative_to(PLAIN)).read_bytes() == file.read_bytes(), file


# MARK: The page


def test_the_kustomization_of_the_page(environment, tmp_path):
    block = re.search(r"^```yaml\n(apiVersion: kustomize.*?)^```", PAGE.read_text(), re.S | re.M)[1]
    (tmp_path / "kustomization.yaml").write_text(block)
    shutil.copytree(PACKAGING, tmp_path / "mesher/packaging")
    text = "containers: [{name: sidecar-mesher, image: registry.example.org/mesher:0.1.0}]\n"
    (tmp_path / "sidecar_k8s_spec.yaml").write_text(text)
    done = run("kubectl", "kustomize", tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    every = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert container(every)["image"].startswith("registry.example.org/mesher:")
    assert template(every) == text


def test_the_values_of_the_page(environment):
    """Each is in the schema, those of one row beside each other, and defaults are those of the chart."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    section = PAGE.read_text().partition("## With Helm")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", section, re.M)
    assert len(rows) > 15
    for keys, default in rows:
        names = re.findall(r"`([\w.]+)`", keys)
        stem = names[0].rpartition(".")[0]
        found = values
        for name in names:
            found = values
            for part in (stem + name if name.startswith(".") else name).split("."):
                assert part in found, f"{keys}: {name}"
                found = found[part]
        if len(names) == 1 and (told := re.fullmatch(r"`(\S+)`|(\d+)", default)):
            assert str(found).lower() == (told[1] or told[2]).lower(), keys


# MARK: The program itself


@pytest.fixture(scope="module")
def program():
    if "--healthPort" not in run(binary(), "help", "injector").stdout:
        pytest.skip("this mesher has no injector")
    return binary()


@pytest.mark.parametrize("case", RENDERINGS)
def test_the_injector_takes_the_options(objects, program, case):
    """And explains each: those of the original that it takes, and does not use, are hidden."""
    options = [option.replace("$(POD_NAMESPACE)", "servicecomb") for option in container(objects(case))["args"]]
    explained = set(re.findall(r"--\w+", run(program, "help", "injector").stdout))
    assert {option.partition("=")[0] for option in options[1:]} <= explained
    done = run(program, *options, "--printTemplate")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("case", RENDERINGS)
def test_the_injector_takes_the_template(objects, program, tmp_path, case):
    pair = authority.Authority(tmp_path).issue("injector", ips=["127.0.0.1"])
    file = tmp_path / "sidecar_k8s_spec.yaml"
    file.write_text(template(objects(case)))
    port, health = (harness.free_port("127.0.0.1") for _ in range(2))
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [
                *(program, "injector", "--address=127.0.0.1", f"--port={port}", f"--healthPort={health}"),
                *(f"--sidecarCfgFile={file}", f"--tlsCertFile={pair.certificate}", f"--tlsKeyFile={pair.key}"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        harness.eventually(lambda: harness.listens("127.0.0.1", port), "the injector does not listen", seconds=10)
    finally:
        process.kill()
        process.wait()
    lines = (tmp_path / "log").read_text().splitlines()
    assert not [line for line in lines if "WARN" in line or "ERROR" in line]
