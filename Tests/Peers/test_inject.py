# SPDX-License-Identifier: Apache-2.0
"""`mesher inject` and `mesher check --kubernetes` on real files, read by PyYAML, and by kubectl where it is installed."""

import json
import shutil
import subprocess

import pytest
import yaml

from harness import REPOSITORY, binary

KUBECTL = REPOSITORY / ".venv/kubernetes/kubectl"
POD = "containers:\n- name: web\n  image: web:1\n"


def mesher(*arguments, text="", code=0):
    """Runs the program; what it prints has the ends of lines that it wrote."""
    done = subprocess.run([binary(), *arguments], input=text.encode(), capture_output=True, timeout=30)
    assert done.returncode == code, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


def inject(text, *options, code=0):
    return mesher("inject", "-f", "-", *options, text=text, code=code)


def indented(text, blanks):
    return "".join(f"{' ' * blanks}{line}\n" for line in text.splitlines())


def workload(kind, version, path=("spec", "template")):
    """A manifest whose pod is at a path."""
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: web # its name\n"
    for depth, name in enumerate(path):
        text += f"{'  ' * depth}{name}:\n"
    return text + indented("spec:\n" + indented(POD + "# behind all\n", 2), 2 * len(path))


KINDS = {
    "Deployment": workload("Deployment", "apps/v1"),
    "StatefulSet": workload("StatefulSet", "apps/v1"),
    "DaemonSet": workload("DaemonSet", "apps/v1"),
    "ReplicaSet": workload("ReplicaSet", "apps/v1"),
    "ReplicationController": workload("ReplicationController", "v1"),
    "Job": workload("Job", "batch/v1") + "      restartPolicy: Never\n",
    "CronJob": workload("CronJob", "batch/v1", ("spec", "jobTemplate", "spec", "template")),
    "Pod": workload("Pod", "v1", ()),
}


def pod_of(document):
    if document["kind"] == "Pod":
        return document
    spec = document["spec"]
    return (spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec)["template"]


def containers(pod):
    spec = pod["spec"]
    return [each["name"] for part in ("initContainers", "containers") for each in spec.get(part) or []]


def without_sidecar(document):
    """The same document with all that an injection adds taken away."""
    document = json.loads(json.dumps(document))
    pod = pod_of(document)
    for part in ("initContainers", "containers"):
        kept = [each for each in pod["spec"].get(part) or [] if each["name"] != "sidecar-mesher"]
        pod["spec"][part] = kept
        if not kept:
            del pod["spec"][part]
    volumes = [each for each in pod["spec"].pop("volumes", None) or [] if each["name"] != "mesher-conf"]
    if volumes:
        pod["spec"]["volumes"] = volumes
    metadata = pod.pop("metadata", None) or {}
    for part, names in {"annotations": ("status", "injector"), "labels": ("injected",)}.items():
        for name in names:
            (metadata.get(part) or {}).pop(f"sidecar.mesher.io/{name}", None)
        if not metadata.get(part):
            metadata.pop(part, None)
    if metadata:
        pod["metadata"] = metadata
    return document


def check_kubectl(text):
    """kubectl reads every object, without a cluster."""
    if not KUBECTL.exists():
        return
    done = subprocess.run(
        [KUBECTL, "annotate", "--local", "-f", "-", "-o", "json", "read=by-kubectl"],
        input=text, capture_output=True, text=True, timeout=60, env={"HOME": "/nonexistent", "PATH": "/usr/bin"},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("native", ["yes", "no"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gets_its_sidecar(kind, native):
    text = KINDS[kind]
    printed, told = inject(text, "--native", native)
    assert told.splitlines()[0] == f'{kind.lower()} "web" injected'
    document = yaml.safe_load(printed)
    pod = pod_of(document)
    expected = ["sidecar-mesher", "web"] if native == "yes" else ["web", "sidecar-mesher"]
    assert containers(pod) == expected
    assert pod["metadata"]["annotations"]["sidecar.mesher.io/status"] == "injected"
    assert without_sidecar(document) == yaml.safe_load(text)
    # Lines are inserted, and none is changed or moved.
    rest = iter(printed.splitlines())
    assert all(line in rest for line in text.splitlines())
    assert inject(printed, "--native", native)[0] == printed
    check_kubectl(printed)


def test_a_job_ends_with_its_sidecar():
    assert containers(yaml.safe_load(inject(KINDS["Job"])[0])["spec"]["template"]) == ["sidecar-mesher", "web"]


ALL = """\
# Everything of the shop.
apiVersion: v1
kind: Service
metadata: {name:   web}   # spaces stay
---
# Source: shop/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: &labels
    app: web
    version: "1.10"
spec:
  selector: {matchLabels: *labels}
  template:
    metadata:
      labels: *labels
      annotations:
        sidecar.mesher.io/inject: "yes"
        sidecar.mesher.io/servicePorts: "rest:8080,rest-admin:8081"
        checksum: "0123"
        text: |
          --- two
            lines
        folded: >-
          yes
          no
    spec:
      containers:
      - &web
        name: web
        image: web:1
        args: ["--on", 'no', 1.50]
        env:
        - {name: NO, value: "off"}
        # further ones
        #   - name: x
      # at the end of the list
      volumes:
      - name: mesher-data
        emptyDir: {}
...
---
# only a comment
---
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {name: other}
spec: {template: {spec: {containers: [{name: other}]}}}
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_comments_anchors_blocks_and_quotes_survive(end):
    text = ALL.replace("\n", end)
    printed, told = inject(text)
    assert told.splitlines() == ['service "web" passed on', 'deployment "web" injected', 'job "other" passed on']
    assert printed.count("\n") == printed.count(end)
    before, after = list(yaml.safe_load_all(text)), list(yaml.safe_load_all(printed))
    assert after[0] == before[0] and after[2:] == before[2:]
    assert without_sidecar(after[1]) == before[1]
    metadata = after[1]["spec"]["template"]["metadata"]
    assert metadata["labels"] == {"app": "web", "version": "1.10", "sidecar.mesher.io/injected": "true"}
    assert after[1]["spec"]["selector"]["matchLabels"] == {"app": "web", "version": "1.10"}
    assert metadata["annotations"]["sidecar.mesher.io/inject"] == "yes"
    [sidecar] = [each for each in after[1]["spec"]["template"]["spec"]["containers"] if each["name"] == "sidecar-mesher"]
    variables = {each["name"]: each.get("value") for each in sidecar["env"]}
    assert variables["SERVICE_PORTS"] == "rest:8080,rest-admin:8081" and variables["SERVICE_NAME"] == "web"
    # All but the sidecar stands there as it was.
    rest = iter(printed.split(end))
    assert all(line in rest for line in text.split(end) if line != "      labels: *labels")
    documents, results = text.split(f"---{end}"), printed.split(f"---{end}")
    assert [results[0], *results[2:]] == [documents[0], *documents[2:]]
    assert inject(printed)[0] == printed
    check_kubectl(printed.split(f"---{end}")[1].replace(f"...{end}", ""))


def test_json_stays_json():
    text = json.dumps(yaml.safe_load(KINDS["Deployment"]) | {"note": "\U0001f600 é"}, indent=4) + "\n"
    printed, _ = inject(text)
    assert containers(json.loads(printed)["spec"]["template"]) == ["web", "sidecar-mesher"]
    assert printed.startswith('{\n    "apiVersion": "apps/v1",\n    "kind": "Deployment",\n')
    assert without_sidecar(json.loads(printed)) == json.loads(text)
    assert inject(printed)[0] == printed
    check_kubectl(printed)


def test_yaml_becomes_json():
    printed, _ = inject(ALL, "--json")
    document = json.loads(printed)
    assert document["kind"] == "List" and [each["kind"] for each in document["items"]] == ["Service", "Deployment", "Job"]
    assert document["items"][1]["spec"]["template"]["metadata"]["annotations"]["sidecar.mesher.io/inject"] == "yes"
    assert json.loads(inject(KINDS["Pod"], "--json")[0])["kind"] == "Pod"


def test_lists():
    documents = [yaml.safe_load(text) for text in KINDS.values()]
    inner = {"apiVersion": "v1", "kind": "List", "items": documents[4:]}
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [*documents[:4], inner]}, sort_keys=False)
    printed, told = inject(text)
    assert told.count(" injected\n") == len(KINDS)
    items = yaml.safe_load(printed)["items"]
    for before, after in zip(documents, [*items[:4], *items[4]["items"]], strict=True):
        assert "sidecar-mesher" in containers(pod_of(after))
        assert without_sidecar(after) == before
    assert inject(printed)[0] == printed
    flow = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": documents}, default_flow_style=True)
    for after in yaml.safe_load(inject(flow)[0])["items"]:
        assert "sidecar-mesher" in containers(pod_of(after))


def test_what_has_to_be_written_anew_is_said():
    text = KINDS["Pod"].replace("containers:\n", "containers: &all\n") + "x: *all\n"
    printed, told = inject(text)
    assert "note: document 1 was written anew, without its comments and anchors" in told
    document = yaml.safe_load(printed)
    assert containers(document) == ["web", "sidecar-mesher"] and [each["name"] for each in document["x"]] == ["web"]


@pytest.mark.parametrize(
    "text, mistake",
    [
        ("garbage", "document 1: this is no object of Kubernetes"),
        ("\x00\x01", "document 1: "),
        (KINDS["Pod"] + "---\na: [\n", "document 2: standard input:"),
        (KINDS["Pod"] + "---\n- a\n", "document 2: this is no object of Kubernetes"),
        (KINDS["Pod"].replace("name: web #", "annotations: {sidecar.mesher.io/cpu: x}\n  name: web #"), 'document 1: pod "web": '),
        ('{"kind": "Pod", "apiVersion": "v1"', "document 1: "),
    ],
    ids=["words", "bytes", "the second", "a list", "a bad value", "half of JSON"],
)
def test_mistakes_leave_no_half_of_a_manifest(tmp_path, text, mistake):
    output = tmp_path / "out.yaml"
    printed, told = inject(text, "-o", str(output), code=1)
    assert printed == "" and not output.exists()
    first, last = told.splitlines()
    assert first.startswith(mistake)
    assert last == "mesher: nothing was written: one error"


def test_nothing_to_inject():
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
    printed, told = inject(text)
    assert printed == text and "nothing to inject: 1 document" in told


def test_files_reports_and_differences(tmp_path):
    source, output = tmp_path / "shop.yaml", tmp_path / "out.yaml"
    source.write_text(ALL)
    assert mesher("inject", "-f", str(source), "-o", str(output))[0] == ""
    assert source.read_text() == ALL and "sidecar-mesher" in output.read_text()
    difference, _ = mesher("inject", "-f", str(source), "--diff")
    assert shutil.which("patch") or difference
    if shutil.which("patch"):
        subprocess.run(["patch", "-s", str(source)], input=difference, text=True, check=True, timeout=20)
        assert source.read_text() == output.read_text()
    report, told = mesher("inject", "-f", str(output), "--report")
    assert report.splitlines()[1] == 'deployment "web" skipped: it has a sidecar' and told == ""
    rows = json.loads(mesher("inject", "-f", str(output), "--report", "--json")[0])
    assert [row["result"] for row in rows] == ["passed", "skipped", "passed"]
    assert rows[1]["reason"] == "already_injected" and rows[1]["rule"] == 3


def test_options(tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("containers: [{name: sidecar-mesher, image: 'registry.example.org/mesher:2'}]\n")
    pod = yaml.safe_load(inject(KINDS["Pod"], "--template", str(template), "--discovery-type", "pilot")[0])
    sidecar = pod["spec"]["containers"][1]
    assert sidecar["image"] == "registry.example.org/mesher:2"
    assert {"name": "cse_service_registry_registrator_disabled", "value": "true"} in sidecar["env"]
    _, told = inject(KINDS["Pod"], "--namespace", "kube-system")
    assert told.splitlines()[0] == 'pod "web" skipped: its namespace gets no sidecars'
    assert inject(KINDS["Pod"], "--image", "mesher:9")[0].count('image: "mesher:9"') == 1
    _, told = mesher("inject", "-f", str(tmp_path / "none.yaml"), code=1)
    assert told == f"mesher: {tmp_path}/none.yaml cannot be read\n"
    mesher("inject", "--native", "perhaps", "-f", "-", code=64)
    assert "Examples:" in mesher("inject", "--help")[0]


def test_check_tells_where_annotations_are_wrong(tmp_path):
    text = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations:
    sidecar.mesher.io/inject: "yes"
spec:
  template:
    metadata:
      annotations:
        sidecar.mesher.io/inject: "true"
        sidecar.mesher.io/serviceports: grps:9000
        sidecar.mesher.io/servicePorts: grps
    spec: {containers: [{name: web}]}
"""
    printed, _ = mesher("check", "--kubernetes", "-f", "-", text=text, code=1)
    key = "sidecar.mesher.io/"
    assert printed.splitlines() == [
        f"standard input:6:5: {key}inject: nobody reads this on a Deployment; write it in spec.template.metadata.annotations",
        f'standard input:11:9: {key}inject: "true" does not inject a sidecar; write "yes"',
        f"standard input:12:9: warning: {key}serviceports: unknown key; did you mean {key}servicePorts?",
        f"standard input:13:9: {key}servicePorts: [grps] is invalid; write protocol:port, such as rest:8080 or rest:8080,grpc:9000",
        "3 errors, 1 warning in 1 pod of 1 document (standard input)",
    ]
    file = tmp_path / "shop.yaml"
    file.write_text(ALL)
    assert mesher("check", "--kubernetes", str(file))[0] == f"no errors in 1 pod of 3 documents ({file})\n"
    document = json.loads(mesher("check", "--kubernetes", "--json", "-f", "-", text=text, code=1)[0])
    assert not document["valid"] and [each["line"] for each in document["problems"]] == [6, 11, 12, 13]
    _, told = mesher("check", "-f", "shop.yaml", code=64)
    assert "belongs to --kubernetes" in told
