"""SLOs and probes by instant queries to Prometheus, or to what speaks its query API.

Read in this order: `Answered` (what one query comes to), `Prometheus` (asks), the two observers at the end.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic import JsonValue as JSON

from gameday.errors import PreflightError
from gameday.model.environment import PrometheusObserver
from gameday.model.events import CounterPair, CounterSample, ProbeSample
from gameday.model.plan import BoundProbe, BoundSlo
from gameday.model.slo import PrometheusSource
from gameday.observers.http import Answer, HttpClient, NoAnswer, Question
from gameday.observers.sampling import Paced
from gameday.references import secret
from gameday.slo.counters import SUM, Summed

__all__ = ["Answered", "Prometheus", "PrometheusSlo", "PromqlProbe", "Said"]

_PART = "gameday_part"
"""A label of our own, which tells good from total in the answer to both."""
_LOOKBACK = 3
"""Scrapes after which a value is too old: a server that scrapes no more must not repeat its last word as news."""
_APART = 1.0
"""Real seconds that its clock and ours may be apart."""
_FIRST = 5.0
"""Real seconds within which preflight's own query has to be answered."""
_MOST_BYTES = 4 << 20
_SHOWN = 200


class Said(StrEnum):
    """What a query comes to."""

    VALUE = "value"
    NO_TRAFFIC = "no traffic"
    """NaN: a ratio of nothing."""
    NO_DATA = "no data"
    """An empty vector."""
    SEVERAL = "several series"
    """The query is wrong."""
    REFUSED = "refused"
    """The query, or who asks, is refused: asking again does not help."""
    UNKNOWN = "unknown"
    """No answer, a partial one, or one that is no number."""


@dataclass(frozen=True)
class Answered:
    """The outcome of one query; ``why`` there is no value, for people, holds no secret."""

    said: Said
    value: float = math.nan
    why: str = ""


class _Failed(Exception):
    """There is no answer to go by."""

    def __init__(self, said: Said, why: str) -> None:
        super().__init__(why)
        self.said = said


class _Data(BaseModel):
    resultType: str
    result: JSON


class _Body(BaseModel):
    """What everything that speaks this API answers; ``isPartial`` is VictoriaMetrics' word."""

    status: str
    data: _Data | None = None
    error: str = ""
    warnings: list[str] | None = None
    infos: list[str] | None = None
    isPartial: bool = False


class _Series(BaseModel):
    metric: dict[str, str] = {}
    value: tuple[float, str] | None = None
    """Its time, and the number as text; None: a histogram."""


_VECTOR = TypeAdapter(list[_Series])
_SCALAR = TypeAdapter(tuple[float, str])


class Prometheus:
    """Asks one server; safe from threads. PreflightError if a secret or a certificate is not to be had."""

    def __init__(self, binding: PrometheusObserver, url: str) -> None:
        self._url = url
        self._lookback = _LOOKBACK * binding.scrape
        self._secrets = _secrets(binding)
        self._headers = (("Content-Type", "application/x-www-form-urlencoded"), *_headers(binding, self._secrets))
        # A connection for each query: one that is kept may be closed by the other side just as it is used.
        self._client = HttpClient(url, keep=False, most=_MOST_BYTES, tls=_trusted(binding))

    def one(self, query: str, timeout: float) -> Answered:
        """The one number of a query, now; within ``timeout`` real seconds."""
        try:
            return _number(query, self._evaluate(query, timeout))
        except _Failed as failed:
            return Answered(failed.said, why=self._masked(str(failed)))

    def two(self, queries: tuple[str, str], timeout: float) -> tuple[Answered, Answered]:
        """The numbers of two queries, of one instant and from one state of the server.

        Asked one after the other, though of the same instant, a scrape could come between them.
        """
        try:
            series = self._evaluate(_both(queries), timeout)
        except _Failed as failed:
            answered = Answered(failed.said, why=self._masked(str(failed)))
            return answered, answered
        good, total = ([one for one in series if one.metric.get(_PART) == part] for part in ("0", "1"))
        return _number(queries[0], good), _number(queries[1], total)

    def firing(self, slo: str, timeout: float) -> Sequence[Mapping[str, str]] | None:
        """The labels of the alerts of that SLO that fire now, as its own rules have it; None if it can not tell."""
        query = f'ALERTS{{alertstate="firing",slo={json.dumps(slo)}}}'
        try:
            # Its own lookback: rules may be evaluated less often than what is scraped, and mark what ended.
            return [one.metric for one in self._evaluate(query, timeout, lookback=False)]
        except _Failed:
            return None

    def check(self) -> None:
        """PreflightError if it does not answer us, or its clock and ours are apart: what it tells of now would be
        taken for news of another time."""
        before = time.time()
        try:
            told = _number("time()", self._evaluate("time()", _FIRST, now=False))
        except _Failed as failed:
            told = Answered(failed.said, why=self._masked(str(failed)))
        if told.said is not Said.VALUE:
            raise PreflightError(
                f"Prometheus at {self._url} does not answer: {told.why}", hint="see observers.prometheus"
            )
        apart = max(before - told.value, told.value - time.time())
        if apart > _APART:
            message = f"the clocks of Prometheus at {self._url} and of this machine are {apart:.1f} s apart"
            raise PreflightError(message, hint=f"at most {_APART:g} s: set both by NTP")

    def _evaluate(self, query: str, timeout: float, now: bool = True, lookback: bool = True) -> Sequence[_Series]:
        form = {
            "query": query,
            "timeout": f"{timeout:.3f}",
            "partial_response": "false",  # for Thanos, which else leaves out what it can not reach
        }
        if lookback:
            form["lookback_delta"] = f"{self._lookback:.3f}"
        if now:
            form["time"] = f"{time.time():.3f}"
        return _read(self._ask(Question("POST", "/api/v1/query", self._headers, urlencode(form).encode()), timeout))

    def _ask(self, question: Question, timeout: float) -> Answer:
        """A second attempt, for the same instant, if the first failed in half the time."""
        deadline = time.monotonic() + timeout
        answer = self._attempt(question, deadline)
        if isinstance(answer, str) and time.monotonic() < deadline - timeout / 2:
            answer = self._attempt(question, deadline)
        if isinstance(answer, str):
            raise _Failed(Said.UNKNOWN, answer)
        return answer

    def _attempt(self, question: Question, deadline: float) -> Answer | str:
        """An answer, or why there is none that is worth reading."""
        try:
            answer = self._client.send(question, max(0.001, deadline - time.monotonic()))
        except NoAnswer as error:
            return str(error)
        return f"answered {answer.status}" if answer.status >= 500 or answer.status == 429 else answer

    def _masked(self, text: str) -> str:
        """Without our secrets, should the other side repeat them."""
        for one in self._secrets:
            text = text.replace(one, "***")
        return text[:500]


def _both(queries: tuple[str, str]) -> str:
    # Each stands on lines of its own, since it may end in a comment.
    good, total = (
        f'label_replace((\n{query}\n), "{_PART}", "{part}", "", "")' for part, query in enumerate(queries)
    )
    return f"{good} or {total}"


def _read(answer: Answer) -> Sequence[_Series]:
    try:
        body = _Body.model_validate_json(answer.body)
    except ValidationError as error:
        said = Said.UNKNOWN if answer.status == 200 else Said.REFUSED
        text = "with what is no answer to a query" if answer.status == 200 else ""
        raise _Failed(said, f"answered {answer.status} {text}".strip()) from error
    if answer.status != 200 or body.status != "success" or body.data is None:
        raise _Failed(Said.REFUSED, f"answered {answer.status}: {body.error or body.status}")
    # Infos are advice about the query, unless they too say that something is left out.
    doubts = [*(body.warnings or ()), *(info for info in body.infos or () if "partial" in info.lower())]
    if doubts or body.isPartial:
        raise _Failed(Said.UNKNOWN, f"the answer is partial: {'; '.join(doubts) or 'it says so'}")
    try:
        if body.data.resultType == "scalar":
            return [_Series(value=_SCALAR.validate_python(body.data.result))]
        if body.data.resultType == "vector":
            return _VECTOR.validate_python(body.data.result)
    except ValidationError as error:
        raise _Failed(Said.UNKNOWN, "answered with what is no result of a query") from error
    raise _Failed(Said.REFUSED, f"the result is a {body.data.resultType[:_SHOWN]}, not numbers of one instant")


def _number(query: str, series: Sequence[_Series]) -> Answered:
    shown = f"the query '{_shown(query)}'"
    if not series:
        return Answered(Said.NO_DATA, why=f"{shown} gives nothing (an empty vector)")
    if len(series) > 1:
        return Answered(Said.SEVERAL, why=f"{shown} gives {len(series)} series, not one")
    value = series[0].value
    try:
        number = float(value[1]) if value is not None else math.inf
    except ValueError:
        number = math.inf
    if math.isnan(number):
        return Answered(Said.NO_TRAFFIC, why=f"{shown} gives NaN")
    if not math.isfinite(number):
        what = value[1][:_SHOWN] if value is not None else "a histogram"
        return Answered(Said.UNKNOWN, why=f"{shown} gives {what}, not a number")
    return Answered(Said.VALUE, number)


def _shown(query: str) -> str:
    text = " ".join(query.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _secrets(binding: PrometheusObserver) -> tuple[str, ...]:
    """What must be shown nowhere, the value of the header first."""
    if binding.bearer is not None:
        return (_secret(binding.bearer),)
    if binding.basic is not None:
        password = _secret(binding.basic.password)
        return base64.b64encode(f"{binding.basic.user}:{password}".encode()).decode(), password
    return ()


def _headers(binding: PrometheusObserver, secrets: Sequence[str]) -> Sequence[tuple[str, str]]:
    word = "Bearer" if binding.bearer is not None else "Basic"
    login = [("Authorization", f"{word} {secrets[0]}")] if secrets else []
    return [*login, *([("X-Scope-OrgID", binding.org_id)] if binding.org_id is not None else [])]


def _secret(reference: str) -> str:
    try:
        found = secret(reference)
    except LookupError as error:
        raise PreflightError(f"the secret {reference} for Prometheus is not to be had") from error
    if not (found.isascii() and found.isprintable()):
        # Said without the secret: h11's own complaint about such a header would repeat it.
        raise PreflightError(f"the secret {reference} for Prometheus holds characters that no header may")
    return found


def _trusted(binding: PrometheusObserver) -> ssl.SSLContext | None:
    if binding.ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=binding.ca.removeprefix("file:"))
    except OSError as error:  # ssl.SSLError is one
        raise PreflightError(f"no certificates for Prometheus are to be read from {binding.ca}: {error}") from error


class PrometheusSlo(Paced):
    """Records a ``CounterSample`` under ``slo/NAME``, or a gap that says why there is none."""

    def __init__(self, slo: BoundSlo, server: Prometheus) -> None:
        if not (isinstance(slo.good, PrometheusSource) and isinstance(slo.total, PrometheusSource)):
            raise ValueError(f"the SLO {slo.name} is not read from Prometheus")
        super().__init__(f"slo/{slo.name}", slo.interval)
        self._queries = (slo.good.spec.query, slo.total.spec.query)
        self._server = server
        self._summed = Summed()
        self._known = False

    def check(self) -> None:
        """PreflightError names the query that gives several series, or is refused."""
        for answered in self._server.two(self._queries, self._timeout):
            _refuse(self.source, answered)

    def _sample(self) -> None:
        good, total = self._server.two(self._queries, self._timeout)
        if good.said is total.said is Said.NO_TRAFFIC:
            self._record(self.source, CounterSample(instances={}))
            self._heard()
        elif good.said is total.said is Said.VALUE:
            self._count(good.value, total.value)
        else:
            self._gaps.bad(good.why or total.why)

    def _count(self, good: float, total: float) -> None:
        if good < 0 or good > total + 1e-6:
            self._gaps.bad(f"it counts {good:g} good of {total:g}")
            return
        pair = CounterPair(good=min(good, total), total=total)
        lost = self._summed.take(pair)
        if lost:
            self._gaps.bad(lost)
        self._record(self.source, CounterSample(instances={SUM: pair}, base=bool(lost) or not self._known))
        self._known = True
        self._heard()


class PromqlProbe(Paced):
    """Records a ``ProbeSample`` under ``probe/NAME``, or a gap that says why there is none."""

    def __init__(self, probe: BoundProbe, server: Prometheus) -> None:
        if probe.promql is None:
            raise ValueError(f"the probe {probe.name} asks no query")
        super().__init__(f"probe/{probe.name}", 1 / probe.rate)
        self._check = probe.promql
        self._server = server

    def check(self) -> None:
        """PreflightError names the query that gives several series, or is refused."""
        _refuse(self.source, self._server.one(self._check.query, self._timeout))

    def _sample(self) -> None:
        start = time.monotonic_ns()
        answered = self._server.one(self._check.query, self._timeout)
        end = time.monotonic_ns()
        if answered.said is Said.VALUE:
            good = self._check.good(answered.value)
            self._record(self.source, ProbeSample(ok=good, value=answered.value, start=start, end=end))
        elif answered.said is Said.NO_TRAFFIC:
            self._record(self.source, ProbeSample(ok=False, idle=True, start=start, end=end))
        else:
            self._gaps.bad(answered.why)
            return
        self._heard()


def _refuse(source: str, answered: Answered) -> None:
    if answered.said in (Said.SEVERAL, Said.REFUSED):
        who = "Prometheus " if answered.said is Said.REFUSED else ""
        hint = "nothing was injected; try the query in Prometheus itself"
        raise PreflightError(f"{source}: {who}{answered.why}", hint=hint)
