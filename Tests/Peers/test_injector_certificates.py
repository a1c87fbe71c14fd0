# SPDX-License-Identifier: Apache-2.0
"""Certificates of the injector's own making, beside an API server that is not ours: see cluster.py."""

import base64
import contextlib
import re
import ssl
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from authority import Authority
from cluster import CONFIGURATION, NAMESPACE, SECRET, SECRETS, WEBHOOKS, Cluster, Refused, webhook
from harness import binary, eventually, free_port
from test_injector import NAME, Connection, Injector, pod, sidecar

KEYS = {"ca.crt", "ca.key", "tls.crt", "tls.key"}
# Looks are often, so that nobody waits for the next one.
OFTEN = "--lookInterval=300ms"


class Replica(Injector):
    """One injector of several, without files, which the API server of `cluster` believes by its caBundle."""

    def __init__(self, folder, cluster, *options, kubeconfig=None):
        folder.mkdir(exist_ok=True)
        self.folder, self.cluster = folder, cluster
        self.port, self.health = free_port("127.0.0.1"), free_port("127.0.0.1")
        self.log = folder / "log"
        options = [
            *(f"--port={self.port}", f"--healthPort={self.health}", "--address=127.0.0.1", f"--namespace={NAMESPACE}"),
            *(f"--kubeconfigfile={kubeconfig or cluster.kubeconfig()}", *options),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary(), "injector", *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def authority(self):
        """Whom the API server believes at this moment."""
        file = self.folder / f"bundle-{threading.get_ident()}"
        file.write_text(self.cluster.bundle())
        return SimpleNamespace(certificate=file)

    def end(self):
        """At once: nobody has to be waited for."""
        self.process.kill()
        self.process.wait(10)

    def ready(self):
        eventually(lambda: self.probe("/readyz")[0] == 200, self.log.read_text, seconds=15)
        return self

    def answers(self):
        """Whether the API server can ask it now."""
        with contextlib.suppress(OSError), self.connect() as api:
            return bool(sidecar(api.review(pod())[1]))
        return False

    def serial(self):
        """Of the certificate that it serves with, whoever vouches for it."""
        return certificate(ssl.get_server_certificate(("127.0.0.1", self.port)), "-serial")


def certificate(pem, *options):
    done = subprocess.run(
        ["openssl", "x509", "-noout", *options], input=pem, capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout


def data(secret):
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def authorities(text):
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S)


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    running = Cluster(folder, Authority(folder))
    running.put(CONFIGURATION, webhook())
    yield running
    running.stop()


@pytest.fixture
def start(tmp_path, cluster):
    """Starts replicas."""
    with contextlib.ExitStack() as stack:
        count = iter(range(100))

        def begin(*options, **more):
            running = Replica(tmp_path / f"replica-{next(count)}", cluster, *options, **more)
            stack.callback(running.end)
            return running

        yield begin


@contextlib.contextmanager
def traffic(*replicas):
    """Reviews all the time, on connections that are kept and on new ones; none may fail."""
    stop, errors, count = threading.Event(), [], [0]

    def work(replica, keeps):
        while not stop.is_set():
            try:
                with replica.connect() as api:
                    while not stop.is_set():
                        sidecar(api.review(pod())[1])
                        count[0] += 1
                        if not keeps:
                            break
                        stop.wait(0.02)
            except Exception as error:  # whatever it was, a pod would not have been made
                errors.append(f"{time.monotonic():.2f} {error!r}")
            stop.wait(0.02)

    threads = [threading.Thread(target=work, args=(each, keeps)) for each in replicas for keeps in (True, False)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not errors and count[0] > 20, (errors[:5], count)


class TestStart:
    def test_the_first_one_makes_everything(self, start, cluster):
        before = cluster.get(CONFIGURATION)
        running = start().ready()
        eventually(running.answers, running.log.read_text)
        secret = cluster.get(SECRET)
        kept = data(secret)
        assert set(kept) == KEYS and secret["type"] == "Opaque"
        assert secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mesher-injector"
        assert kept["ca.crt"] == cluster.bundle()
        text = certificate(kept["tls.crt"], "-ext", "subjectAltName,extendedKeyUsage,keyUsage,basicConstraints")
        for word in (f"DNS:{NAME}", "IP Address:127.0.0.1", "TLS Web Server Authentication", "CA:FALSE"):
            assert word in text
        text = certificate(kept["ca.crt"], "-ext", "keyUsage,basicConstraints")
        assert "CA:TRUE, pathlen:0" in text and "Certificate Sign" in text
        year = 365 * 86400
        for name, years in (("tls.crt", 1), ("ca.crt", 10)):
            end = certificate(kept[name], "-enddate").partition("=")[2].strip()
            assert abs(ssl.cert_time_to_seconds(end) - time.time() - years * year) < 600
        # Nothing else of the configuration has changed.
        after = cluster.get(CONFIGURATION)
        for document in (before, after):
            document["metadata"].pop("resourceVersion")
            document["webhooks"][1]["clientConfig"].pop("caBundle", None)
        assert before == after
        eventually(lambda: running.metric("mesher_injector_cabundle_updates_total") == 1, running.log.read_text)
        assert running.metric("mesher_injector_certificate_expiry_seconds") > time.time() + year - 600
        assert "PRIVATE" not in running.log.read_text() and "token-1" not in running.log.read_text()
        assert {each.status for each in cluster.asked} <= {200, 201, 404}

    def test_several_that_begin_together_agree(self, start, cluster):
        """All find no Secret, and make one."""
        barrier = threading.Barrier(3, timeout=20)

        def before(asked):
            if (asked.verb, asked.resource) == ("get", SECRETS) and cluster.count("create", SECRETS) == 0:
                with contextlib.suppress(threading.BrokenBarrierError):
                    barrier.wait(5)

        # Each has looked before anybody has made it.
        cluster.before = lambda asked: before(asked) if asked.verb == "get" else None
        replicas = [start(OFTEN) for _ in range(3)]
        for each in replicas:
            each.ready()
            eventually(each.answers, each.log.read_text)
        assert cluster.count("create", SECRETS, 201) == 1
        assert cluster.count("create", SECRETS, 409) >= 1, "nobody was late"
        assert len({each.serial() for each in replicas}) == 1
        assert len(authorities(cluster.bundle())) == 1
        assert not [line for each in replicas for line in each.lines("WARN") + each.lines("ERROR")]

    def test_a_later_one_takes_what_is_there(self, start, cluster):
        first = start().ready()
        eventually(first.answers, first.log.read_text)
        secret, bundle = cluster.get(SECRET), cluster.bundle()
        second = start().ready()
        eventually(second.answers, second.log.read_text)
        assert first.serial() == second.serial() == certificate(data(secret)["tls.crt"], "-serial")
        first.end()
        third = start().ready()
        assert third.answers() and (cluster.get(SECRET), cluster.bundle()) == (secret, bundle)

    def test_an_empty_secret_is_filled_and_keeps_what_else_it_has(self, start, cluster):
        cluster.deny("create", SECRETS)
        meta = {"name": SECRET[1], "namespace": NAMESPACE, "annotations": {"made": "by hand"}}
        cluster.put(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "Opaque"})
        running = start().ready()
        eventually(running.answers, running.log.read_text)
        secret = cluster.get(SECRET)
        assert set(secret["data"]) == KEYS and secret["metadata"]["annotations"] == {"made": "by hand"}

    def test_what_is_somebody_else_s_is_not_written_over(self, start, cluster):
        text = base64.b64encode(b"mine").decode()
        meta = {"name": SECRET[1], "namespace": NAMESPACE}
        cluster.put(SECRET, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"tls.key": text}})
        running = start()
        (line,) = eventually(lambda: running.lines("somebody else's"), running.log.read_text)
        assert "it has tls.key" in line["problem"] and "--certificateSecret" in line["remedy"]
        assert running.probe("/readyz") == (503, "not ready: certificate\n")
        assert cluster.get(SECRET)["data"] == {"tls.key": text} and cluster.bundle() == ""

    @pytest.mark.parametrize("minor, is_native", [("36+", True), ("32", True), ("31", False)])
    def test_sidecars_are_native_where_all_nodes_can_do_that(self, start, cluster, minor, is_native):
        cluster.minor = minor
        running = start().ready()
        eventually(lambda: running.answers() and running.lines("version of the API server"), running.log.read_text)
        with running.connect() as api:
            spec = api.review(pod())[1]["spec"]
        assert ("sidecar-mesher" in [each["name"] for each in spec.get("initContainers", [])]) == is_native

    def test_who_has_no_certificate_and_no_cluster_does_not_start(self, tmp_path):
        env = {"PATH": "/bin", "HOME": str(tmp_path)}
        done = subprocess.run([binary(), "injector"], capture_output=True, text=True, timeout=20, env=env)
        assert done.returncode == 1
        assert "no certificate at /etc/webhook/mesher/certs/ca-cert.pem, and no API server" in done.stderr
        inside = env | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
        done = subprocess.run([binary(), "injector"], capture_output=True, text=True, timeout=20, env=inside)
        assert done.returncode == 1 and "automountServiceAccountToken: true" in done.stderr

    @pytest.mark.parametrize(
        "options, text",
        [
            (["--manageCABundle=false"], "is for certificates of files"),
            (["--manageCABundle=perhaps"], "neither true nor false"),
            (["--authorityValidity=9000h"], "not three times as long"),
            (["--certificateValidity=year"], "is no duration"),
            (["--webhookConfigName=a/b"], "is no name of an object"),
            (["--kubeconfigfile=/nowhere"], "/nowhere cannot be read"),
        ],
    )
    def test_options_that_make_no_sense(self, cluster, options, text):
        command = [binary(), "injector", f"--port={free_port('127.0.0.1')}", f"--kubeconfigfile={cluster.kubeconfig()}"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and text in done.stderr


class TestRepair:
    @pytest.mark.parametrize("wrong", ["", "another", "nonsense"])
    def test_ca_bundle_is_repaired_at_once(self, start, cluster, tmp_path, wrong):
        """By a watch: the next look is half a minute away."""
        running = start().ready()
        eventually(running.answers, running.log.read_text)
        eventually(lambda: cluster.count("watch", WEBHOOKS, 200) == 1, "no watch")
        good = cluster.bundle()
        other = Authority(cluster.folder, "other").certificate.read_bytes()
        text = {"": b"", "another": other, "nonsense": b"-----BEGIN CERTIFICATE-----\n"}[wrong]
        cluster.set_bundle(base64.b64encode(text).decode())
        eventually(lambda: cluster.bundle() == good, running.log.read_text)
        eventually(running.answers, running.log.read_text)
        updates = "mesher_injector_cabundle_updates_total"
        eventually(lambda: running.metric(updates) == 2, lambda: str(running.metric(updates)))

    def test_without_a_watch_it_is_repaired_by_the_next_look(self, start, cluster):
        cluster.deny("watch", WEBHOOKS)
        running = start(OFTEN).ready()
        eventually(running.answers, running.log.read_text)
        (line,) = eventually(lambda: running.lines("noticed late"), running.log.read_text)
        assert "the verb watch for mutatingwebhookconfigurations, resourceNames" in line["remedy"]
        good = cluster.bundle()
        cluster.set_bundle("")
        eventually(lambda: cluster.bundle() == good, running.log.read_text)

    def test_who_fights_for_ca_bundle_does_so_slowly(self, start, cluster):
        running = start().ready()
        eventually(running.answers, running.log.read_text)
        before, end = cluster.count("patch", WEBHOOKS), time.monotonic() + 3
        while time.monotonic() < end:
            if cluster.bundle():
                cluster.set_bundle("")
            time.sleep(0.01)
        assert 1 <= cluster.count("patch", WEBHOOKS) - before <= 6

    def test_a_deleted_secret_is_made_anew_without_a_failed_review(self, start, cluster):
        replicas = [start(OFTEN).ready() for _ in range(2)]
        for each in replicas:
            eventually(each.answers, each.log.read_text)
        old, serial = cluster.bundle(), replicas[0].serial()
        with traffic(*replicas):
            cluster.delete(SECRET)
            eventually(lambda: cluster.get(SECRET), "no Secret")
            eventually(lambda: {each.serial() for each in replicas}.isdisjoint({serial}), "the old one is served", 20)
            eventually(lambda: len({each.serial() for each in replicas}) == 1, "they serve different ones", 20)
        kept = data(cluster.get(SECRET))
        assert set(kept) == KEYS and set(authorities(kept["ca.crt"])) == set(authorities(cluster.bundle()))
        # The old authority stays until it ends; the other one signs.
        assert authorities(kept["ca.crt"])[1:] == authorities(old)

    def test_an_authority_that_cannot_be_published_does_not_take_over(self, start, cluster):
        """However often it is looked: the API server would refuse what it signs."""
        running = start(OFTEN).ready()
        eventually(running.answers, running.log.read_text)
        serial = running.serial()
        cluster.deny("patch", WEBHOOKS)
        with traffic(running):
            cluster.delete(SECRET)
            eventually(lambda: cluster.get(SECRET), "no Secret")
            looks = cluster.count("get", SECRETS)
            eventually(lambda: cluster.count("get", SECRETS) > looks + 5, "it looks no more", 15)
            assert "ca-next.key" in cluster.get(SECRET)["data"] and running.serial() == serial
            cluster.rules[-1]["verbs"].append("patch")
            eventually(lambda: running.serial() != serial, running.log.read_text, 60)
        assert set(data(cluster.get(SECRET))) == KEYS

    @pytest.mark.parametrize("broken", ["tls.crt", "ca.key"])
    def test_a_broken_secret_is_made_anew(self, start, cluster, broken):
        running = start(OFTEN).ready()
        eventually(running.answers, running.log.read_text)
        secret = cluster.get(SECRET)
        secret["data"][broken] = base64.b64encode(b"nonsense").decode()
        cluster.put(SECRET, secret)
        eventually(lambda: data(cluster.get(SECRET))[broken] != "nonsense", running.log.read_text)
        eventually(running.answers, running.log.read_text)

    def test_when_somebody_else_was_faster_it_looks_again(self, start, cluster):
        """The Secret changes between its being read and its being written."""
        running = start(OFTEN, "--certificateValidity=3s", "--authorityValidity=90h").ready()
        eventually(running.answers, running.log.read_text)

        def before(asked):
            if (asked.verb, asked.resource) == ("update", SECRETS):
                cluster.before = lambda _: None
                secret = cluster.get(SECRET)
                secret["metadata"]["labels"]["touched"] = "yes"
                cluster.put(SECRET, secret)

        cluster.before = before
        eventually(lambda: cluster.count("update", SECRETS, 200) >= 1, running.log.read_text, 15)
        assert cluster.count("update", SECRETS, 409) == 1
        assert cluster.get(SECRET)["metadata"]["labels"]["touched"] == "yes"
        assert not running.lines("is not kept")


class TestRotation:
    def test_certificates_and_authorities_change_without_a_failed_review(self, start, cluster):
        lives = (OFTEN, "--certificateValidity=6s", "--authorityValidity=18s")
        replicas = [start(*lives).ready() for _ in range(2)]
        for each in replicas:
            eventually(each.answers, each.log.read_text)
        first = authorities(cluster.bundle())
        serials, bundles = set(), []
        with traffic(*replicas):
            def is_over():
                serials.add(replicas[0].serial())
                if not bundles or bundles[-1] != cluster.bundle():
                    bundles.append(cluster.bundle())
                return len(serials) >= 4 and not set(first) & set(authorities(cluster.bundle()))

            eventually(is_over, "the first authority is still believed", 60)
        # Whoever takes over was believed before, and the old one afterwards.
        for old, new in zip(bundles, bundles[1:], strict=False):
            assert set(authorities(old)) & set(authorities(new))
        changes = [line["change"] for each in replicas for line in each.lines("certificates kept in a Secret")]
        assert sum("will take over" in each for each in changes) >= 1
        assert sum("has taken over" in each for each in changes) >= 1
        assert {each.status for each in cluster.asked} <= {200, 201, 404, 409}


class TestFailures:
    def test_it_stops_as_soon_as_nobody_comes_any_more(self, start, cluster):
        """Five seconds, and no longer because of the API server, which is being listened to."""
        running = start().ready()
        eventually(lambda: cluster.count("watch", WEBHOOKS, 200) == 1, "no watch")
        began = time.monotonic()
        running.process.terminate()
        assert running.process.wait(15) == 0 and time.monotonic() - began < 8

    def test_while_the_api_server_is_away_it_goes_on_serving(self, start, cluster):
        running = start(OFTEN).ready()
        eventually(running.answers, running.log.read_text)
        serial = running.serial()
        with traffic(running):
            cluster.stop()
            eventually(lambda: len(running.lines("is not kept")) == 2, running.log.read_text)
            assert running.probe("/readyz")[0] == 200 and all(running.answers() for _ in range(20))
            cluster.start()
        assert running.serial() == serial
        cluster.set_bundle("")
        eventually(running.answers, running.log.read_text, 15)

    def test_an_api_server_that_comes_late(self, start, cluster):
        cluster.stop()
        running = start(OFTEN)
        (line,) = eventually(lambda: running.lines("there is no certificate yet"), running.log.read_text)
        assert f"https://127.0.0.1:{cluster.port}" in line["problem"] and "connection refused" in line["problem"]
        assert "NetworkPolicy" in line["remedy"]
        assert running.probe("/readyz")[0] == 503 and running.probe("/livez")[0] == 200
        cluster.start()
        running.ready()
        eventually(running.answers, running.log.read_text)

    @pytest.mark.parametrize(
        "verb, resource, role",
        [
            ("get", SECRETS, "a Role in the namespace servicecomb with the verb get for secrets, resourceNames"),
            ("create", SECRETS, "a Role in the namespace servicecomb with the verb create for secrets, or make an empty"),
            ("get", WEBHOOKS, "a ClusterRole with the verb get for mutatingwebhookconfigurations, resourceNames"),
            ("patch", WEBHOOKS, "a ClusterRole with the verb patch for mutatingwebhookconfigurations, resourceNames"),
        ],
    )
    def test_a_right_that_is_missing_is_named(self, start, cluster, verb, resource, role):
        cluster.deny(verb, resource)
        running = start(OFTEN)
        (line,) = eventually(lambda: running.lines("not allowed to"), running.log.read_text)
        assert f"not allowed to {verb} " in line["problem"] and "is forbidden: User" in line["problem"]
        assert line["remedy"].startswith(f"give the service account {role}")
        if resource == WEBHOOKS:
            # A certificate does not wait for caBundle.
            running.ready()
        else:
            assert running.probe("/readyz")[0] == 503
        # Told once, and tried again and again.
        eventually(lambda: cluster.count(verb, resource, 403) >= 2, "it has given up", 15)
        assert len(running.lines("not allowed to")) == 1
        for rule in cluster.rules:
            if resource in rule["resources"]:
                rule["verbs"].append(verb)
        eventually(running.answers, running.log.read_text, 15)

    def test_a_token_that_is_renewed_is_read_again(self, start, cluster):
        running = start(OFTEN).ready()
        eventually(running.answers, running.log.read_text)
        cluster.tokens = {"token-2"}
        (line,) = eventually(lambda: [x for x in running.lines("who asks") if "certificate" in x["message"]], running.log.read_text)
        assert str(cluster.token_file) in line["remedy"]
        cluster.token_file.write_text("token-2")
        cluster.set_bundle("")
        eventually(cluster.bundle, running.log.read_text, 15)

    def test_an_api_server_that_nobody_vouches_for(self, start, cluster):
        folder = cluster.folder / "other"
        folder.mkdir()
        config = cluster.kubeconfig()
        other = Authority(folder).certificate
        config.write_text(config.read_text().replace(str(cluster.authority.certificate), str(other)))
        running = start(kubeconfig=config)
        (line,) = eventually(lambda: running.lines("there is no certificate yet"), running.log.read_text)
        assert f"is not vouched for by anybody in {other}" in line["problem"]
        assert cluster.asked == []

    @pytest.mark.parametrize("code, reason", [(429, "TooManyRequests"), (503, "ServiceUnavailable")])
    def test_an_api_server_in_trouble_is_left_alone(self, start, cluster, code, reason):
        def before(_):
            raise Refused(code, reason, "too many requests, please try again later")

        cluster.before = before
        running = start("--lookInterval=100ms")
        eventually(lambda: cluster.count("get", SECRETS) == 1, running.log.read_text)
        began = time.monotonic()
        # Half a second at least, then one.
        eventually(lambda: cluster.count("get", SECRETS) == 3, running.log.read_text, 15)
        assert time.monotonic() - began > 1.4
        assert len(running.lines("cannot answer now")) == 1
        cluster.before = lambda _: None
        running.ready()
        eventually(running.answers, running.log.read_text, 15)

    @pytest.mark.parametrize(
        "options, problem, remedy",
        [
            (["--webhookName=other"], "has no webhook other, but: first.example.org", "--webhookName"),
            (["--webhookConfigName=other"], "not allowed to get MutatingWebhookConfiguration other", "resourceNames [other]"),
        ],
    )
    def test_a_configuration_that_is_another(self, start, cluster, options, problem, remedy):
        running = start(OFTEN, *options).ready()
        (line,) = eventually(lambda: running.lines("caBundle is not kept"), running.log.read_text)
        assert problem in line["problem"] and remedy in line["remedy"]

    def test_a_configuration_that_is_installed_later(self, start, cluster):
        cluster.delete(CONFIGURATION)
        running = start(OFTEN).ready()
        eventually(lambda: running.lines("there is no MutatingWebhookConfiguration"), running.log.read_text)
        cluster.put(CONFIGURATION, webhook())
        eventually(running.answers, running.log.read_text, 15)


class TestFiles:
    """A certificate of files, whose authority the injector publishes as the original does."""

    @pytest.fixture
    def pair(self, tmp_path):
        folder = tmp_path / "mine"
        folder.mkdir()
        return Authority(folder)

    @staticmethod
    def options(pair, *more):
        issued = pair.issue(dns=[NAME])
        return [f"--tlsCertFile={issued.certificate}", f"--tlsKeyFile={issued.key}", *more]

    def test_ca_bundle_is_that_of_the_file_and_the_one_before(self, start, cluster, pair, tmp_path):
        file = tmp_path / "root-cert.pem"
        old = pair.certificate.read_text()
        file.write_text(old)
        running = start(*self.options(pair, "-caFile", str(file))).ready()
        eventually(running.answers, running.log.read_text)
        assert authorities(cluster.bundle()) == authorities(old)
        new = Authority(pair.folder, "new").certificate.read_text()
        file.write_text(new)
        eventually(lambda: authorities(cluster.bundle()) == authorities(new + old), running.log.read_text)
        file.write_text("nonsense")
        eventually(lambda: running.lines("authorities not renewed"), running.log.read_text)
        assert authorities(cluster.bundle()) == authorities(new + old)
        assert cluster.get(SECRET) is None and cluster.count("get", SECRETS) == 0

    def test_somebody_else_may_keep_it(self, start, cluster, pair):
        start(*self.options(pair, f"--caFile={pair.certificate}", "-manageCABundle=false")).ready()
        start(*self.options(pair)).ready()
        assert cluster.asked == [] and cluster.bundle() == ""

    def test_without_authorities_there_is_nothing_to_keep(self, cluster, pair):
        command = [binary(), "injector", *self.options(pair, "--manageCABundle=true")]
        command += [f"--port={free_port('127.0.0.1')}", f"--kubeconfigfile={cluster.kubeconfig()}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "name the authorities with --caFile" in done.stderr

    def test_clients_with_a_certificate_alone(self, start, cluster, pair):
        """Of its own making on the one side, of an authority of clients on the other."""
        running = start(f"--clientCAFile={pair.certificate}").ready()
        eventually(cluster.bundle, running.log.read_text)
        with Connection(running, pair.issue()) as api:
            assert sidecar(api.review(pod())[1])
        with pytest.raises(Exception), running.connect() as api:  # noqa: B017 what TLS says differs
            api.review(pod())
