"""Compilation: when the step of a population is compiled, and which compiled step serves its lanes.

Knows populations and the compiler; how long compiling takes and whether it pays, the caller knows.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy
import torch

from trimtab.training.compiling.compiler import Compiler, Wanted
from trimtab.training.compiling.libraries import Compiled
from trimtab.training.lanes.population import Population
from trimtab.training.lanes.widths import lanes_at_once
from trimtab.training.programs.operands import Signature
from trimtab.training.programs.step import Features

How = Literal["never", "found", "beside", "wait"]
NOTHING = Features(norms=False)


class Compilation:
    """`how` says it, of all populations or as a function of one: "never"; only where a step is "found" on disk;
    "beside" the training, which goes on uncompiled meanwhile; or before the first step, which has to "wait".

    Every compiled step has the features `always`, that it may serve whatever comes.
    """

    def __init__(self, how: How | Callable[[Population], How] = "never", *, always: Features = NOTHING) -> None:
        self.how, self.always = how, always

    def step(self, population: Population, needed: Features, compiler: Compiler) -> Compiled | None:
        """The compiled step that serves this population's lanes, if there is one."""
        held = population.compiled
        if held is not None and held.features.covers(needed) and held.features.averaging == needed.averaging:
            return held
        how = self.how(population) if callable(self.how) else self.how
        if how == "never" or not may_be_traced(population):
            population.compiled = None
            return None
        wanted = self._wanted(population, needed, compiler.threads)
        if how == "wait":
            compiler.made(population.program, wanted)
        elif how == "beside" and not compiler.is_busy():
            compiler.prepare(population.program, wanted)
        population.compiled = compiler.ready(population.program, wanted.signature)
        return population.compiled

    def _wanted(self, population: Population, needed: Features, threads: int) -> Wanted:
        """The step, for the lanes that a thread takes at once where the population is full."""
        # An average is a tensor of its own: a step writes one exactly where the population has one.
        most = replace(needed | self.always | Features(norms=True), averaging=needed.averaging)
        index = torch.int32 if population.orders.dtype == numpy.int32 else torch.int64
        lanes = min(lanes_at_once(population), max(1, population.capacity // threads))
        return Wanted(Signature.of(population.data, index, most), (lanes, max(lane.size for lane in population.lanes)))


def may_be_traced(population: Population) -> bool:
    """Whether the data are where, and the loss and the numbers what compiled steps are written for: float32 alone."""
    data, program = population.data, population.program
    if data.device.type != "cpu" or data.loss is not None:
        return False
    numbers = (*program.buffers.values(), *data.inputs, data.weights)
    dtypes = {*program.layout.dtypes, *(x.dtype for x in numbers if x.is_floating_point() or x.is_complex())}
    return dtypes == {torch.float32}
