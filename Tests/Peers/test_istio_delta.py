# SPDX-License-Identifier: Apache-2.0
"""Istio as control plane that tells changes of resources: the sidecar does what Envoy does."""

import pytest

import istio


@pytest.fixture(scope="module")
def runs(request):
    yield from istio.runs(request, "delta")


@pytest.mark.parametrize("name", istio.SCENARIOS)
def test_scenario(runs, name):
    istio.check(runs[name])
