"""Databases at binding: their addresses, the keys of the driver 'postgres', and who asks them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gameday.drivers import POSTGRES
from gameday.errors import SpecError
from gameday.model.plan import Plan
from gameday.plan import BindOptions, bind
from gameday.spec import Catalog, gather
from tests.plan.conftest import LAB, Project

PAYMENTS = '"lab://payments"'
BROWNOUT = '        brownout: {driver: toxiproxy, api: "lab://proxy", proxy: payments}\n'


class Standing:
    """The shipped files, with a driver for replay pauses beside the proxy's."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def pause(self, binding: str) -> None:
        """Bind it so."""
        self.project.replace("environment", BROWNOUT, f"{BROWNOUT}        replay_pause: {binding}\n")

    def bind(self) -> Plan:
        sources = gather(Catalog([self.project.root]), "api-dependency-brownout", "lab")
        drivers = {**LAB.drivers, "postgres": POSTGRES}
        return bind(sources, replace(LAB, drivers=drivers), BindOptions())

    def messages(self) -> list[str]:
        try:
            self.bind()
        except SpecError as error:
            return [str(problem) for problem in error.problems]
        return []


@pytest.fixture
def standing(project: Project) -> Standing:
    return Standing(project)


@pytest.mark.parametrize(
    "binding",
    [
        '{driver: postgres, api: "postgresql://db.example:5433/shop", user: gd}',
        '{driver: postgres, api: "postgresql:///shop?host=/run/pg", user: gd, password: "env:X", sslmode: require}',
        '{driver: postgres, api: "lab://standby"}',
    ],
)
def test_bindings_that_are_right(standing: Standing, binding: str) -> None:
    standing.pause(binding)
    assert standing.messages() == []


@pytest.mark.parametrize(
    ("binding", "what"),
    [
        ('{driver: postgres, api: "postgresql://db/shop"}', "needs 'user'"),
        ('{driver: postgres, api: "postgresql://u:hunter2@db/shop", user: gd}', "an address holds no credentials"),
        ('{driver: postgres, api: "postgresql://db/shop?user=u", user: gd}', "an address holds no credentials"),
        ('{driver: postgres, api: "postgresql://db/shop?password=hunter2", user: gd}', "not password"),
        ('{driver: postgres, api: "postgresql://db", user: gd}', "one database"),
        ('{driver: postgres, api: "http://db/shop", user: gd}', "does not talk to http addresses"),
        ('{driver: postgres, api: "postgres://db/shop", user: gd}', "did you mean 'postgresql'?"),
        ('{driver: postgres, api: "postgresql://db/s", user: gd, password: hunter2}', "a secret does not stand in"),
        ('{driver: postgres, api: "postgresql://db/s", user: gd, sslmode: requir}', "did you mean 'require'?"),
        ('{driver: postgres, api: "postgresql://db/s", user: gd, pasword: "env:X"}', "did you mean 'password'?"),
        ('{driver: toxiproxy, api: "lab://proxy", proxy: x}', "does no replay_pause"),
    ],
)
def test_bindings_that_are_not(standing: Standing, binding: str, what: str) -> None:
    standing.pause(binding)
    found = standing.messages()
    assert any(what in message for message in found), found
    assert "hunter2" not in "".join(found)


def test_a_proxy_is_not_at_the_address_of_a_database(standing: Standing) -> None:
    standing.project.replace("environment", BROWNOUT, BROWNOUT.replace("lab://proxy", "postgresql://db/shop"))
    assert any("'toxiproxy' does not talk to postgresql" in message for message in standing.messages())


def test_a_database_is_not_asked_by_http(standing: Standing) -> None:
    standing.project.replace("environment", PAYMENTS, '"postgresql://db/shop"')
    assert any("is a PostgreSQL, which is not asked by HTTP" in message for message in standing.messages())


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ('"lab://payments"', ""),
        ('"postgresql://db/shop", login: {user: gd, password: "file:/run/pw"}', ""),
        ('"postgresql://db/shop"', "'payments' has no login, and a probe asks it"),
        ('"http://db"', "is no PostgreSQL"),
        ('"http://db", login: {user: gd}', "'payments' is asked by HTTP, and nobody logs in to it"),
    ],
)
@pytest.mark.parametrize("kind", ["sql", "rows"])
def test_who_asks_a_database(standing: Standing, url: str, what: str, kind: str) -> None:
    standing.project.replace("environment", PAYMENTS, url.replace(", login", "\n      login"))
    probe = "http: {service: payments, method: GET, path: /answers, status: 200, timeout: 1s}"
    bounds = ", below: 3" if kind == "sql" else ""
    standing.project.replace("probe", probe, f"{kind}: {{service: payments, query: SELECT 1{bounds}}}")
    standing.project.replace("probe", "connection: fresh", "")
    found = [message for message in standing.messages() if "PostgreSQL" in message or "login" in message]
    assert any(what in message for message in found) if what else found == []


@pytest.mark.parametrize(
    ("form", "most"),
    [
        ("sql: {service: payments, query: SELECT 1, below: 3, timeout", "1m"),
        ("rows: {service: payments, query: SELECT 1, timeout", "5m"),
    ],
)
def test_no_run_waits_for_a_database_for_long(standing: Standing, form: str, most: str) -> None:
    probe = "http: {service: payments, method: GET, path: /answers, status: 200, timeout: 1s}"
    standing.project.replace("probe", probe, f"{form}: 1h}}")
    standing.project.replace("probe", "connection: fresh", "")
    found = standing.messages()
    assert any("'1h' must be at most" in message for message in found), found
    standing.project.replace("probe", "timeout: 1h", f"timeout: {most}")
    assert not any("at most" in message for message in standing.messages())


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgres://app:hunter2@127.0.0.1:1/shop", "'postgres://127.0.0.1' is no address"),
        ("postgres://app:hunter2/x@127.0.0.1:1/shop", "'postgres://app' is no address"),
        ("postgres://app:x[hunter2@127.0.0.1:1/shop", "'postgres://...' is no address"),
        ("app:hunter2@127.0.0.1/shop", "'127.0.0.1' is no address"),
        ("http://app:hunter2@[::1", "'http://...' is not an address"),
        ("postgresql://app:hunter2/x@127.0.0.1/shop", "no address of a PostgreSQL: its host and port"),
    ],
)
def test_what_is_no_address_is_told_without_its_password(standing: Standing, address: str, shown: str) -> None:
    standing.project.replace("environment", PAYMENTS, f'"{address}"')
    found = standing.messages()
    assert any(shown in message for message in found)
    assert "hunter2" not in " ".join(found)
