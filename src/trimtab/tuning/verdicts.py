"""Verdicts: what a study's model is made of, and how it stands beside each baseline, in sentences.

Knows a study's result, the plain dict, and nothing else: every sentence says what stands there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.text.layout import number
from trimtab.text.wording import counted, listed, sentence
from trimtab.tuning.standing import ALIKE, BETTER, UNKNOWN, WORSE

BASELINES = {"mean": "the mean", "linear": "the linear model", "default_mlp": "the default MLP"}
# Whose figures a result's are, where they are not those of the model as it is saved.
WITHOUT_FIGURE, _FEW = "without figure", "<few>"
FOLDS, EARLIER = "folds", "before refit"
# What an entry of a result's ensemble is called that is what a trial's network remembers of its training rows; and what
# one does that learnt nothing else, and is no trial's.
NEIGHBOURS, LEARNT = "neighbours", "learnt neighbours"
_SINGULAR = {"groups": "group", "stretches": "stretch"}
Gains = Mapping[str, Mapping[str, Any]]


def verdicts(result: Mapping[str, Any]) -> list[str]:
    """One sentence for each baseline: better or worse by how much, or that the two cannot be told apart."""
    return [
        _is_itself(name, result) if _is_model(name, result) else _verdict(name, gains, result)
        for name, gains in result.get("gains", {}).items()
    ]


def trials_of(ensemble: Sequence[Mapping[str, Any]]) -> set[int]:
    """The numbers of the trials that have a part in a result's ensemble."""
    return {member["trial"] for member in ensemble if member["trial"] is not None}


def remembers(ensemble: Sequence[Mapping[str, Any]]) -> bool:
    """Whether training rows predict."""
    return any(member.get("name") in (NEIGHBOURS, LEARNT) for member in ensemble)


def ensemble_in_words(result: Mapping[str, Any]) -> str:
    """Who is in the ensemble, and with which weight; "" where the model is one trial alone."""
    members = result.get("ensemble", ())
    if len(members) < 2 and not remembers(members):
        return ""
    named = [f"{_named(member)} ({member['share']:.0%})".replace("%", " %") for member in members]
    trials = trials_of(members)
    who = [counted(len(trials), "trial")] if trials else []
    also = ["the training rows that are nearest to a row"] if remembers(members) else []
    text = f"The model is a weighted mean of {' and of '.join([*who, *also])}: {listed(named)}."
    best = next((member for member in members if member["trial"] == result["winner"]), None)
    if best is None:
        return f"{text} The best config, trial {result['winner']}, is not among them."
    return f"{text} The best config is {_trial_named(best)}."


def rows_in_words(result: Mapping[str, Any]) -> str:
    """Which rows the figures are of, and how often they were used."""
    rows = result["rows"]
    if result["test"] is not None:
        uses = result.get("test_uses", 1)
        how = "once" if uses == 1 else f"{uses} times, once in each call that ended"
        text = f"{counted(rows['test'], 'test row')}, used {how}"
    else:
        who = counted(result["judged"], "row") if "judged" in result else "rows"
        text = f"{who} out of fold: no test part was set aside"
        if result.get("nested") is not None:
            text += "; each row is judged by a choice that was made without it"
    text += _FIGURES_OF.get(result.get("figures_of", "model"), "")
    units = result.get("interval_units", {"of": "rows"})
    if units["of"] == "rows":
        return text
    named = units["of"].split(" ")
    one = " ".join([_SINGULAR[named[0]], *named[1:]])
    if units["count"] < 2:
        return f"{text}; without intervals, since all are of one {one}"
    return f"{text}; intervals over {counted(units['count'], one, units['of'])}"


# Where the networks that predict are not those whose figures these are.
_FIGURES_OF = {
    FOLDS: "; the figures are those of the folds' networks, and the model was trained once more on all rows",
    EARLIER: "; the figures are those of the model before it was trained once more on all rows",
}


def effort_in_words(result: Mapping[str, Any]) -> str:
    """How many trials and runs there were in how many seconds, over all calls."""
    done = f"{counted(result['trials'], 'trial')}, {counted(result['runs'], 'run')}"
    calls = result.get("calls", 1)
    seconds = f"{result.get('seconds_in_all', result['seconds']):.0f} s"
    if calls == 1:
        return f"{done} in {seconds}"
    cut_off = result.get("cut_off", 0)
    if cut_off:
        return f"{done} in {seconds} and {counted(cut_off, 'call that was', 'calls that were')} cut off"
    return f"{done} in {seconds}, {calls} calls"


def _named(member: Mapping[str, Any]) -> str:
    if member.get("name") == LEARNT:
        return f"the neighbours that network {member['place'] + 1} learnt to ask"
    trial = _trial_named(member)
    return f"the neighbours in the last hidden layer of {trial}" if member.get("name") == NEIGHBOURS else trial


def _trial_named(member: Mapping[str, Any]) -> str:
    return BASELINES.get(member.get("name", ""), f"trial {member['trial']}")


def _is_model(name: str, result: Mapping[str, Any]) -> bool:
    members = result.get("ensemble", ())
    return len(members) == 1 and members[0].get("name") == name


def _is_itself(name: str, result: Mapping[str, Any]) -> str:
    why = "no trial of the search was better" if result.get("finished", 1) else "no trial of the search was finished"
    return f"The model is {BASELINES.get(name, name)} itself: {why}."


def _verdict(name: str, gains: Gains, result: Mapping[str, Any]) -> str:
    who, metric = BASELINES.get(name, name), result["metric"]
    ordered = {metric: gains[metric], **gains} if metric in gains else dict(gains)
    by_verdict: dict[str, dict[str, Mapping[str, Any]]] = {}
    for each, gain in ordered.items():
        is_without = gain["verdict"] == UNKNOWN and gain["better_by"] is None
        by_verdict.setdefault(WITHOUT_FIGURE if is_without else gain["verdict"], {})[each] = gain
    clauses, named = [], who
    for verdict, found in by_verdict.items():
        clauses.append(_CLAUSES[verdict](named, found, is_first=not clauses, is_main=metric in found))
        named = "it"
    units = result.get("interval_units", {"of": "rows"})["of"]
    few = "these rows are too few" if units == "rows" else f"there are too few {units}"
    if cut := result.get("cut", {}).get(name):
        clauses.append(f"{BASELINES.get(name, name)} had time for {cut['epochs']} of its {cut['planned']} epochs")
    text = "; ".join(clauses).replace(_FEW, few)
    return sentence(text[0].upper() + text[1:])


def _better(who: str, found: Gains, *, is_first: bool, is_main: bool) -> str:
    del is_first, is_main
    return f"better than {who} " + listed(f"{_by(gain)} in {name}" for name, gain in found.items())


def _worse(who: str, found: Gains, *, is_first: bool, is_main: bool) -> str:
    text = f"{who} is better " + listed(f"{_by(gain)} in {name}" for name, gain in found.items())
    return f"{'on these rows ' * is_first}{text}{': nothing was gained' * is_main}"


def _alike(who: str, found: Gains, *, is_first: bool, is_main: bool) -> str:
    del is_first, is_main
    named = [f"{name} ({_direction(gain)})" for name, gain in found.items()]
    return f"cannot be told apart from {who} in {listed(named)}"


def _direction(gain: Mapping[str, Any]) -> str:
    if gain["better_by"] == 0 and not any(gain["interval"]):
        return "the same"
    return f"{'better' if gain['better_by'] >= 0 else 'worse'} {_by(gain)}"


def _unknown(who: str, found: Gains, *, is_first: bool, is_main: bool) -> str:
    del is_first, is_main
    return f"cannot be compared with {who} in {listed(found)}: {_FEW}"


def _without_figure(who: str, found: Gains, *, is_first: bool, is_main: bool) -> str:
    del is_first, is_main
    has = "it has no value" if len(found) == 1 else "they have no value"
    return f"cannot be compared with {who} in {listed(found)}: {has} on these rows"


_CLAUSES = {BETTER: _better, WORSE: _worse, ALIKE: _alike, UNKNOWN: _unknown, WITHOUT_FIGURE: _without_figure}


def _by(gain: Mapping[str, Any]) -> str:
    """ "by 0.73 [0.39, 1.10]": how large the difference is, in the direction that it has."""
    low, high = gain["interval"]
    if gain["better_by"] < 0:
        low, high = 0.0 - high, 0.0 - low  # no minus before a nought
    return f"by {number(abs(gain['better_by']))} [{number(low)}, {number(high)}]"
