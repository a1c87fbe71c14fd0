# SPDX-License-Identifier: Apache-2.0
"""Fixtures: one sidecar a module, a clean origin a test, both listeners where the promise is the same for both."""

import os

import pytest

# Tests may run in a pod, whose sidecars would take their time.
os.environ.pop("KUBERNETES_SERVICE_HOST", None)
pytest.register_assert_rewrite("harness")

import harness  # noqa: E402

# Errors are answered and lingered for; nothing in this suite needs the client to be slow then.
LINGER = {"linger": "500ms"}
BRIEF = {
    "requestHead": "300ms",
    "keepAlive": "300ms",
    "requestBody": "400ms",
    "firstByte": "300ms",
    "stream": "400ms",
    "connect": "300ms",
    "halfClosed": "300ms",
    "tunnel": "300ms",
    "upstreamIdle": "300ms",
    "linger": "300ms",
}


def running(**settings):
    """A mesh for as long as a fixture lives."""
    mesh = harness.Mesh(**settings)
    yield mesh
    mesh.stop()


@pytest.fixture(scope="module")
def shared_mesh():
    yield from running(timeouts=LINGER)


@pytest.fixture(scope="module")
def shared_brief():
    yield from running(timeouts=BRIEF)


def used_once(mesh):
    """A mesh for one test. Whatever it is about, the origin must have seen nothing that is not strict HTTP/1.1."""
    yield mesh
    violations = list(mesh.origin.violations)
    mesh.fresh()
    assert not violations


@pytest.fixture
def mesh(shared_mesh):
    """The sidecar with its defaults."""
    yield from used_once(shared_mesh)


@pytest.fixture
def brief(shared_brief):
    """The sidecar with short timeouts."""
    yield from used_once(shared_brief)


@pytest.fixture(params=["incoming", "outgoing"])
def door(request, mesh):
    """Both listeners, one after the other."""
    return harness.Door(mesh, request.param)


@pytest.fixture
def incoming(mesh):
    return harness.Door(mesh, "incoming")


@pytest.fixture
def outgoing(mesh):
    return harness.Door(mesh, "outgoing")


@pytest.fixture(params=["incoming", "outgoing"])
def brief_door(request, brief):
    """Both listeners of the sidecar with short timeouts."""
    return harness.Door(brief, request.param)


@pytest.fixture(scope="module")
def browser():
    """A browser for all pages of a module."""
    from browser import Browser  # few modules have pages

    running = Browser()
    yield running
    running.stop()
