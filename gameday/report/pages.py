"""HTML and Markdown, rendered by Jinja2 in a sandbox: a project may bring templates of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from gameday.errors import UsageError
from gameday.model.grade import Grade
from gameday.report.page import build
from gameday.report.text import clean, markdown_code, markdown_text

__all__ = ["html", "markdown"]


def html(grade: Grade, templates: Sequence[Path]) -> str:
    """One self-contained page from ``report.html.j2``; the first of the folders that has a template wins.

    UsageError if a template is missing or faulty.
    """
    return _render(grade, "report.html.j2", _environment(templates, clean))


def markdown(grade: Grade, templates: Sequence[Path]) -> str:
    """GitHub-flavoured Markdown from ``report.md.j2``; UsageError if a template is missing or faulty."""
    # What a template prints is foreign until it says otherwise, as with HTML's autoescape: Markup marks it done.
    environment = _environment(templates, lambda text: Markup(markdown_text(text)))  # noqa: S704 - it was escaped
    environment.filters["code"] = lambda text: Markup(markdown_code(str(text)))  # noqa: S704 - a code span
    return _render(grade, "report.md.j2", environment)


def _environment(templates: Sequence[Path], finish: Callable[[str], str]) -> ImmutableSandboxedEnvironment:
    def finalize(value: object) -> object:
        return finish(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([str(folder) for folder in templates]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _render(grade: Grade, name: str, environment: ImmutableSandboxedEnvironment) -> str:
    try:
        return environment.get_template(name).render(grade=grade, page=build(grade))
    except TemplateNotFound as error:
        raise UsageError(f"report template '{error.name}' is in none of the template folders") from error
    except TemplateSyntaxError as error:
        raise UsageError(f"report template {error.filename or name}:{error.lineno}: {error.message}") from error
    except TemplateError as error:
        hint = "a template may use only what 'grade' and 'page' hold"
        raise UsageError(f"report template {name}: {error.message or type(error).__name__}", hint) from error
