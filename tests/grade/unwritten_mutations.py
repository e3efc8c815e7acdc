"""More ways in which a day could have gone wrong: those that break what was promised of refused orders.

They need a day on which somebody asks; what the rows that are asked do not show is for nobody else to find.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import cast

from gameday.model.base import JSON
from gameday.model.experiment import Throttled
from tests.grade import mutations
from tests.grade.builder import Draft
from tests.grade.mutations import Mutation, change_rows
from tests.grade.scene import Request, Scene
from tests.grade.standby import ORDERS, WRITTEN

__all__ = ["UNWRITTEN"]

UNWRITTEN: set[str] = set()
"""What changes nothing unless somebody asks."""


def standby(mutation: Mutation) -> Mutation:
    UNWRITTEN.add(mutation.__name__)
    return mutations.standby(mutation)


def standby_benign(mutation: Mutation) -> Mutation:
    UNWRITTEN.add(mutation.__name__)
    return mutations.standby_benign(mutation)


def _asked(scene: Scene) -> str:
    return cast(str, scene.expected(Throttled).unwritten)


def _refused(scene: Scene, requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if request.status == scene.expected(Throttled).status]


def _change(scene: Scene, draft: Draft, chosen: Sequence[Request], change: Callable[[Request], None]) -> None:
    requests = {request.number: request for request in scene.requests(draft)}
    for one in chosen:
        change(requests[one.number])
    scene.set_requests(draft, requests.values())


def _some(scene: Scene, draft: Draft, chance: Random) -> list[Request]:
    """Some of the refused ones."""
    refused = _refused(scene, scene.requests(draft))
    return chance.sample(refused, chance.choice([1, 2, 20, len(refused)]))


@standby
def refused_and_written(scene: Scene, draft: Draft, chance: Random) -> str:
    written = [request.note for request in _some(scene, draft, chance)]
    change_rows(draft, lambda rows: [*rows, *written], _asked(scene))
    return f"{len(written)} refused orders were written all the same"


@standby
def refused_and_written_with_a_key(scene: Scene, draft: Draft, chance: Random) -> str:
    """The rows have a key beside the word that the load notes, as those do that everything acknowledged is in."""
    written = [request.note for request in _some(scene, draft, chance)]
    change_rows(
        draft, lambda rows: [f"key-{place} {row}" for place, row in enumerate([*rows, *written])], _asked(scene)
    )
    return f"{len(written)} refused orders were written all the same, under a key that nobody was told"


@standby
def refused_called_good_and_written(scene: Scene, draft: Draft, chance: Random) -> str:
    """The load pack calls whatever is refused good, and it is there."""
    refused = _refused(scene, scene.requests(draft))
    written = [request.note for request in refused]
    _change(scene, draft, refused, lambda request: setattr(request, "ok", True))
    for probe in {ORDERS, _asked(scene)}:
        change_rows(draft, lambda rows: [*rows, *written], probe)
    return f"{len(written)} refused orders count as good, and were written"


@standby
def refusals_in_more_words(scene: Scene, draft: Draft, chance: Random) -> str:
    some = _some(scene, draft, chance)
    written = [request.note for request in some]
    _change(scene, draft, some, lambda request: setattr(request, "note", f"{request.note} refused"))
    change_rows(draft, lambda rows: [*rows, *written], _asked(scene))
    return f"{len(written)} refused orders were written, and are noted with another word behind"


@standby
def refusals_without_a_note(scene: Scene, draft: Draft, chance: Random) -> str:
    silent = _some(scene, draft, chance)
    _change(scene, draft, silent, lambda request: setattr(request, "note", ""))
    return f"of {len(silent)} refused orders nobody knows what must not have been written"


@standby
def rows_in_part(scene: Scene, draft: Draft, chance: Random) -> str:
    """The first page, the last, or some of all: what was refused may be in the rest."""
    share, which = chance.uniform(0.0, 0.85), chance.randrange(3)

    def part(rows: list[JSON]) -> list[JSON]:
        count = max(1, round(len(rows) * share))
        return [rows[:count], rows[-count:], chance.sample(rows, count)][which]

    change_rows(draft, part, _asked(scene))
    return f"{share:.0%} of the rows were read: {['the first', 'the last', 'any'][which]}"


@standby
def rows_in_another_form(scene: Scene, draft: Draft, chance: Random) -> str:
    """They have what was refused as well, in a form in which nobody finds it."""
    refused = [request.note for request in _refused(scene, scene.requests(draft))]
    form = chance.choice(["sha256:{}", "{},", "{}0", "{{'of': '{}'}}", "key,{}"])
    change_rows(draft, lambda rows: [form.format(row) for row in [*rows, *refused]], _asked(scene))
    return f"the rows are of the form {form}, and all refused orders are among them"


@standby_benign
def rows_with_a_key(scene: Scene, draft: Draft, chance: Random) -> str:
    if _asked(scene) == WRITTEN:
        change_rows(draft, lambda rows: [f"key-{place} {row}" for place, row in enumerate(rows)], WRITTEN)
    return "the rows have a key beside the word that the load notes"


@standby_benign
def rows_without_a_few(scene: Scene, draft: Draft, chance: Random) -> str:
    """Where another probe says whether everything acknowledged is there, this one may have lost some."""
    every = chance.randint(20, 99)
    if _asked(scene) == WRITTEN:
        change_rows(draft, lambda rows: [row for place, row in enumerate(rows) if place % every], WRITTEN)
    return f"every {every}th of the rows is missing"
