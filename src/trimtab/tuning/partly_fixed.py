"""PartlyFixed: a sampler of Optuna that leaves some knobs where they are.

Optuna's own, PartialFixedSampler, warns at each use that it may change; warnings cannot be kept from the caller in a
thread of ours without touching filters that belong to all of them. Knows no knobs.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class PartlyFixed(BaseSampler):
    """Draws what is not in `fixed` as `sampler` does."""

    def __init__(self, fixed: Mapping[str, Any], sampler: BaseSampler) -> None:
        self.fixed, self.sampler = dict(fixed), sampler

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        space = self.sampler.infer_relative_search_space(study, trial)
        return {name: domain for name, domain in space.items() if name not in self.fixed}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if param_name in self.fixed:
            return self.fixed[param_name]
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self.sampler.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self.sampler.reseed_rng()
