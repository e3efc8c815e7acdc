"""The reports of a day, all from one Grade: HTML for people, Markdown for a wiki or chat, JUnit XML for pipelines.

Each is a pure function of the grade and the templates: the same grade gives the same bytes. `pages` has the first
two, `junit_xml` the third, and `files` writes them; `text` is what the command line says in the same words, so
importing this package loads no templates.
"""
