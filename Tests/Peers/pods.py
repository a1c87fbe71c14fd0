# SPDX-License-Identifier: Apache-2.0
"""Pods without a cluster: processes in a network, a root and an environment of their own, as a kubelet would start them.

A node is a network that the test itself is in; each pod has one besides, with one address or two. Containers of the
sidecar's image run as the user that the manifest says, in a chroot of the image's root.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import harness
from harness import REPOSITORY, eventually

GATEWAY, GATEWAY6 = "10.244.0.1", "fd00:10:244::1"
TOOLS = ("ip", "unshare", "nsenter", "chroot", "mount", "setpriv", "curl")
HOME = "opt/mesher"
LAST = (REPOSITORY / "packaging/Containerfile").read_text().rpartition("FROM ")[2]
IMAGE = dict(pair.split("=", 1) for pair in re.search(r"^ENV (.*)$", LAST, re.M)[1].split())
TOKEN = "var/run/secrets/kubernetes.io/serviceaccount"
CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
# What the application does: it says who has called it, and for what.
APPLICATION = """
import http.server, json, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        caller = self.client_address[0].removeprefix("::ffff:")
        body = json.dumps({"path": self.path, "from": caller}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""
# Mounts what a container sees below its root, then runs it: root, whether it is read-only, number of volumes, volumes.
MOUNTS = """
set -e
root=$1 mode=$2 count=$3; shift 3
mount --rbind "$root" "$root"
while [ "$count" -gt 0 ]; do
    mount --bind "$1" "$root/$2"
    [ "$3" = rw ] || mount -o remount,ro,bind "$root/$2"
    shift 3; count=$((count - 1))
done
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
[ "$mode" = rw ] || mount -o remount,ro,bind "$root"
cd /
exec "$@"
"""


def is_mapped(user):
    """Whether this namespace has that user: a network of its own for each file may have root alone."""
    ranges = [map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= user < first + count for first, _, count in ranges)


def image_root(folder):
    """The root of the image; of another binary than that of this tree, with the libraries that it wants."""
    if "MESHER_BIN" not in os.environ:
        command = [REPOSITORY / "packaging/image", "--root", folder]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        return folder / "root"
    root, binary = folder / "root", Path(os.environ["MESHER_BIN"])
    for name in ("tmp", "proc", "sys", "dev", "etc/mesher/conf", f"{HOME}/conf"):
        (root / name).mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    for library in re.findall(r"(/\S+) \(0x", listed):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(library, target)
        target.chmod(0o755)
    shutil.copy(binary, root / HOME / "mesher")
    for file in (REPOSITORY / "conf").glob("*.yaml"):
        shutil.copy(file, root / HOME / "conf")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    return root


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@contextlib.contextmanager
def network():
    """A network that this thread is in meanwhile, and what it starts."""
    if os.geteuid() != 0 or (missing := [tool for tool in TOOLS if shutil.which(tool) is None]):
        pytest.skip("pods need root" if os.geteuid() else f"pods need {', '.join(missing)}")
    with open("/proc/thread-self/ns/net") as before:
        if LIBC.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            try:
                ip("link", "add", "pods", "type", "bridge")
                ip("link", "add", "one", "type", "veth", "peer", "name", "other")
            except subprocess.CalledProcessError as error:
                pytest.skip(f"no bridge, or no pairs of devices: {error.stderr.decode().strip()}")
            ip("link", "set", "lo", "up")
            ip("addr", "add", f"{GATEWAY}/24", "dev", "pods")
            ip("addr", "add", f"{GATEWAY6}/64", "dev", "pods", "nodad")
            ip("link", "set", "pods", "up")
            yield
        finally:
            LIBC.setns(before.fileno(), CLONE_NEWNET)


class Names:
    """A DNS server that knows what `known` has, by its whole name; `asked` are the names that somebody looked for."""

    def __init__(self, known):
        self.known, self.asked = known, []
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.socket.bind(("::", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, asker = self.socket.recvfrom(1500)
            except OSError:
                return
            if query:
                self.socket.sendto(self.answer(query), asker)

    def answer(self, query):
        """RFC 1035 §4: one question, and the one address of its family that is known."""
        labels, place = [], 12
        while length := query[place]:
            labels.append(query[place + 1 : place + 1 + length].decode())
            place += 1 + length
        question = query[12 : place + 5]
        name, kind = ".".join(labels), int.from_bytes(question[-4:-2], "big")
        self.asked.append(name)
        address, record = self.known.get(name), b""
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
        if address and family and (":" in address) == (kind == 28):
            data = socket.inet_pton(family, address)
            record = b"\xc0\x0c" + question[-4:] + (5).to_bytes(4, "big") + len(data).to_bytes(2, "big") + data
        flags = b"\x81\x80" if address else b"\x81\x83"
        return query[:2] + flags + bytes([0, 1, 0, bool(record), 0, 0, 0, 0]) + question + record

    def stop(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Node:
    """What pods are made with: the image's root, ConfigMaps by name, and a DNS with what `hosts` has."""

    def __init__(self, folder, root):
        self.folder, self.root, self.maps, self.hosts, self.count = folder, root, {}, {}, 0
        self.names = Names(self.hosts)
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.names.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def pod(self, template, *addresses, namespace="default"):
        """A pod of a workload's template: its network is there, and none of its containers runs yet."""
        self.count += 1
        pod = Pod(self, template, self.count, addresses or (f"10.244.0.{self.count + 10}",), namespace)
        self.stack.callback(pod.stop)
        return pod


class Pod:
    """One pod. Its sidecar's process is `process`, once `start` has been called."""

    def __init__(self, node, template, number, addresses, namespace):
        self.node, self.template, self.addresses, self.namespace = node, template, addresses, namespace
        self.name = f"{template['metadata']['labels']['app']}-{number}"
        self.folder = node.folder / self.name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.process, self.running, self.link = None, [], f"pod{number}"
        # What keeps network and name while containers come and go.
        named = f"echo {self.name} > /proc/sys/kernel/hostname && exec sleep infinity"
        self.pause = self.spawn(["unshare", "-n", "-u", "sh", "-c", named])
        own = os.readlink("/proc/thread-self/ns/net")
        eventually(lambda: self.network() not in (own, None), "the pod gets no network")
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", str(self.pause.pid))
        ip("link", "set", self.link, "master", "pods", "up")
        inside = self.inside("ip")
        for words in (["link", "set", "lo", "up"], ["link", "set", "eth0", "up"]):
            subprocess.run([*inside, *words], check=True, timeout=10)
        for address in addresses:
            words = [f"{address}/64", "dev", "eth0", "nodad"] if ":" in address else [f"{address}/24", "dev", "eth0"]
            subprocess.run([*inside, "addr", "add", *words], check=True, timeout=10)

    def network(self):
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{self.pause.pid}/ns/net")

    def spawn(self, command, **options):
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        self.running.append(process)
        return process

    def inside(self, *command):
        """A command in the network of the pod."""
        return ["nsenter", "-t", str(self.pause.pid), "-n", "-u", *command]

    def stop(self):
        for process in reversed(self.running):
            if process.poll() is None:
                process.kill()
            process.wait(10)

    # -- what a kubelet makes of a manifest ----------------------------------------------------------------------------

    def container(self, name):
        spec = self.template["spec"]
        return next(each for each in spec.get("initContainers", []) + spec["containers"] if each["name"] == name)

    def field(self, path):
        """What the downward API says; nothing for a label that is not there."""
        metadata = self.template["metadata"]
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return metadata.get(found[1], {}).get(found[2], "")
        return {
            "metadata.name": self.name,
            "metadata.namespace": self.namespace,
            "status.podIP": self.addresses[0],
            "status.podIPs": ",".join(self.addresses),
            "status.hostIP": GATEWAY,
            "spec.nodeName": "node-1",
        }[path]

    def environment(self, container, image=None):
        """The image's variables, those of every pod, and those of the container, which may refer to earlier ones."""
        found = {**(image or {}), "HOSTNAME": self.name}
        found |= {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                value = self.field(variable["valueFrom"]["fieldRef"]["fieldPath"])
            else:
                value = self.expanded(variable.get("value", ""), found)
            found[variable["name"]] = value
        return found

    @staticmethod
    def expanded(text, variables):
        """`$(NAME)` is a variable that is known; `$$` is a dollar."""

        def value(found):
            return "$" if found[0] == "$$" else variables.get(found[1], found[0])

        return re.sub(r"\$\$|\$\((\w+)\)", value, text)

    def config_map(self, name, is_optional):
        """A folder as kubelets make it: each file is a link into a folder that is exchanged as a whole."""
        folder = self.folder / f"volume-{name}"
        (folder / "..2026_11_30").mkdir(parents=True)
        (folder / "..data").symlink_to("..2026_11_30")
        assert name in self.node.maps or is_optional, f"no ConfigMap {name}: the pod would wait"
        for file, text in self.node.maps.get(name, {}).items():
            (folder / "..data" / file).write_text(text)
            (folder / file).symlink_to(f"..data/{file}")
        return folder

    def volumes(self, container):
        """Source, target and mode of what is mounted, also of what nobody asks for."""
        by_name = {each["name"]: each for each in self.template["spec"].get("volumes", [])}
        for mount in container.get("volumeMounts", []):
            config = by_name[mount["name"]]["configMap"]
            folder = self.config_map(config["name"], config.get("optional", False))
            yield folder, mount["mountPath"].lstrip("/"), "ro" if mount.get("readOnly") else "rw"
        files = {"token": "ey.token.x", "namespace": self.namespace, "ca.crt": ""}
        token = self.folder / "token"
        token.mkdir()
        for name, text in files.items():
            (token / name).write_text(text)
        yield token, TOKEN, "ro"
        hosts, resolver = self.folder / "hosts", self.folder / "resolv.conf"
        hosts.write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.addresses[0]} {self.name}\n")
        yield hosts, "etc/hosts", "ro"
        server = GATEWAY6 if ":" in self.addresses[0] else GATEWAY
        search = f"{self.namespace}.svc.cluster.local svc.cluster.local cluster.local"
        resolver.write_text(f"search {search}\nnameserver {server}\noptions ndots:5\n")
        yield resolver, "etc/resolv.conf", "ro"
        yield self.limits(container), "sys/fs/cgroup", "ro"

    def limits(self, container):
        """The control group of the container, as it sees it."""
        limits = container.get("resources", {}).get("limits", {})
        group = self.folder / "cgroup"
        group.mkdir()
        memory = limits.get("memory", "max")
        (group / "memory.max").write_text(f"{int(memory[:-2]) << 20 if memory.endswith('Mi') else memory}\n")
        cpu = int(float(limits["cpu"]) * 100_000) if "cpu" in limits else "max"
        (group / "cpu.max").write_text(f"{cpu} 100000\n")
        return group

    def start(self, wait=True):
        """Starts the sidecar; returns when its start-up probe is content."""
        container = self.container("sidecar-mesher")
        assert "command" not in container, "the image has the program"
        root, volumes = self.folder / "root", list(self.volumes(container))
        subprocess.run(["cp", "-al", self.node.root, root], check=True, timeout=60)
        for source, target, _ in volumes:
            place = root / target
            (place if source.is_dir() else place.parent).mkdir(parents=True, exist_ok=True)
            if not source.is_dir():
                place.touch()
        context = container["securityContext"]
        user = f"{context['runAsUser']}:{context['runAsGroup']}"
        if is_mapped(context["runAsUser"]):
            enter = [shutil.which("chroot"), f"--userspec={user}", root]
        else:
            names = [f"--map-user={context['runAsUser']}", f"--map-group={context['runAsGroup']}"]
            enter = [shutil.which("unshare"), "--user", *names, f"--root={root}"]
        if not context["allowPrivilegeEscalation"]:
            enter = [shutil.which("setpriv"), "--no-new-privs", *enter]
        variables = self.environment(container, IMAGE)
        arguments = [self.expanded(each, variables) for each in container.get("args", [])]
        program = ["env", "-i", *(f"{name}={value}" for name, value in variables.items()), *enter, f"/{HOME}/mesher"]
        mounts = [word for volume in volumes for word in volume]
        mode = "ro" if context["readOnlyRootFilesystem"] else "rw"
        shell = ["unshare", "-m", "sh", "-c", MOUNTS, "sh", root, mode, str(len(volumes)), *mounts]
        self.process = self.spawn(self.inside(*shell, *program, *arguments))
        if wait:
            probe = container["startupProbe"]
            seconds = probe["periodSeconds"] * probe["failureThreshold"]
            eventually(lambda: self.probe(probe), lambda: f"{self.name} does not start:\n{self.tail()}", seconds)

    def probe(self, probe):
        """Whether a probe of the manifest is content."""
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.tail()}"
        with contextlib.suppress(OSError):
            return self.ask(probe["httpGet"]["path"], probe["httpGet"]["port"])[0] == 200
        return False

    # -- what a test asks ----------------------------------------------------------------------------------------------

    def ask(self, path, port=30102, address=None, host=None):
        """Status and body of an answer at an address of the pod, from the node."""
        connection = http.client.HTTPConnection(address or self.addresses[0], port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": host} if host else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def metric(self, series):
        """The value of a series; 0 while it does not exist."""
        for line in self.ask("/v1/mesher/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    def serve(self, name, port):
        """Starts the application, with the variables of its container."""
        environment = {"PATH": os.environ["PATH"], **self.environment(self.container(name))}
        self.spawn(self.inside(sys.executable, "-c", APPLICATION, str(port)), env=environment)
        with contextlib.suppress(OSError):
            eventually(lambda: harness.listens(self.addresses[0], port), "the application does not start", seconds=15)

    def curl(self, name, *words):
        """Status and body of what an application's curl gets, by the variables of its container."""
        environment = {"PATH": os.environ["PATH"], **self.environment(self.container(name))}
        command = self.inside("curl", "-s", "-m", "10", "-w", "\n%{http_code}", *words)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body) if body.startswith("{") else body

    def status(self):
        """What the kernel says of the sidecar's process: the program itself, whatever was exec'd before it."""
        return dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{self.process.pid}/status").read_text(), re.M))

    def hook(self):
        """Runs the sidecar's `preStop` as a kubelet does, inside of its container; gives what it says and its status."""
        container = self.container("sidecar-mesher")
        context = container["securityContext"]
        identity = ["-S", str(context["runAsUser"]), "-G", str(context["runAsGroup"])]
        if not is_mapped(context["runAsUser"]):
            identity = ["-U", "--preserve-credentials"]
        enter = [shutil.which("nsenter"), "-t", str(self.process.pid), "-m", "-n", "-r", "--wd=/", *identity]
        command = [*enter, *container["lifecycle"]["preStop"]["exec"]["command"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env={}, check=False)
        return done.stdout + done.stderr, done.returncode

    def end(self):
        """What a kubelet does when a pod has to go."""
        self.process.send_signal(signal.SIGTERM)

    def tail(self):
        return self.log.read_text(errors="replace")[-4000:]
