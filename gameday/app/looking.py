"""What can be seen of a system from outside, for `gameday init`: few questions, read-only, bounded in all."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, TypeAdapter, ValidationError

from gameday.errors import UsageError
from gameday.grade.alerting import WATCHDOG
from gameday.model.quantities import parse_duration
from gameday.observers.http import HttpClient, NoAnswer

T = TypeVar("T")

__all__ = ["Counter", "Seen", "checked", "look"]

_NOWHERE = "http://prometheus.example:9090"
"""Of a domain that nobody has."""
_EACH = 3.0
"""Real seconds for one question."""
_ALL = 20.0
"""Real seconds for all of them."""
_MOST = 4 << 20
_COUNTERS = 8
"""The most counters that are looked at."""
_NAMES = r"[a-zA-Z_:][a-zA-Z0-9_:]*(request|response|call|rpc|handled|quer)[a-zA-Z0-9_:]*(_total|_count)"
_OWN = ("prometheus_", "promhttp_", "alertmanager_", "go_", "net_", "node_", "process_", "scrape_")
"""What tells of monitoring itself."""
_LABELS = (
    *("outcome", "result", "status", "code", "status_code", "http_status_code", "http_response_status_code"),
    *("response_code", "grpc_code", "grpc_status"),
)
"""What tells good from bad, the plainest first."""
_GOOD = ("ok", "OK", "success", "succeeded")
_SAFE = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True)
class Counter:
    """A counter that looks like requests, and the matcher of its good ones."""

    name: str
    good: str


@dataclass(frozen=True)
class Seen:
    """What was seen, in words for comments, each of one line."""

    url: str
    answer: str
    prometheus_url: str
    prometheus: str
    scrape: float | None = None
    """Real seconds: as most of its active targets have it; None: not known."""
    counters: Sequence[Counter] = ()
    alerting: str = "Whether there is a Watchdog, and an Alertmanager, could not be seen."

    @property
    def scrape_text(self) -> str:
        """As files say it; empty if it is not known."""
        if self.scrape is None:
            return ""
        whole = self.scrape == int(self.scrape)
        return f"{int(self.scrape)}s" if whole else f"{math.ceil(self.scrape * 1000)}ms"


class _Body(BaseModel):
    """What Prometheus wraps every answer in."""

    status: str
    data: object = None


_TEXTS = TypeAdapter(list[str])
_Ask = Callable[[str], object]


def checked(url: str, option: str) -> str:
    """The address without a slash at its end; UsageError if it is none, or holds what no file may."""
    try:
        parts = urlsplit(url)
        # In small letters, as the environment wants it.
        good = url.startswith(("http://", "https://")) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isprintable() or re.search(r"[\s\\]", url):
        raise UsageError(f"{option}: that is no http or https address", hint="such as http://shop.stage:8080")
    if "@" in parts.netloc or parts.query or parts.fragment:
        hint = "the files are shown to others; a login goes into observers.prometheus as env:NAME"
        raise UsageError(f"{option}: an address here has no credentials, no ? and no #", hint=hint)
    return url.rstrip("/")


def look(url: str, prometheus: str | None) -> Seen:
    """Ask both, and never fail: what could not be seen is said so. At most about 20 s."""
    deadline = time.monotonic() + _ALL
    answer = _answer(url)
    if prometheus is None:
        return Seen(url, answer, _NOWHERE, "not named: --prometheus says where it is")

    def ask(path: str) -> object:
        left = min(_EACH, deadline - time.monotonic())
        if left <= 0:
            raise NoAnswer("no time was left")
        return _data(HttpClient(prometheus, keep=False, most=_MOST).ask("GET", path, left).body)

    try:
        version = _of(ask("/api/v1/status/buildinfo"), "version")
    except NoAnswer as error:
        return Seen(url, answer, prometheus, f"could not be asked: {_line(str(error))}")
    said = f"Prometheus {_line(str(version))}" if version else "answers, and does not say what it is"
    return Seen(
        url,
        answer,
        prometheus,
        said,
        _tried(lambda: _scrape(ask)),
        _tried(lambda: _counters(ask)) or (),
        _alerting(ask),
    )


def _answer(url: str) -> str:
    began = time.monotonic()
    try:
        found = HttpClient(url, keep=False, most=_MOST).ask("GET", "/", _EACH)
    except NoAnswer as error:
        return f"does not answer: {_line(str(error))}"
    return f"answered {found.status} to GET / in {time.monotonic() - began:.2f} s"


def _tried(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except (NoAnswer, ValidationError):
        return None


def _data(body: bytes) -> object:
    try:
        found = _Body.model_validate_json(body)
    except ValidationError as error:
        raise NoAnswer("what answers is no Prometheus") from error
    if found.status != "success":
        raise NoAnswer("the question was refused")
    return found.data


def _of(data: object, *keys: str) -> object:
    """What is below these keys; None where there is nothing."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _each(data: object, *keys: str) -> Iterator[Mapping[str, object]]:
    found = _of(data, *keys)
    yield from (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else ()


def _scrape(ask: _Ask) -> float | None:
    """That of most of the active targets; of several such, the slowest."""
    found = []
    for target in _each(ask("/api/v1/targets?state=active"), "activeTargets"):
        try:
            found.append(parse_duration(str(target.get("scrapeInterval"))))
        except ValueError:
            continue
    return max((one for one in found if one > 0), key=lambda one: (found.count(one), one), default=None)


def _counters(ask: _Ask) -> Sequence[Counter]:
    matcher = quote(f'{{__name__=~"{_NAMES}"}}', safe="")
    names = _TEXTS.validate_python(ask(f"/api/v1/label/__name__/values?match[]={matcher}"))
    likely = [name for name in names if re.fullmatch(_NAMES, name) and not name.startswith(_OWN)]
    # A `_total` is a counter; a `_count` may be a histogram's.
    likely.sort(key=lambda name: (not name.endswith("_total"), name))
    found = [_tried(partial(_counter, ask, name)) for name in likely[:_COUNTERS]]
    return tuple(one for one in found if one is not None)


def _counter(ask: _Ask, name: str) -> Counter | None:
    matcher = quote(name, safe="")
    labels = _TEXTS.validate_python(ask(f"/api/v1/labels?match[]={matcher}"))
    label = next((one for one in _LABELS if one in labels), None)
    if label is None:
        return None
    values = _TEXTS.validate_python(ask(f"/api/v1/label/{label}/values?match[]={matcher}"))
    good = next((one for one in _GOOD if one in values), None)
    if good is not None:
        return Counter(name, f'{label}="{good}"')
    codes = [one for one in values if re.fullmatch(r"[1-5](\d\d|xx)", one)]
    return Counter(name, f'{label}!~"5.."') if codes else None


def _alerting(ask: _Ask) -> str:
    rules = _tried(lambda: _watchdog(ask)) or "its rules could not be read"
    return f"Seen there: {rules}; {_tried(lambda: _managers(ask)) or 'it does not tell of Alertmanagers'}."


def _watchdog(ask: _Ask) -> str:
    rules = [rule for group in _each(ask("/api/v1/rules?type=alert"), "groups") for rule in _each(group, "rules")]
    names = {str(rule.get("name")) for rule in rules}
    labelled = sorted(str(rule.get("name")) for rule in rules if _of(rule, "labels", "slo"))
    dog = "a Watchdog rule" if WATCHDOG in names else "no Watchdog rule"
    shown = [name for name in labelled if _SAFE.fullmatch(name)][:_COUNTERS]
    more = f"with a label slo: {', '.join(shown)}" if shown else "none with a label slo"
    return f"{dog} among {len(names)} alerts, {more}"


def _managers(ask: _Ask) -> str:
    count = sum(1 for _ in _each(ask("/api/v1/alertmanagers"), "activeAlertmanagers"))
    return f"{count} Alertmanager{'s' if count != 1 else ''} known to Prometheus"


def _line(text: str) -> str:
    """Fit for a comment: one line, nothing that a terminal or a parser takes for more."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:120]
