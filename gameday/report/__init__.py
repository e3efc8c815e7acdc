"""The reports of a day, all from one Grade: HTML for people, Markdown for a wiki or chat, JUnit XML for pipelines.

Each is a pure function of the grade and the templates: the same grade gives the same bytes.
"""

from gameday.report.files import write
from gameday.report.junit_xml import junit
from gameday.report.pages import html, markdown

__all__ = ["html", "junit", "markdown", "write"]
