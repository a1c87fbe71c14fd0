# SPDX-License-Identifier: Apache-2.0
"""The image that is made without an engine: what is in it, that it is the same each time, and that it runs."""

import gzip
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

import harness
from harness import REPOSITORY, eventually

PACKAGING = REPOSITORY / "packaging"
PINS = REPOSITORY / ".build/release/Package.resolved"
PROGRAM = "opt/mesher/mesher"
EPOCH = 1_700_000_000

pytestmark = pytest.mark.skipif("MESHER_BIN" in os.environ, reason="what is in the image is the build of this tree")


def make(folder, *options, **environment):
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH)} | environment
    command = [PACKAGING / "image", *options, folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return make(tmp_path_factory.mktemp("image"))


def blob(image, described):
    octets = (image / "oci/blobs" / described["digest"].replace(":", "/")).read_bytes()
    assert len(octets) == described["size"]
    assert described["digest"] == f"sha256:{hashlib.sha256(octets).hexdigest()}"
    return octets


@pytest.fixture(scope="module")
def manifest(image):
    (described,) = json.loads((image / "oci/index.json").read_text())["manifests"]
    return json.loads(blob(image, described))


@pytest.fixture(scope="module")
def configuration(image, manifest):
    return json.loads(blob(image, manifest["config"]))


def octets(folder):
    """Each file by its path: what it is, when it was changed if the image says so, and what is in it."""

    def told(path):
        status = path.lstat()
        content = path.is_file() and path.read_bytes()
        return (status.st_mode, int(status.st_mtime), content) if folder / "root" in path.parents else content

    return {path.relative_to(folder): told(path) for path in folder.rglob("*")}


def test_the_same_binary_gives_the_same_octets(image, tmp_path):
    """Also with another umask, time zone and language, and beside what was there before."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/left").touch()
    old = os.umask(0o077)
    try:
        again = octets(make(tmp_path, TZ="Asia/Tokyo", LC_ALL="C.UTF-8"))
    finally:
        os.umask(old)
    first = octets(image)
    assert first.keys() == again.keys()
    assert not [name for name in first if first[name] != again[name]]


def test_the_layout_is_whole(image, manifest, configuration):
    assert json.loads((image / "oci/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    (layer,) = manifest["layers"]
    content = gzip.decompress(blob(image, layer))
    assert configuration["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(content).hexdigest()}"]
    blobs = {path.name for path in (image / "oci/blobs/sha256").iterdir()}
    (described,) = json.loads((image / "oci/index.json").read_text())["manifests"]
    assert blobs == {each["digest"].partition(":")[2] for each in (described, manifest["config"], layer)}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entries = {entry.name: entry for entry in archive}
        names = {str(path.relative_to(image / "root")) for path in (image / "root").rglob("*")}
        assert set(entries) == names
        assert {(entry.uid, entry.gid, entry.mtime) for entry in entries.values()} == {(0, 0, EPOCH)}
        # A folder comes before what is in it.
        order = list(entries)
        assert all("/" not in name or order.index(name.rpartition("/")[0]) < order.index(name) for name in order)
    (packed,) = image.glob("mesher-*.oci.tar")
    with tarfile.open(packed) as archive:
        assert "index.json" in archive.getnames() and f"blobs/sha256/{described['digest'][7:]}" in archive.getnames()


def test_nothing_is_in_it_that_need_not_be(image):
    root = image / "root"
    files = [path for path in root.rglob("*") if not path.is_dir()]
    programs = {str(path.relative_to(root)) for path in files if path.stat().st_mode & stat.S_IXUSR}
    libraries = {
        name for name in programs if re.fullmatch(r"lib(64)?/.*(lib[cm]\.so\.6|libgcc_s\.so\.1|ld-linux-[^/]*)", name)
    }
    assert programs - libraries == {PROGRAM} and len(libraries) == 4
    for path in (root, *root.rglob("*")):
        assert not path.is_symlink()
        mode = path.stat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID)
        assert not mode & stat.S_IWOTH or path == root / "tmp", path
        assert mode & stat.S_IROTH, path
    assert sum(path.stat().st_size for path in files) <= 60_000_000


def test_what_the_binary_needs_is_there(image):
    dynamic = subprocess.run(["readelf", "-dl", image / "root" / PROGRAM], capture_output=True, text=True, check=True)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic.stdout)
    loader = re.search(r"interpreter: /(\S+)\]", dynamic.stdout)[1]
    assert {name.partition(".so")[0] for name in needed} <= {"libc", "libm", Path(loader).name.partition(".so")[0]}
    there = {path.name for path in (image / "root").rglob("*")}
    assert set(needed) <= there and (image / "root" / loader).exists()


def test_a_binary_that_needs_more_is_refused(tmp_path):
    """A copy of the sources' layout, with a program that needs a library besides."""
    release = tmp_path / ".build/release"
    release.mkdir(parents=True)
    for name in ("packaging", "conf", "LICENSE"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    script = tmp_path / "scripts/image"
    script.parent.mkdir()
    script.write_text((PACKAGING / "image").read_text())
    told = subprocess.run([sys.executable, script, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert told.returncode == 1 and "run make build first" in told.stderr
    (tmp_path / "c.c").write_text("#include <zlib.h>\nint main(void) { return zlibVersion() == 0; }\n")
    subprocess.run(["clang", "-o", release / "mesher", tmp_path / "c.c", "-lz"], check=True)
    (release / "VERSION").write_text('version: "1.2.3"\ncommit: ""\nbuilt: "2026-01-01T00:00:00Z"\n')
    (release / "Package.resolved").write_text('{"pins": []}')
    told = subprocess.run([sys.executable, script, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert told.returncode == 1 and "the binary needs libz.so.1" in told.stderr


def test_the_containerfile_makes_the_same(configuration, manifest):
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, PACKAGING / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    head, _, last = (PACKAGING / "Containerfile").read_text().rpartition("FROM ")
    lines = [line.split(maxsplit=1) for line in last.splitlines() if line and not line.startswith("#")]
    assert lines.pop(0) == ["scratch"]
    assert [words for words in lines if words[0] in ("COPY", "ADD", "RUN")] == [["COPY", "--from=build /out/root/ /"]]
    assert "packaging/image --root /out" in head
    said = dict(line for line in lines if line[0] != "COPY")
    config = configuration["config"]
    assert said["ENV"].split() == config["Env"]
    assert said["USER"] == config["User"] == "65532"
    assert said["WORKDIR"] == config["WorkingDir"]
    assert {f"{port}/tcp" for port in said["EXPOSE"].split()} == set(config["ExposedPorts"])
    assert said["STOPSIGNAL"] == config["StopSignal"]
    assert json.loads(said["ENTRYPOINT"]) == config["Entrypoint"]
    assert set(said) == {"ENV", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT"}
    assert configuration["os"] == "linux" and configuration["created"] == "2023-11-14T22:13:20Z"
    assert manifest["annotations"]["org.opencontainers.image.version"] in configuration["config"]["Labels"].values()


def test_the_list_of_what_is_inside(image):
    bill = image / "sbom.spdx.json"
    assert (image / "root/usr/share/doc/mesher/sbom.spdx.json").read_bytes() == bill.read_bytes()
    assert not validate_full_spdx_document(parse_file(str(bill)))
    said = json.loads(bill.read_text())
    versions = {package["name"]: package["versionInfo"] for package in said["packages"]}
    pins = json.loads(PINS.read_text())["pins"]
    assert {"swift-nio", "swift-nio-ssl", "hummingbird"} <= {pin["identity"] for pin in pins}
    for pin in pins:
        assert versions[pin["identity"]] == pin["state"]["version"]
    (own,) = (package for package in said["packages"] if package["name"] == "mesher")
    program = (image / "root" / PROGRAM).read_bytes()
    assert own["checksums"][0]["checksumValue"] == hashlib.sha256(program).hexdigest()
    kinds = {relation["relatedSpdxElement"]: relation["relationshipType"] for relation in said["relationships"]}
    assert kinds["SPDXRef-deb-libc6"] == "CONTAINS" and kinds["SPDXRef-deb-libre2-dev"] == "STATIC_LINK"


def test_licences_are_with_it(image):
    documents = image / "root/usr/share/doc"
    assert (documents / "mesher/LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
    for pin in json.loads(PINS.read_text())["pins"]:
        assert list((documents / "mesher" / pin["identity"]).glob("LICENSE*")), pin["identity"]
    assert (documents / "libc6/copyright").exists()


def is_mapped(user):
    """Whether this namespace has that user: a network of its own for each file may have root alone."""
    ranges = [map(int, line.split()) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= user < first + count for first, _, count in ranges)


@pytest.fixture
def inside(image, configuration, tmp_path):
    """Runs the program in the image's root, which is read-only, as the image's user, with its environment."""
    if os.geteuid() != 0:
        pytest.skip("only root has roots")
    mounts = 'mount --rbind "$0" "$0" && mount -o remount,ro,bind "$0" && mount --rbind /proc "$0/proc"'
    user = f"--userspec={configuration['config']['User']}" if is_mapped(65532) else ""
    script = f'{mounts} && mount --rbind /dev "$0/dev" && root=$0 && exec chroot {user} "$root" "$@"'
    command = ["unshare", "-m", "sh", "-c", script, image / "root", *configuration["config"]["Entrypoint"]]
    environment = dict(entry.split("=", 1) for entry in configuration["config"]["Env"])
    path = os.environ["PATH"]

    def start(*arguments, **more):
        keep = {name: value for name, value in environment.items() if name != "PATH"} | {"PATH": path}
        return subprocess.Popen(
            [*command, *arguments], env=keep | more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    return start


def test_it_runs_from_a_read_only_root_without_rights(inside):
    admin, port = (harness.free_port("127.0.0.1") for _ in range(2))
    version = inside("version")
    assert version.communicate(timeout=10)[0].startswith("mesher ")
    process = inside(
        f"--cse.protocols.rest-admin.listenAddress=127.0.0.1:{admin}",
        LISTEN_ADDRESS=f"127.0.0.1:{port}",
        mesher_listenIP="",
    )
    try:
        eventually(lambda: harness.listens("127.0.0.1", admin), "no admin API", seconds=10)
        if is_mapped(65532):
            (owner,) = re.findall(r"^Uid:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text(), re.M)
            assert owner == "65532"
    finally:
        process.terminate()
        log = process.communicate(timeout=10)[0]
    assert process.returncode == 0, log
