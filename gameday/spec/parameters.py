"""An experiment's parameters: defaults, then a profile's, then ``--set``; ``${name}`` takes the value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gameday.errors import UsageError
from gameday.model.document import Location
from gameday.model.suggest import one_of
from gameday.spec.explain import Origin
from gameday.spec.tree import Tree, Value, has_surrogate

__all__ = ["Substituted", "substitute"]

_USE = re.compile(r"\$\{([^{}]*)\}")
_PARAMETERS: Location = ("spec", "parameters")
_PROFILES: Location = ("spec", "profiles")


@dataclass
class Substituted:
    """Which values came from parameters, and which parameters are not at their default."""

    origins: dict[Location, Origin] = field(default_factory=dict)
    changed: tuple[str, ...] = ()


def substitute(tree: Tree, profile: str | None, settings: Mapping[str, str]) -> Substituted:
    """Put the parameters' values in place, in ``tree`` itself; problems are added to it.

    UsageError if the profile or a setting is not one that the experiment declares.
    """
    defaults = _texts(tree, _PARAMETERS)
    _check_profiles(tree, defaults)
    _check_call(tree, defaults, profile, settings)
    chosen = _texts(tree, (*_PROFILES, profile)) if profile is not None else {}
    chosen = {name: value for name, value in chosen.items() if name in defaults}
    used = {**defaults, **chosen, **settings}
    origins = {name: Origin(name, tree.place((*_PARAMETERS, name))) for name in defaults}
    origins |= {name: Origin(name, tree.place((*_PROFILES, str(profile), name))) for name in chosen}
    origins |= {name: Origin(name, None) for name in settings}
    walk = _Walk(tree, used, origins)
    tree.value = walk.value(tree.value, ())
    for name in sorted(set(defaults) - walk.seen):
        tree.add(
            tree.key((*_PARAMETERS, name)), f"parameter '{name}' is not used anywhere", f"use it as ${{{name}}}"
        )
    if tree.mapping("spec").get("parameters") is not None and defaults:
        tree.mapping(*_PARAMETERS).update(used)
    return Substituted(walk.origins, tuple(sorted(name for name in used if used[name] != defaults.get(name))))


def _texts(tree: Tree, at: Location) -> dict[str, str]:
    return {name: value for name, value in tree.mapping(*at).items() if isinstance(value, str)}


def _check_profiles(tree: Tree, defaults: Mapping[str, str]) -> None:
    for profile in tree.mapping(*_PROFILES):
        for name in tree.mapping(*_PROFILES, profile):
            if name not in defaults:
                mark = tree.key((*_PROFILES, profile, name))
                tree.add(
                    mark, f"unknown parameter '{name}' in profile '{profile}'", one_of(name, defaults, "parameters")
                )


def _check_call(tree: Tree, defaults: Mapping[str, str], profile: str | None, settings: Mapping[str, str]) -> None:
    profiles = tree.mapping(*_PROFILES)
    if profile is not None and profile not in profiles:
        raise UsageError(f"{tree.file} has no profile '{profile}'", one_of(profile, profiles, "profiles"))
    unknown = sorted(set(settings) - set(defaults))
    if unknown:
        told = {name: one_of(name, defaults, "parameters") for name in unknown}
        hints = "; ".join(f"{name}: {hint}" if len(told) > 1 else hint for name, hint in told.items())
        names = ", ".join(f"'{name}'" for name in unknown)
        raise UsageError(f"{tree.file} has no parameter {names} to set", hints)
    for name, value in settings.items():
        if has_surrogate(value) or not value.strip():
            raise UsageError(f"the value of parameter '{name}' is empty or not UTF-8")


@dataclass
class _Walk:
    tree: Tree
    used: Mapping[str, str]
    sources: Mapping[str, Origin]
    origins: dict[Location, Origin] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def value(self, value: Value, at: Location) -> Value:
        if isinstance(value, dict):
            return {key: self.value(below, (*at, key)) for key, below in value.items()}
        if isinstance(value, list):
            return [self.value(below, (*at, index)) for index, below in enumerate(value)]
        return self._text(value, at) if "${" in value else value

    def _text(self, text: str, at: Location) -> str:
        mark = self.tree.place(at)
        if at[:2] in (_PARAMETERS, _PROFILES):
            self.tree.add(mark, "a parameter can not refer to another one")
            return text
        match = _USE.fullmatch(text.strip())
        if match is None:
            self.tree.broken.add(at)
            self.tree.add(mark, f"'{text}': a parameter is used as a whole value", "such as for: ${hold}")
            return text
        name = match[1]
        if name not in self.used:
            self.tree.broken.add(at)
            self.tree.add(mark, f"unknown parameter '{name}'", one_of(name, self.used, "parameters"))
            return text
        self.seen.add(name)
        self.origins[at] = self.sources[name]
        return self.used[name]
