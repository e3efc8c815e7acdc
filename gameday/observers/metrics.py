"""The counters behind an SLO, read from ``/metrics`` of every instance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from gameday.model.events import CounterPair, CounterSample
from gameday.model.plan import BoundSlo
from gameday.model.slo import MetricsSelector, MetricsSource
from gameday.observers.pages import NoData, PageSampler

__all__ = ["MetricsObserver", "total_of"]


def total_of(text: str, selector: MetricsSelector) -> float:
    """The sum of a counter's series whose labels match, in Prometheus's text format.

    A counter that is declared, or has other series, but none that match is 0; one that is unknown is NoData. The
    suffix ``_total`` does not matter, neither here nor there.
    """
    name = _bare(selector.counter)
    try:
        families = [family for family in text_string_to_metric_families(text) if _bare(family.name) == name]
    except (ValueError, KeyError, IndexError) as error:
        raise NoData(f"its metrics do not parse: {error}") from error
    if not families:
        raise NoData(f"it has no counter {selector.counter}")
    series = [sample for family in families for sample in family.samples if _bare(sample.name) == name]
    total = sum((one.value for one in series if selector.where.items() <= one.labels.items()), start=0.0)
    if not math.isfinite(total):
        raise NoData(f"its counter {selector.counter} is {total}")
    return total


def _bare(name: str) -> str:
    return name.removesuffix("_total")


class MetricsObserver(PageSampler[CounterPair]):
    """Records a ``CounterSample`` of all instances under ``slo/NAME``, or a gap that names who did not answer."""

    def __init__(self, slo: BoundSlo, urls: Sequence[str]) -> None:
        if not (isinstance(slo.good, MetricsSource) and isinstance(slo.total, MetricsSource)):
            raise ValueError(f"the SLO {slo.name} is not read from metrics")
        if slo.good.spec.service != slo.total.spec.service or not urls:
            raise ValueError(f"the SLO {slo.name} needs the addresses of one service")
        super().__init__(f"slo/{slo.name}", slo.interval, urls)
        self._good, self._total = slo.good.spec, slo.total.spec

    def _parse(self, text: str) -> CounterPair:
        return CounterPair(good=total_of(text, self._good), total=total_of(text, self._total))

    def _sample(self) -> None:
        pairs, missing = self._ask_all()
        if missing:
            self._gaps.bad("; ".join(missing))
            return
        self._gaps.good()
        self._record(self.source, CounterSample(instances=dict(pairs)))
