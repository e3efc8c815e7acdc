"""Where files are found by name: a project's own folders first, then the catalog that gameday brings along."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

__all__ = ["Catalog", "Found", "Kind", "builtin_root"]


class Kind(StrEnum):
    """What a catalog holds."""

    EXPERIMENT = "experiment"
    ENVIRONMENT = "environment"
    SLO = "SLO"
    PROBE = "probe"
    RUNBOOK = "runbook"
    LOAD = "load pack"


_FOLDERS: dict[Kind, tuple[str, str]] = {
    Kind.EXPERIMENT: ("experiments", ".yaml"),
    Kind.ENVIRONMENT: ("experiments/environments", ".yaml"),
    Kind.SLO: ("probes", ".yaml"),
    Kind.PROBE: ("probes", ".yaml"),
    Kind.RUNBOOK: ("runbooks", ".md"),
    Kind.LOAD: ("experiments/load", ".py"),
}
_DECLARED = re.compile(r"^kind:\s*[\"']?(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """A file, and its path as shown to people: relative to its root, never absolute."""

    path: Path
    shown: str


def builtin_root() -> Path:
    """The catalog inside the installed package, or the checkout that an editable install runs from."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "catalog"
    return inside if inside.is_dir() else package.parent


class Catalog:
    """Finds files by kind and name; of the same name, the one of the earlier root wins."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(dict.fromkeys(root.resolve() for root in roots))

    @classmethod
    def default(cls, project: Path | None = None) -> Catalog:
        """The project's files (default: the current folder's), then the built-in ones."""
        return cls((project or Path.cwd(), builtin_root()))

    def folder(self, kind: Kind) -> str:
        """The folder of that kind, relative to a root."""
        return _FOLDERS[kind][0]

    def place(self, kind: Kind, name: str) -> str:
        """Where the file of that name would be, relative to a root."""
        folder, suffix = _FOLDERS[kind]
        return f"{folder}/{name}{suffix}"

    def files(self, kind: Kind) -> dict[str, Found]:
        """All files in that kind's folders by name (without suffix); SLOs and probes share theirs."""
        folder, suffix = _FOLDERS[kind]
        found: dict[str, Found] = {}
        for root in self.roots:
            for path in _listing(root / folder, suffix):
                found.setdefault(path.name.removesuffix(suffix), Found(path, f"{folder}/{path.name}"))
        return found

    def names(self, kind: Kind) -> list[str]:
        """The names of that kind, sorted; a file in ``probes/`` counts as what its ``kind:`` says."""
        files = self.files(kind)
        if kind in (Kind.SLO, Kind.PROBE):
            return sorted(name for name, found in files.items() if _declared(found.path) == kind.lower())
        return sorted(files)

    def find(self, kind: Kind, name: str) -> Found | None:
        """The file of that name."""
        return self.files(kind).get(name)

    def is_builtin(self, shown: str) -> bool:
        """Whether a file that is shown so comes with gameday: the project has none of that name and place.

        A project that is the catalog itself has only files of its own.
        """
        project, *others = self.roots
        return not (project / shown).is_file() and any((root / shown).is_file() for root in others)

    def shown(self, file: Path) -> str:
        """How to show a file that was named by its path: relative to a root, or as it was given."""
        resolved = file.resolve()
        for root in self.roots:
            if resolved.is_relative_to(root):
                return resolved.relative_to(root).as_posix()
        return file.name if file.is_absolute() else os.path.normpath(file)


def _listing(folder: Path, suffix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(suffix) and path.name[0] not in "._")
    except OSError:
        return []


def _declared(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            match = _DECLARED.search(file.read(65536))
    except OSError:
        return ""
    return match[1].lower() if match else ""
