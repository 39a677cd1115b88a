"""Page: sections of charts, findings and words as one self-contained HTML file, which loads nothing from anywhere.

Knows charts and findings; it knows no study.
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from trimtab.findings.evidence import trial_in_words, value_in_words
from trimtab.findings.finding import Findings
from trimtab.report.chart import Chart
from trimtab.whole_file import beside

Kind = Literal["study", "studies", "run", "sweep", "log"]


@dataclass(frozen=True)
class Code:
    """Something to copy: a command, or a script (folded, since it is long)."""

    title: str
    text: str
    is_long: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page: its charts, or what `kind` says, below a title and sentences."""

    name: str
    title: str
    words: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    findings: Findings | None = None
    facts: Sequence[tuple[str, str]] = ()
    code: Sequence[Code] = ()


@dataclass(frozen=True)
class Answer:
    """What stands on top: what was asked, the answer in two sentences, and one figure with its interval."""

    kind: Kind
    title: str
    sentences: Sequence[str]
    figure: str = ""
    interval: str = ""
    figure_of: str = ""
    charts: Sequence[Chart] = ()


@dataclass(frozen=True)
class Page:
    """The whole."""

    answer: Answer
    sections: Sequence[Section]
    version: str
    notices: Sequence[str] = field(default=())

    def html(self) -> str:
        """The file: one string, with its style and script in it and a policy that lets nothing else in."""
        style, script = _asset("page.css"), _asset("page.js")
        policy = "; ".join(
            [
                "default-src 'none'", f"style-src '{_digest(style)}'", f"script-src '{_digest(script)}'",
                "img-src data:", "base-uri 'none'", "form-action 'none'",
            ]
        )  # fmt: skip
        sections = [section for section in self.sections if _has_something(section)]
        return _template().render(page=self, sections=sections, style=style, script=script, policy=policy)

    def brief(self) -> str:
        """What a notebook shows: the answer and the first picture, in a frame of its own so that styles do not meet."""
        style = _asset("page.css")
        chart = next((chart for section in self.sections for chart in section.charts), None)
        macros: Any = _environment().get_template("macros.html").module
        text = macros.brief(self.answer, chart)
        body = f'<!doctype html><meta charset="utf-8"><style>{style}</style><main>{text}</main>'
        return (
            f'<iframe sandbox srcdoc="{escape(body, quote=True)}" title="{escape(self.answer.title, quote=True)}" '
            'style="width: 100%; height: 620px; border: 0"></iframe>'
        )

    def write(self, out: str | PathLike[str]) -> Path:
        """Write the file and return its path; raises DataError where it cannot be written."""
        path = Path(out)
        with beside(path) as part:
            part.write_text(self.html(), encoding="utf-8")
        return path


def _has_something(section: Section) -> bool:
    return bool(section.words or section.charts or section.findings is not None or section.facts or section.code)


def _digest(text: str) -> str:
    """The hash by which a policy knows a style or a script [W3C, Content Security Policy Level 3, section 2.3.1]."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _asset(name: str) -> str:
    return files("trimtab.report.page").joinpath(name).read_text(encoding="utf-8")


def _template() -> Template:
    return _environment().get_template("page.html")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("trimtab.report", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    words: dict[str, Any] = {"evidence": value_in_words, "tried": trial_in_words}
    environment.globals |= words
    environment.filters["prose"] = prose
    return environment


def prose(text: str) -> Markup:
    """Text of which no line ends between a number and its per cent, or within an option of a command."""
    whole = str(escape(text)).replace(" %", "\N{NO-BREAK SPACE}%")
    return Markup(re.sub(r"--[a-z][a-z-]*", r'<span class="whole">\g<0></span>', whole))
