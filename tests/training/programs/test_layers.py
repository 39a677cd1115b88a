"""Layers that lanes are careful with."""

from torch import nn

from trimtab.training.programs.layers import counts_rows
from trimtab.training.programs.vmap_program import VmapProgram


def test_layers_that_keep_or_use_statistics_of_a_batch_forbid_padding_it():
    assert counts_rows(nn.BatchNorm1d(3)) and counts_rows(nn.InstanceNorm1d(3, track_running_stats=True))
    assert counts_rows(nn.Embedding(4, 2, scale_grad_by_freq=True))
    assert not any(counts_rows(layer) for layer in (nn.InstanceNorm1d(3), nn.LayerNorm(3), nn.Embedding(4, 2)))
    assert VmapProgram(
        nn.Sequential(nn.Unflatten(1, (1, 4)), nn.InstanceNorm1d(1, track_running_stats=True))
    ).mixes_rows
