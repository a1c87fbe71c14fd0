# SPDX-License-Identifier: Apache-2.0
"""Files with thousands of keys cost what reading them costs, and hold up nobody."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from harness import Client, binary

# The bounds are those of a busy machine; a quiet one takes a tenth.
CHECK, QUESTION, PROBE = 10, 0.5, 1


def test_a_check_of_40000_unknown_keys(tmp_path):
    (tmp_path / "chassis.yaml").write_text("cse: {service: {registry: {type: file, address: services.yaml}}}\n")
    (tmp_path / "microservice.yaml").write_text("service_description: {name: web}\n")
    (tmp_path / "services.yaml").write_text("service: []\n")
    (tmp_path / "mesher.yaml").write_text("".join(f"cse.isolation.key{number}: 1\n" for number in range(40_000)))
    environment = {"PATH": os.environ["PATH"], "CHASSIS_CONF_DIR": "."}
    start = time.monotonic()
    done = subprocess.run(
        [binary(), "check"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert time.monotonic() - start < CHECK
    assert done.stdout.splitlines()[-1].startswith("40000 warnings")


@pytest.fixture
def crowded():
    sidecar = harness.Sidecar(9, {"cart": 9})
    keys = "".join(f"own.key{number}: some value\n" for number in range(2000))
    Path(sidecar.directory.name, "mesher.yaml").write_text(keys)
    with sidecar:
        yield sidecar


def took(sidecar, path):
    """How long an answer of 200 took, on a connection of its own."""
    start = time.monotonic()
    with Client(("127.0.0.1", sidecar.admin)) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert client.response().status == 200
    return time.monotonic() - start


def test_the_configuration_of_2000_keys_holds_up_no_probe(crowded):
    took(crowded, "/v1/mesher/config")
    assert sorted(took(crowded, "/v1/mesher/config") for _ in range(5))[2] < QUESTION
    stop = threading.Event()

    def pipeline():
        question = b"GET /v1/mesher/config HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", crowded.admin), timeout=5) as peer:
                    peer.sendall(question)
                    for _ in range(64):
                        if stop.is_set() or not peer.recv(65536):
                            break
            except OSError:
                # The admin API makes room for others.
                continue

    crowd = [threading.Thread(target=pipeline) for _ in range(64)]
    for each in crowd:
        each.start()
    try:
        waits = [took(crowded, "/healthz") for _ in range(20)]
    finally:
        stop.set()
        for each in crowd:
            each.join()
    assert sorted(waits)[len(waits) * 3 // 4] < PROBE, waits
