"""Makes docs/reference/timeline.md from the payload classes: ``python -m tests.reference``."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from gameday.model.events import PAYLOADS, Payload

PATH = Path(__file__).parents[1] / "docs" / "reference" / "timeline.md"

_HEAD = """# The timeline

`timeline.jsonl` holds one event a line: compact JSON and a newline.

```json
{"seq":1,"mono":"…","wall":"…","source":"engine","kind":"run.opened","data":{…},"prev":"000…","hash":"…"}
```

- `seq` counts from 1. `mono` is `CLOCK_MONOTONIC`, `wall` the time since the Unix epoch, both in nanoseconds, as
  text (RFC 8785 refuses integers above 2**53).
- `hash` is the SHA-256 of the line's bytes before `,"hash"`; `prev` is the hash of the line before (64
  zeros first). So a timeline is verified without re-serialising it. Only a final line without a newline is torn:
  it is ignored, and said so.
- Intent is written before effect. A source that gives no data writes `source.gap`: silence is never good data.
- Sources: `engine`, `preflight`, `load`, `alerts`, `releases`, `steps`, `people`, `probe/NAME`, `slo/NAME`.

The kinds of events and their data (made from `gameday/model/events/`):
"""


def _described(payload: type[Payload]) -> Mapping[str, str]:
    """Field -> the text that stands below it, in one line.

    Pydantic could do it, but would parse each model's source for it at every start of every process.
    """
    found: dict[str, str] = {}
    for part in payload.__mro__:
        if not issubclass(part, Payload):
            break
        body = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
        assert isinstance(body, ast.ClassDef)
        for one, after in pairwise(body.body):
            match one, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found.setdefault(name, " ".join(text.split()))
    return found


def _section(payload: type[Payload]) -> str:
    described = _described(payload)
    lines = [f"## `{payload.KIND}`: {payload.__name__}", "", inspect.cleandoc(payload.__doc__ or ""), ""]
    for name, field in payload.model_fields.items():
        text = described.get(name, "")
        lines.append(f"- `{field.alias or name}`{': ' + text if text else ''}")
    return "\n".join(lines) + "\n"


def render() -> str:
    """The whole page."""
    return _HEAD + "\n" + "\n".join(_section(payload) for kind in PAYLOADS.values() for payload in kind)


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
