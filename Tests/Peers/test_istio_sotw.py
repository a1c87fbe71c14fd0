# SPDX-License-Identifier: Apache-2.0
"""Istio before 1.12 as control plane, which tells the state of the world: the sidecar does what Envoy does."""

import pytest

import istio


@pytest.fixture(scope="module")
def runs(request):
    yield from istio.runs(request, "sotw")


@pytest.mark.parametrize("name", istio.SCENARIOS)
def test_scenario(runs, name):
    istio.check(runs[name])
