"""The rules too_little_data and evaluation_too_noisy: whether there are rows enough to learn from, and to judge by.

Knows errors by rows and intervals of scores; what trains for them stands elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray

from trimtab.findings.checked import Checked
from trimtab.findings.finding import Effect, Finding, NotChecked, Remedy
from trimtab.text.wording import counted

# Exponents of learning curves as they were met in practice [Viering and Loog 2023, table 1].
EXPONENTS = numpy.linspace(0.2, 1.5, 27)
DRAWS = 4_000
# What twice the rows has to gain, and half the width of a score's interval, to be worth a word: parts of the error.
LEAST_GAIN, WIDEST = 0.05, 0.1


@dataclass(frozen=True)
class Extrapolation:
    """The share of the error that twice the rows would spare, and its 95 % interval."""

    gain: float
    low: float
    high: float


def extrapolated(
    rows: Sequence[int], errors: ArrayLike, *, overlap: float = 0.0, seed: int = 0
) -> Extrapolation | None:
    """The gain of twice the most rows, by a power law through the errors float [pairs, sizes] of networks trained on
    `rows` [sizes] rows, a line for each fold and seed; None where there are fewer than two lines.

    The error is a floor and a power of the rows; for each exponent that is usual the other two follow by weighted least
    squares, exponents are weighted by how well they fit, and the gain is drawn from what remains open. Where training
    parts overlap, `overlap` is the rows that judge for each that trains: the variance of a mean over n lines is
    (1/n + `overlap`) times that of one [Nadeau and Bengio 2003].
    """
    lines = numpy.asarray(errors, dtype=numpy.float64)
    lines = lines[numpy.isfinite(lines).all(axis=1)]
    if len(lines) < 2:
        return None
    sizes = numpy.asarray(rows, dtype=numpy.float64)
    order = numpy.argsort(sizes)
    sizes, lines = sizes[order], lines[:, order]
    mean, spread = lines.mean(0), _covariance(lines, overlap)
    generator = numpy.random.default_rng(seed)
    gains, weights = [], []
    for exponent in EXPONENTS:
        powers = (sizes / sizes[-1]) ** -exponent
        design = numpy.stack([numpy.ones_like(powers), powers], axis=1)
        precision = numpy.linalg.inv(spread)
        covariance = numpy.linalg.inv(design.T @ precision @ design)
        found = covariance @ design.T @ precision @ mean
        left = mean - design @ found
        weights.append(-0.5 * left @ precision @ left)
        # The mean of few lines: drawn from Student's law with one degree less than there are lines.
        wide = numpy.sqrt((len(lines) - 1) / generator.chisquare(len(lines) - 1, DRAWS))
        drawn = found + wide[:, None] * generator.multivariate_normal(numpy.zeros(2), covariance, DRAWS)
        gains.append(drawn[:, 1] * (1 - 2.0**-exponent) / mean[-1])
    share = numpy.exp(numpy.array(weights) - max(weights))
    taken = generator.choice(len(EXPONENTS), DRAWS, p=share / share.sum())
    drawn = numpy.stack(gains)[taken, numpy.arange(DRAWS)]
    low, middle, high = numpy.quantile(drawn, [0.025, 0.5, 0.975])
    return Extrapolation(float(middle), float(low), float(high))


def _covariance(lines: NDArray[numpy.float64], overlap: float) -> NDArray[numpy.float64]:
    """Of the mean over lines; few lines say little of how sizes go together, so half of it is taken as none
    [Ledoit and Wolf 2004], and what is known exactly is known to a millionth."""
    covariance = numpy.cov(lines, rowvar=False) * (1 / len(lines) + overlap)
    diagonal = numpy.diag(numpy.diag(covariance) + (1e-6 * lines.mean()) ** 2)
    return 0.5 * covariance + 0.5 * diagonal


def too_little_data(
    rows: Sequence[int], errors: ArrayLike, *, metric: str, overlap: float = 0.0, seed: int = 0
) -> Checked:
    """Twice the rows would gain more than 5 % of the error, and the gain is beyond noise.

    Rule: see `extrapolated`; a finding is made where the middle of the gain is at least 5 % and its 95 % interval
    leaves 0 out. `errors` float [pairs, sizes] are lower for better.
    """
    found = extrapolated(rows, errors, overlap=overlap, seed=seed) if len(rows) >= 3 else None
    if found is None:
        return NotChecked("too_little_data", "a learning curve needs networks trained on three sizes, twice each")
    most = max(rows)
    said = f"{100 * found.gain:.0f} % [{100 * found.low:.0f} %, {100 * found.high:.0f} %]"
    if not (found.gain >= LEAST_GAIN and found.low > 0):
        return f"Twice the rows would change the error ({metric}) by {said}: not beyond noise, or less than 5 %."
    return Finding(
        "too_little_data",
        "high" if found.low >= 0.1 else "medium",
        f"There is too little data: with twice the {counted(most, 'row')} to train on, the error ({metric}) is "
        f"expected to fall by {said}.",
        {"rows": list(rows), "errors": numpy.asarray(errors, dtype=numpy.float64).mean(0).tolist(),
         "gain": found.gain, "low": found.low, "high": found.high},
        Effect(f"Twice the rows would spare {said} of the error, by a learning curve.", found.gain),
        Remedy(f"Get more rows like these: {counted(most, 'row')} more for this gain."),
    )  # fmt: skip


def too_few_to_judge(units: int, *, task: str, part: str) -> Checked:
    """Before anything is trained: the score will be known only roughly.

    Rule: half of the 95 % interval of a mean square of normal errors is 1.39 / the root of the rows, as a share of
    their root mean square; for a share of errors of a fifth it is 3.9 / the root of the rows. A finding is made above
    10 % for numbers and above 25 % for classes.
    """
    factor, widest = (1.39, WIDEST) if task == "regression" else (3.92, 0.25)
    half = factor / numpy.sqrt(max(1, units))
    if half <= widest:
        return f"{counted(units, f'different {part} row')} will tell the score to about {100 * half:.0f} %."
    return Finding(
        "evaluation_too_noisy",
        "medium" if half > 2 * widest else "low",
        f"The error will be known to about plus or minus {100 * half:.0f} % of itself: it is judged by "
        f"{counted(units, f'different {part} row')}.",
        {"units": units, "part": part, "half_width": float(half)},
        Effect("New rows may score as much better or worse. Networks compared on the same rows are told apart better."),
        Remedy("Judge by more rows: a test table of your own, or none, which judges by all rows out of fold.",
               flag="--test none", code='test="none"'),
    )  # fmt: skip


def evaluation_too_noisy(gains: Mapping[str, tuple[float, float, float]], *, metric: str, rows: int) -> Checked:
    """The score is known so roughly that it cannot be told whether anything was gained.

    Arguments:
        gains: by how much the error is less than another's, as a share of it, with its paired 95 % interval, for each
            that it is compared with.
        metric: what the error is called.
        rows: those it was judged by.

    Rule: no paired comparison leaves 0 out, and the widest reaches further than 10 % of the error to both sides: a gain
    that matters, and a loss that matters, are both possible. A narrow interval around 0 is no finding: there nothing
    was gained, and that is known.
    """
    if not gains:
        return NotChecked("evaluation_too_noisy", f"there is no interval of {metric} on these rows")
    is_decided = any(low > 0 or high < 0 for _, low, high in gains.values())
    reach = {name: min(-low, high) for name, (_, low, high) in gains.items()}
    widest = max(reach, key=lambda name: reach[name])
    if is_decided or reach[widest] < WIDEST:
        return f"{counted(rows, 'row tells', 'rows tell')} differences in {metric} that matter."
    return Finding(
        "evaluation_too_noisy",
        "medium",
        f"The score is too noisy to rank networks: on {counted(rows, 'row')} the error ({metric}) could be "
        f"{100 * reach[widest]:.0f} % larger or smaller than that of {_CALLED.get(widest, widest)}, and nobody "
        "could tell.",
        {"rows": rows, "reach": reach},
        Effect(f"Gains of less than {100 * reach[widest]:.0f} % cannot be seen.", None, True),
        Remedy("Judge by more rows, or by all of them out of fold.", flag="--test none", code='test="none"'),
    )


_CALLED = {
    "mean": "the mean", "linear": "a linear model", "default_mlp": "the default network",
    "boosted_tree": "boosted trees",
}  # fmt: skip
