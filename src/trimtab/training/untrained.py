"""Untrained: the loss of a run's network before its first step. Knows modules and losses; it trains nothing."""

import torch
from torch import nn

from trimtab.training.data import TrainingData
from trimtab.training.programs.program import Program, outputs_of
from trimtab.training.rules.losses import LossCoefficients


def untrained_loss(
    program: Program, module: nn.Module, data: TrainingData, rows: torch.Tensor, losses: LossCoefficients
) -> float:
    """The loss (`losses` of one lane) of `module`, which `program` runs, on `rows` of `data`."""
    rows = rows.unsqueeze(0)
    tensors = {n: t.detach().to(data.device) for n, t in module.state_dict(keep_vars=True).items()}
    tensors |= {name: buffer.to(data.device) for name, buffer in module.named_buffers()}  # those of no file too
    buffers = {name: tensors[name].unsqueeze(0) for name in program.buffers}
    weights = program.layout.flatten(tensors).unsqueeze(0)
    outputs = outputs_of(program, weights, data.gather(rows), buffers)
    return float(data.objective(outputs, data.targets_of(rows), data.weights[rows], losses)[0][0])
