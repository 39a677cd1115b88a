"""Findings in the terminal: what is wrong and what to change; where nothing is, why. Knows findings alone."""

from rich.console import Console

from trimtab.findings.evidence import evidence_in_words, trial_in_words
from trimtab.findings.finding import Finding, Findings
from trimtab.terminal.console import say
from trimtab.text.wording import counted, listed, sentence

MOST_SHOWN = 5


def print_findings(
    console: Console, findings: Findings, *, what: str, most: int | None = MOST_SHOWN, more: str = "--all shows them",
    has_evidence: bool = False,
) -> None:  # fmt: skip
    """The gravest findings about `what` ("the table"), `most` of them (None: all); or that there are none, and why.

    `has_evidence`: with the numbers behind each.
    """
    if not findings.found:
        if findings.healthy:
            say(console, f"Nothing wrong was found with {what}:", indent="  ")
        for reason in findings.healthy:
            say(console, f"  - {reason}", indent="    ")
        return
    shown = findings.found[:most]
    say(console, f"{counted(len(findings), 'finding')} about {what}, gravest first:", indent="  ")
    for finding in shown:
        print_finding(console, finding, has_evidence=has_evidence)
    if len(shown) < len(findings):
        say(console, f"{counted(len(findings) - len(shown), 'more finding')}: {more}.")


def print_finding(console: Console, finding: Finding, *, has_evidence: bool = False) -> None:
    """What is wrong, what it costs and what to change, on a line each."""
    how = listed([each for each in (finding.remedy.flag, finding.remedy.code) if each], "or")
    text = finding.effect.text
    tail = " (measured)" if finding.effect.is_measured else "" if "estimated" in text else " (estimated)"
    say(console, f"  {finding.id} ({finding.severity}): {finding.statement}", indent="    ")
    if has_evidence and finding.evidence:
        say(console, f"    evidence: {evidence_in_words(finding.evidence)}", indent="      ")
    say(console, f"    effect: {sentence(text)}{tail}", indent="      ")
    if finding.remedy.tried is not None:
        say(console, f"    tried:  {trial_in_words(finding.remedy.tried)}", indent="      ")
    say(console, f"    remedy: {sentence(finding.remedy.text)}{f' ({how})' if how else ''}", indent="      ")


def print_not_checked(console: Console, findings: Findings) -> None:
    """The checks that could not run, each with the reason."""
    for each in findings.not_checked:
        say(console, f"  not checked: {each.id}: {each.why}", indent="    ")
