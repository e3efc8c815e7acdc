"""Whatever values stand in the files: binding gives a plan, or SpecError says what is wrong."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gameday.errors import SpecError
from gameday.plan import load_plan, plan_json

BROWNOUT = "api-dependency-brownout"
NAMES = [BROWNOUT, BROWNOUT, "node-pool-exhaustion", "read-replica-lag", "secrets-backend-outage"]
ENVIRONMENT = "experiments/environments/lab.yaml"
PROBE = "probes/payments-answers.yaml"
WORD = re.compile(r"[\w%./:$-]+")
VALUES = (
    "0s",
    "1ms",
    "5m",
    "100000d",
    "0%",
    "0.001%",
    "100%",
    "0/s",
    "1/s",
    "1e9",
    "1",
    "0",
    "-1",
    "true",
    "x",
    "customer",
    "service",
    "entry",
    "slo",
    "rollback",
    "brownout",
    "exhaust",
    "drain",
    "outage",
    "9999999999999999999999999999d",
    "1h",
    "lab://x",
    "http://a@b",
    "alert",
    "30%",
    "nan",
    "[]",
    "{}",
    "~",
    "${hold}",
    "payments",
    "see-errors",
    "manual",
    "reset",
)


@st.composite
def exchanged(draw: st.DrawFn, text: str) -> str:
    """The text with a few of its words exchanged for others: mostly still YAML of the right shape."""
    for _ in range(draw(st.integers(1, 3))):
        words = list(WORD.finditer(text))
        word = words[draw(st.integers(0, len(words) - 1))]
        text = text[: word.start()] + draw(st.sampled_from(VALUES)) + text[word.end() :]
    return text


@settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), scale=st.sampled_from([None, 1, 7, 60, 1e300]), attended=st.booleans())
def test_nothing_but_spec_error(project: Any, data: st.DataObject, scale: float | None, attended: bool) -> None:
    name = data.draw(st.sampled_from(NAMES))
    own = f"experiments/{name}.yaml"
    path = project.root / data.draw(st.sampled_from([own, own, ENVIRONMENT, f"runbooks/{name}.md", PROBE]))
    text = path.read_text()
    path.write_text(data.draw(exchanged(text)))
    try:
        with contextlib.suppress(SpecError):
            plan = project.bind(name=name, time_scale=scale, attended=attended)
            assert load_plan(plan_json(plan)) == plan
    finally:
        path.write_text(text)
