"""From measured lines and the peers' figures to one Markdown page: a table, wins per peer, and the criteria.

Knows figures only; it runs nothing.
"""

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean

from benchmarks.quality.peers import SHOWN
from benchmarks.tables import Table

WORSE_BY = 0.03
WANTED = {"sklearn_mlp": 15, "realmlp": 6}
FIRST_TRIAL_WITHIN = 8.0
ADULT_MEMORY = 2048.0
Peers = dict[tuple[str, str], dict[int, dict[str, float]]]


@dataclass(frozen=True)
class Standing:
    """One table: our mean score over its splits, each peer's over the same, and how we stand to the careful one."""

    table: Table
    lines: list[dict]
    ours: float
    peers: dict[str, float]

    @property
    def careful(self) -> str:
        """The better one of the linear model and scikit-learn's MLP."""
        return min(("linear", "sklearn_mlp"), key=lambda name: self.peers.get(name, float("inf")))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of our mean relative difference to that peer; the splits' errors are taken as independent."""
        pairs = [line["versus"][self.careful] for line in self.lines]
        center = mean((low + high) / 2 for low, high in pairs)
        half = sum(((high - low) / 2) ** 2 for low, high in pairs) ** 0.5 / len(pairs)
        return center - half, center + half

    @property
    def is_clearly_worse(self) -> bool:
        return self.interval[0] > 0 and self.ours > (1 + WORSE_BY) * self.peers[self.careful]

    @property
    def keeps_budget(self) -> bool:
        return all(line["sec"] <= 1.1 * line["budget"] + 3 for line in self.lines)


def standings(tables: list[Table], lines: list[dict], peers: Peers) -> list[Standing]:
    """One standing for each table that was measured, over the splits that were."""
    by_table = defaultdict(dict)
    for line in lines:
        by_table[line["ds"]][line["split"]] = line  # of several measurements of a split the latest counts
    result = []
    for table in tables:
        measured = [by_table[table.name][i] for i in table.splits if i in by_table[table.name]]
        if not measured:
            continue
        figures = {}
        for name in SHOWN:
            theirs = peers.get((table.name, name), {})
            if all(line["split"] in theirs for line in measured):
                figures[name] = mean(theirs[line["split"]][table.metric] for line in measured)
        result.append(Standing(table, measured, mean(line[table.metric] for line in measured), figures))
    return result


def markdown(all_standings: list[Standing]) -> str:
    """The page."""
    head = ["table", "splits", "metric", "trimtab", *SHOWN, "difference to the better of linear and sklearn_mlp", "s"]
    rows = [head, ["---"] * len(head)]
    for standing in all_standings:
        low, high = standing.interval
        point = standing.ours / standing.peers[standing.careful] - 1
        rows.append([
            standing.table.name, str(len(standing.lines)), standing.table.metric, _bold(standing, "trimtab"),
            *(_bold(standing, name) for name in SHOWN),
            f"{point:+.1%} [{low:+.1%}, {high:+.1%}]", f"{max(line['sec'] for line in standing.lines):.0f}",
        ])  # fmt: skip
    page = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*page, "", *_wins(all_standings), "", *_criteria(all_standings), ""])


def _bold(standing: Standing, name: str) -> str:
    figures = {"trimtab": standing.ours, **standing.peers}
    if name not in figures:
        return ""
    text = f"{figures[name]:.4g}"
    return f"**{text}**" if figures[name] == min(figures.values()) else text


def _wins(all_standings: list[Standing]) -> list[str]:
    lines = []
    for name in SHOWN:
        compared = [s for s in all_standings if name in s.peers]
        lines.append(f"- better than {name} on {_count_wins(compared, name)} of {len(compared)}")
    return lines


def _count_wins(compared: list[Standing], name: str) -> int:
    return sum(s.ours < s.peers[name] for s in compared if name in s.peers)


def _criteria(all_standings: list[Standing]) -> list[str]:
    lines = ["Criteria:", ""]
    for name, wanted in WANTED.items():
        wins = _count_wins(all_standings, name)
        lines.append(_criterion(wins >= wanted, f"better than {name} on at least {wanted}: {wins}"))
    worse = ", ".join(s.table.name for s in all_standings if s.interval[0] > WORSE_BY) or "nowhere"
    near = ", ".join(s.table.name for s in all_standings if s.is_clearly_worse) or "nowhere"
    bound = "worse than the better of linear and sklearn_mlp by more than 3 %"
    lines.append(_criterion(worse == "nowhere", f"{bound} beyond the interval: {worse}"))
    lines.append(f"- {bound}, and the interval above 0 (the stricter reading): {near}")
    late = [s.table.name for s in all_standings if not s.keeps_budget]
    lines.append(_criterion(not late, f"over 1.1 x budget + 3 s: {', '.join(late) or 'nowhere'}"))
    return lines + _machine_criteria({s.table.name: s.lines for s in all_standings})


def _machine_criteria(lines_of: dict[str, list[dict]]) -> list[str]:
    result = []
    firsts = [line["first_trial_sec"] for line in lines_of.get("concrete", ())]
    if firsts:
        slowest = max(first if first is not None else float("inf") for first in firsts)
        result.append(_criterion(slowest <= FIRST_TRIAL_WITHIN, f"first trial on concrete within 8 s: {slowest:.1f} s"))
    if "adult" in lines_of:
        peak = max(line["peak_mib"] for line in lines_of["adult"])
        result.append(_criterion(peak < ADULT_MEMORY, f"peak memory on adult below 2 GiB: {peak:.0f} MiB"))
    return result


def _criterion(is_met: bool, text: str) -> str:
    return f"- [{'x' if is_met else ' '}] {text}"
