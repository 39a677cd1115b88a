"""The experiments, in the order in which they are met."""

from trimtab.lab.experiment import Experiment
from trimtab.lab.experiments.duration import Duration
from trimtab.lab.experiments.line import Line
from trimtab.lab.experiments.losses import Losses
from trimtab.lab.experiments.network import Network
from trimtab.lab.experiments.optimizers import Optimizers
from trimtab.lab.experiments.sampling import Sampling

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each for each in (Line(), Duration(), Sampling(), Losses(), Optimizers(), Network())
}
