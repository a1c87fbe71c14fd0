# SPDX-License-Identifier: Apache-2.0
"""The scenarios of Tests/Istio with the sidecar, several at a time: most of their time is waiting."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "Tests/Istio"))

from controlplane import compare, run, scenario

AT_A_TIME = 2


def cases():
    """All scenarios. Of those that the sidecar does not play yet, one that it does play is a failure too."""
    for name in scenario.every():
        later = scenario.read(name).get("later")
        marks = [pytest.mark.xfail(reason=later, strict=True)] if later else []
        yield pytest.param(name, id=name, marks=marks)


SCENARIOS = list(cases())


def runs(request, form):
    """What is going to be a `Run` by scenario, for the tests of the module that were selected."""
    pool = ThreadPoolExecutor(AT_A_TIME)
    items = [item for item in request.session.items if item.module is request.module and "runs" in item.fixturenames]
    names = [item.callspec.params["name"] for item in items]
    yield {name: pool.submit(run.Run(name, "mesher", form).play) for name in scenario.every() if name in names}
    pool.shutdown(cancel_futures=True)


def check(future):
    """The sidecar does what Envoy has done, and keeps to the protocol."""
    played, failure = None, ""
    try:
        played = future.result()
    except AssertionError as error:
        failure = str(error)
    if played is None:
        pytest.fail(failure, pytrace=False)
    if differences := compare.differences(played):
        log = f"End of the sidecar's log:\n{played.tail}"
        pytest.fail("\n\n".join([f"{len(differences)} differences", *differences, log]), pytrace=False)
