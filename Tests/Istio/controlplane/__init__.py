# SPDX-License-Identifier: Apache-2.0
"""A control plane for tests that speaks xDS v3 as istiod does, and what asks a proxy on the other end of it.

Each scenario is asked of two proxies: of Envoy, whose answers are kept in `oracle/`, and of the sidecar, whose answers
have to be the same. What the sidecar means to do otherwise stands in the scenario, or in `compare`.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
# The harness of the peers starts sidecars and reads HTTP.
sys.path.insert(0, str(FOLDER.parent / "Peers"))
# Behind all others, whose messages are newer.
sys.path.append(str(FOLDER.parent.parent / ".venv/xds"))
