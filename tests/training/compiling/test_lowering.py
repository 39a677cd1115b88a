"""Lowering: directly where a step is functional, and the long way where that fails."""

import logging

import pytest
import torch
from torch import nn

from trimtab.training.compiling import lowering
from trimtab.training.compiling.lowering import lower
from trimtab.training.compiling.tracing import traced
from trimtab.training.programs.mlp_program import program_for
from trimtab.training.programs.operands import Signature
from trimtab.training.programs.program import ModuleUse
from trimtab.training.programs.step import Features


class Halved(nn.Module):
    """Changes part of what it computed in place, through a view."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        y = self.layer(x)
        y[:, 0].mul_(0.5)
        return y.sum(1, keepdim=True)


def traced_step(module):
    return traced(program_for(module, ModuleUse(ranks=(2,))), Signature("regression", 1, (("float32", (2,)),), "int32",
                                                                        Features()))  # fmt: skip


def test_a_module_that_changes_a_view_is_traced_all_the_same():
    step = traced_step(Halved())
    assert not step.is_functional
    assert any(node.op == "call_function" and "mul_" in str(node.target) for node in step.module.graph.nodes)


@pytest.mark.parametrize(("is_functional", "ways"), [(True, ["directly", "long"]), (False, ["long"])])
def test_what_cannot_be_lowered_directly_goes_the_long_way(monkeypatch, tmp_path, caplog, is_functional, ways):
    caplog.set_level(logging.INFO, logger="trimtab")
    went = []

    def directly(step, options):
        went.append("directly")
        raise ValueError("another torch")

    monkeypatch.setattr(lowering, "lower_directly", directly)
    monkeypatch.setattr(torch._inductor, "aot_compile", lambda *arguments, **named: went.append("long"))
    step = traced_step(nn.Linear(2, 1) if is_functional else Halved())
    lower(step, tmp_path / "step.so")
    assert went == ways
    assert ("another torch" in caplog.text) == is_functional
