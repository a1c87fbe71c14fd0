# SPDX-License-Identifier: Apache-2.0
"""`mesher injector` as the API server meets it: reviews over TLS, whose patches an independent library applies."""

import base64
import contextlib
import copy
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jsonpatch
import pytest
import yaml

import secure
from authority import Authority
from harness import REPOSITORY, binary, eventually, free_port

KEY = "sidecar.mesher.io/"
NAME = "sidecar-injector-webhook-mesher-svc.servicecomb.svc"


class Injector:
    """One process, with a certificate that `authority` has issued."""

    def __init__(self, folder, authority, *options):
        self.port, self.health = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.authority = authority
        self.files = secure.Files(folder / "certs", authority.issue(dns=[NAME]))
        self.log = folder / "log"
        keys = self.files.keys
        options = [
            *(f"--port={self.port}", f"-healthPort={self.health}", "--address=127.0.0.1"),
            *(f"-tlsCertFile={keys['certFile']}", "-tlsKeyFile", str(keys["keyFile"])),
            *("-alsologtostderr", "-v=4", "--namespace=servicecomb", *options),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "injector", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        eventually(lambda: self.probe("/readyz")[0] == 200, self.log.read_text, seconds=15)

    def probe(self, path):
        """Status and body of an answer on the port in clear; 0 while nobody answers."""
        with contextlib.suppress(OSError), contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.health, timeout=5)
        ) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        return 0, ""

    def metric(self, series):
        """The value of a series; 0 while it does not exist."""
        for line in self.probe("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rsplit(" ", 1)[1])
        return 0.0

    def connect(self):
        return Connection(self)

    def lines(self, text):
        return [json.loads(line) for line in self.log.read_text().splitlines() if text in line]

    def resident(self):
        """Resident memory, in octets."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS:"))

    def end(self):
        """Ends it; SIGTERM twice, where nobody has to be waited for."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(10)


class Connection:
    """One connection of an API server, which verifies whom it asks."""

    def __init__(self, injector, pair=None):
        context = ssl.create_default_context(cafile=injector.authority.certificate)
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        raw = socket.create_connection(("127.0.0.1", injector.port), timeout=20)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = context.wrap_socket(raw, server_hostname=NAME)
        self.http = http.client.HTTPConnection(NAME)
        self.http.sock = self.sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def ask(self, method, path, body=None, headers=None):
        """Status, fields and body of an answer."""
        self.http.request(method, path, body, headers if headers is not None else {"Content-Type": "application/json"})
        answer = self.http.getresponse()
        return answer.status, answer.headers, answer.read()

    def review(self, pod, path="/webhookmutation?timeout=10s", **changes):
        """The response to a review, checked for all that the API server demands, and the pod that comes of it."""
        question = review(pod, **changes)
        status, headers, body = self.ask("POST", path, json.dumps(question))
        assert status == 200 and headers["Content-Type"] == "application/json", body
        answer = json.loads(body)
        assert (answer["apiVersion"], answer["kind"]) == (question["apiVersion"], "AdmissionReview")
        response = answer["response"]
        assert response["uid"] == question["request"]["uid"]
        assert ("patch" in response) == ("patchType" in response)
        assert all(len(line) <= 120 and "\n" not in line for line in response.get("warnings", []))
        if "patch" not in response:
            return response, pod
        patch = json.loads(base64.b64decode(response["patch"], validate=True))
        assert response["patchType"] == "JSONPatch" and isinstance(patch, list)
        return response, jsonpatch.apply_patch(copy.deepcopy(pod), patch)


def pod(annotations=None, labels=None, **spec):
    """A pod as the API server hands it on, defaults and token included."""
    token = {"name": "kube-api-access-x", "projected": {"sources": []}}
    mount = {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "cart-5f6-",
            "creationTimestamp": None,
            "labels": {"pod-template-hash": "5f6"} | (labels or {}),
            "annotations": {KEY + "inject": "yes"} | (annotations or {}),
            "ownerReferences": [{"kind": "ReplicaSet", "name": "cart-5f6", "uid": "o", "controller": True}],
            "managedFields": [{"manager": "kube-controller-manager", "fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {
            "volumes": [token],
            "containers": [{"name": "app", "image": "app:1", "volumeMounts": [mount]}],
            "restartPolicy": "Always",
        }
        | spec,
        "status": {},
    }


def review(pod, version="v1", uid="705ab4f5-6393-11e8-b7cc-42010a800002", **changes):
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {
        "uid": uid,
        "kind": kind,
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": kind,
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": request | changes}


def sidecar(pod):
    every = (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]
    found = [container for container in every if container["name"] == "sidecar-mesher"]
    assert len(found) == 1
    return found[0]


def variables(container):
    return {variable["name"]: variable.get("value") for variable in container.get("env", [])}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory, authority):
    running = Injector(tmp_path_factory.mktemp("injector"), authority)
    yield running
    running.end()


@pytest.fixture
def start(tmp_path, authority):
    """Starts injectors with options of their own."""
    with contextlib.ExitStack() as stack:

        def begin(*options):
            running = Injector(tmp_path, authority, *options)
            stack.callback(running.end)
            return running

        yield begin


class TestReviews:
    @pytest.mark.parametrize("version", ["v1", "v1beta1"])
    @pytest.mark.parametrize("path", ["/webhookmutation?timeout=10s", "/inject"])
    def test_a_pod_that_asks_gets_a_sidecar(self, shared, version, path):
        asked = pod({KEY + "servicePorts": "rest:9999"})
        with shared.connect() as api:
            response, injected = api.review(asked, path, version=version)
            assert response["allowed"] is True and "warnings" not in response
            own = variables(sidecar(injected))
            assert own["SERVICE_NAME"] == "cart" and own["SERVICE_PORTS"] == "rest:9999"
            assert injected["metadata"]["annotations"][KEY + "status"] == "injected"
            # Whatever was there is there still, and in its place.
            for name in ("volumes", "containers"):
                assert injected["spec"][name][: len(asked["spec"][name])] == asked["spec"][name]
            assert injected["metadata"]["managedFields"] == asked["metadata"]["managedFields"]
            assert api.review(injected, path, version=version)[1] == injected, "the second call changes nothing"

    def test_what_is_no_new_pod_is_left_alone(self, shared):
        cases = [
            {"operation": "DELETE", "object": None, "oldObject": pod()},
            {"operation": "UPDATE", "oldObject": pod()},
            {"subResource": "ephemeralcontainers"},
            {"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "object": {"spec": {"replicas": 1}}},
        ]
        with shared.connect() as api:
            for changes in cases:
                response, _ = api.review(pod(), **changes)
                assert response["allowed"] is True and "patch" not in response

    def test_whoever_makes_the_pod_is_told_what_is_wrong(self, shared):
        with shared.connect() as api:
            denied, _ = api.review(pod({KEY + "servicePorts": "rest"}))
            assert denied["allowed"] is False and "patch" not in denied
            assert (denied["status"]["code"], denied["status"]["reason"]) == (422, "Invalid")
            assert denied["status"]["message"].startswith(KEY + "servicePorts: [rest] is invalid")
            warned, left = api.review(pod({KEY + "inject": "true"}))
            assert warned["warnings"] == [KEY + 'inject: "true" does not inject a sidecar; write yes']
            assert left == pod({KEY + "inject": "true"})
            node, _ = api.review(pod(hostNetwork=True))
            assert node["allowed"] is True and len(node["warnings"]) == 1 and "patch" not in node

    def test_unusual_pods(self, shared):
        empty = pod(volumes=None, initContainers=None, imagePullSecrets=None)
        empty["metadata"]["labels"] = None
        slashes = pod({"a/b~c": "d", "~0/~1": "e"}, {"x/y": "z"})
        future = pod(volumes=[], somethingNew={"deep": [1, 2.50, {"x": None}]}, resources={"limits": {"memory": "64Mi"}})
        with shared.connect() as api:
            for asked in (empty, slashes, future):
                response, injected = api.review(asked)
                assert response["allowed"] is True and sidecar(injected)
                assert asked["metadata"]["annotations"].items() <= injected["metadata"]["annotations"].items()
            assert injected["spec"]["somethingNew"] == future["spec"]["somethingNew"]
            assert "resources" not in sidecar(injected), "the pod has limits of its own"

    def test_a_decision_is_a_line_and_a_number(self, shared):
        with shared.connect() as api:
            api.review(pod({KEY + "inject": "no"}, env="secret-word"), uid="told-in-the-log", dryRun=True)
        lines = eventually(lambda: shared.lines("told-in-the-log"), "no line")
        assert len(lines) == 1 and "secret-word" not in json.dumps(lines)
        wanted = {"namespace": "shop", "pod": "cart-5f6-", "owner": "ReplicaSet/cart-5f6", "rule": "2", "dryRun": "true"}
        assert wanted.items() <= lines[0].items()
        assert shared.metric('mesher_injector_requests_total{reason="not_asked",result="skipped"}') >= 1
        assert shared.metric("mesher_injector_duration_seconds_count") >= 1
        assert shared.metric("mesher_injector_certificate_expiry_seconds") > time.time() + 86400


class TestTransport:
    GOOD = {"Content-Type": "application/json; charset=utf-8"}

    def test_what_is_no_review_is_refused(self, shared):
        good = json.dumps(review(pod()))
        bare = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}
        cases = [
            (405, "GET", "/webhookmutation", None, {}),
            (405, "PUT", "/inject", good, self.GOOD),
            (404, "POST", "/", good, self.GOOD),
            (404, "POST", "/webhookmutation/", good, self.GOOD),
            (415, "POST", "/inject", good, {"Content-Type": "text/plain"}),
            (415, "POST", "/inject", good, {}),
            (400, "POST", "/inject", "", self.GOOD),
            (400, "POST", "/inject", "{", self.GOOD),
            (400, "POST", "/inject", b"\x00\xff" * 1000, self.GOOD),
            (400, "POST", "/inject", "[" * 100_000, self.GOOD),
            (400, "POST", "/inject", json.dumps(bare), self.GOOD),
            (400, "POST", "/inject", json.dumps(bare | {"request": None}), self.GOOD),
            (400, "POST", "/inject", json.dumps(bare | {"request": {"uid": ""}}), self.GOOD),
            (400, "POST", "/inject", json.dumps(review(pod()) | {"kind": "Pod"}), self.GOOD),
            (400, "POST", "/inject", json.dumps(review(pod(), version="v2")), self.GOOD),
            (400, "POST", "/inject", json.dumps(review({"spec": "no"})), self.GOOD),
            (400, "POST", "/inject", json.dumps(review(["no"])), self.GOOD),
        ]
        with shared.connect() as api:
            for status, method, path, body, headers in cases:
                answer = api.ask(method, path, body, headers)
                assert (answer[0], bool(json.loads(answer[2])["error"])) == (status, True), (method, path, body)
            assert api.ask("GET", "/webhookmutation", None, {})[1]["Allow"] == "POST, OPTIONS"
            assert api.ask("POST", "/inject", good, self.GOOD)[0] == 200, "the connection is as good as before"

    def test_probes_are_answered_on_both_ports(self, shared):
        with shared.connect() as api:
            for path in ("/healthz", "/livez", "/readyz"):
                assert api.ask("GET", path)[0] == 200 and shared.probe(path)[0] == 200
        assert shared.probe("/webhookmutation")[0] == 404

    def test_a_large_pod(self, shared):
        """As large as a pod can be, with what the API server notes of its fields."""
        asked = pod({"notes": "x" * 250_000})
        asked["spec"]["containers"][0]["env"] = [{"name": f"E{n}", "value": "v" * 100} for n in range(10_000)]
        assert len(json.dumps(asked)) > 1_500_000
        with shared.connect() as api:
            assert sidecar(api.review(asked)[1])

    def test_bodies_have_a_limit(self, shared):
        filler = " " * ((8 << 20) - len(json.dumps(review(pod()))))
        body = json.dumps(review(pod())) + filler
        with shared.connect() as api:
            assert api.ask("POST", "/inject", body)[0] == 200
        with shared.connect() as api:
            status, _, answer = api.ask("POST", "/inject", body + " ")
            assert status == 413 and b"8388608" in answer
        with shared.connect() as api:  # in chunks, without a length
            pieces = (body[start : start + 65536].encode() for start in range(0, len(body), 65536))
            assert api.ask("POST", "/inject", pieces)[0] == 200

    def test_a_hundred_reviews_on_one_connection(self, shared):
        with shared.connect() as api:
            for number in range(100):
                response, injected = api.review(pod(labels={"app": f"s{number}"}), uid=f"u{number}")
                assert variables(sidecar(injected))["SERVICE_NAME"] == f"s{number}"

    def test_two_hundred_at_a_time(self, shared):
        """Each gets its own answer, and nothing of another's."""
        barrier = threading.Barrier(200, timeout=60)

        def ask(number):
            asked = pod({KEY + "servicePorts": f"rest:{1000 + number}"}, {"app": f"service-{number}"})
            with shared.connect() as api:
                barrier.wait()
                _, injected = api.review(asked, uid=f"parallel-{number}")
            own = variables(sidecar(injected))
            return own["SERVICE_NAME"], own["SERVICE_PORTS"]

        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(ask, range(200)))
        assert answers == [(f"service-{number}", f"rest:{1000 + number}") for number in range(200)]

    def test_whoever_is_silent_or_slow_holds_up_nobody(self, shared):
        """Before TLS, in the middle of it, in a head, in a short body, and in two long ones that take all the room."""
        head = b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{"
        with contextlib.ExitStack() as stack:
            for start in (b"", b"\x16\x03\x01\x02\x00\x01"):
                for _ in range(40):
                    sock = stack.enter_context(socket.create_connection(("127.0.0.1", shared.port)))
                    sock.sendall(start)
            for start in (b"POST /inj", head % 1000, head % 8_000_000, head % 8_000_000):
                stack.enter_context(shared.connect()).sock.sendall(start)
            times = []
            for _ in range(50):
                began = time.monotonic()
                with shared.connect() as api:
                    assert sidecar(api.review(pod())[1])
                times.append(time.monotonic() - began)
            assert max(times) < 1.0

    def test_long_bodies_wait_for_room(self, shared):
        """While two long bodies take all of it: within the client's time, and no longer."""
        head = b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{"
        large = pod({"notes": "x" * 200_000})
        with shared.connect() as one, shared.connect() as two, shared.connect() as api:
            for slow in (one, two):
                slow.sock.sendall(head % (8 << 20))
            # Both are being read: nothing else says so.
            def is_full():
                answer = api.ask("POST", "/inject?timeout=200ms", json.dumps(review(large)))
                return answer[0] == 503

            eventually(is_full, "there is room still")
            assert sidecar(api.review(large, "/inject?timeout=10s")[1]), "there is room when the slow ones are given up"
            for slow in (one, two):
                assert slow.sock.recv(100).startswith(b"HTTP/1.1 408")

    def test_nothing_is_kept_of_a_review_that_is_over(self, shared, tmp_path):
        """Neither does its timer run on, which has ten seconds here."""
        (tmp_path / "body.json").write_text(json.dumps(review(pod())))
        script = tmp_path / "review.lua"
        script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            f'local file = io.open("{tmp_path}/body.json")\nwrk.body = file:read("*a")\nfile:close()\n'
        )

        def reviews(seconds):
            url = f"https://127.0.0.1:{shared.port}/inject?timeout=10s"
            done = subprocess.run(
                ["wrk", "-t1", "-c10", f"-d{seconds}s", "-s", str(script), url],
                capture_output=True, text=True, timeout=60, check=True,
            )  # fmt: skip
            assert "Non-2xx" not in done.stdout and "Socket errors" not in done.stdout, done.stdout
            return int(re.search(r"(\d+) requests in", done.stdout)[1])

        reviews(1)
        before = shared.resident()
        count = reviews(4)
        assert shared.resident() - before < (3 << 20) + 200 * count, count

    def test_memory_comes_back(self, shared):
        """Bodies as long as may be, at the same time, are not held all at once."""
        body = json.dumps(review(pod()))
        body += " " * ((8 << 20) - len(body))

        def ask(_):
            with shared.connect() as api:
                return api.ask("POST", "/inject?timeout=30s", body)[0]

        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(ask, range(12)))
        assert statuses.count(200) >= 2 and set(statuses) <= {200, 408, 503}
        assert shared.resident() < 96 << 20


class TestFiles:
    @pytest.mark.parametrize("way", ["rename", "overwrite", "swap"])
    def test_a_new_certificate_is_used_without_a_failed_review(self, start, authority, way):
        running = start()
        stop, errors, count = threading.Event(), [], [0]

        def work(keeps):
            try:
                while not stop.is_set():
                    with running.connect() as api:
                        while not stop.is_set():
                            sidecar(api.review(pod())[1])
                            count[0] += 1
                            if not keeps:
                                break
            except Exception as error:  # whatever it was, a pod would not have been made
                errors.append(repr(error))

        def serial():
            with running.connect() as api:
                return int(api.sock.getpeercert()["serialNumber"], 16)

        threads = [threading.Thread(target=work, args=(keeps,)) for keeps in (True, False, False)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(2):
                pair = authority.issue(dns=[NAME])
                getattr(running.files, way)(pair)
                eventually(lambda wanted=pair.serial: serial() == wanted, "the old certificate is in use", 10)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not errors and count[0] > 20

    def test_a_pair_that_does_not_match_changes_nothing(self, start, authority):
        running = start()
        running.files.rename(authority.issue(dns=[NAME]).with_key_of(authority.issue(dns=[NAME])))
        eventually(lambda: running.lines("TLS material not renewed"), "nothing was noticed", 10)
        with running.connect() as api:
            assert sidecar(api.review(pod())[1])

    def test_the_template_is_read_again(self, start, tmp_path):
        file = tmp_path / "template.yaml"
        built_in = subprocess.run([binary(), "injector", "--printTemplate"], capture_output=True, text=True, timeout=20)
        template = yaml.safe_load(built_in.stdout)
        file.write_text(built_in.stdout)
        running = start("-sidecarCfgFile", str(file))

        def image():
            with running.connect() as api:
                return sidecar(api.review(pod())[1])["image"]

        assert image().startswith("mesher:")
        template["containers"][0]["image"] = "other:2"
        file.write_text(yaml.safe_dump(template))
        eventually(lambda: image() == "other:2", "the old template is in use", 10)
        file.write_text("containers: []\n")
        failures = "mesher_injector_template_reload_failures_total"
        eventually(lambda: running.metric(failures) == 1, "nothing was noticed", 10)
        assert image() == "other:2" and running.lines("template not renewed")

    def test_only_clients_of_an_authority(self, tmp_path, authority):
        folder = tmp_path / "other"
        folder.mkdir()
        clients = Authority(folder, "clients")
        running = Injector(tmp_path, authority, f"--clientCAFile={clients.certificate}")
        try:
            with Connection(running, clients.issue()) as api:
                assert sidecar(api.review(pod())[1])
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)), running.connect() as api:
                api.review(pod())
        finally:
            running.end()


class TestProcess:
    def test_every_option_is_explained(self):
        page = (REPOSITORY / "docs/injector.md").read_text()
        printed = subprocess.run([binary(), "injector", "--help"], capture_output=True, text=True, timeout=20).stdout
        options = set(re.findall(r"^ +(--[A-Za-z]+)", printed, re.M)) - {"--version"}
        assert len(options) > 12 and [option for option in sorted(options) if option not in page] == []

    def test_it_leaves_when_nobody_comes_any_more(self, start, tmp_path):
        """Probes are red at once, reviews go on for five seconds, and those that run are finished."""
        running = start("-healthCheckInterval=100ms", f"-healthCheckFile={tmp_path}/health")
        eventually(lambda: (tmp_path / "health").exists(), "no health file", 10)
        assert (tmp_path / "health").read_text() == "ok"
        with running.connect() as api:
            assert sidecar(api.review(pod())[1])
            began = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            eventually(lambda: running.probe("/readyz")[0] == 503, "still ready")
            with running.connect() as late:
                status, headers, _ = late.ask("POST", "/inject", json.dumps(review(pod())))
                assert (status, headers["Connection"]) == (200, "close")
        assert running.process.wait(15) == 0
        assert 4.5 < time.monotonic() - began < 12

    @pytest.mark.parametrize(
        "options, text",
        [
            (["--tlsCertFile=/nowhere"], "/nowhere cannot be read"),
            (["--sidecarCfgFile=/nowhere"], "/nowhere cannot be read"),
            (["--address=here"], "--address"),
            (["--healthCheckInterval=often", "--healthCheckFile=x"], "is no duration"),
        ],
    )
    def test_it_does_not_start_without_what_it_needs(self, tmp_path, authority, options, text):
        pair = authority.issue(dns=[NAME])
        files = [f"--tlsCertFile={pair.certificate}", f"--tlsKeyFile={pair.key}"]
        command = [binary(), "injector", f"--port={free_port('127.0.0.1')}", *files, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and text in done.stderr

    def test_a_bad_template_is_told_with_its_place(self, tmp_path, authority):
        (tmp_path / "t.yaml").write_text("containers:\n  - {name: sidecar-mesher, image: m, volumeMounts: [{name: x}]}\n")
        pair = authority.issue(dns=[NAME])
        files = [f"--tlsCertFile={pair.certificate}", f"--tlsKeyFile={pair.key}", f"--sidecarCfgFile={tmp_path}/t.yaml"]
        done = subprocess.run([binary(), "injector", *files], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1
        assert f"{tmp_path}/t.yaml:2:53: containers.volumeMounts: there is no volume x" in done.stderr
