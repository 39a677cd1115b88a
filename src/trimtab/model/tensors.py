"""A prepared table as the tensors that the engine reads. Knows no search."""

import dataclasses

import torch

from trimtab.table.prepared import Prepared
from trimtab.training.data import Fold, TrainingData


def training_data(prepared: Prepared, device: torch.device) -> TrainingData:
    """The prepared table as the tensors that the engine reads."""
    target = prepared.target_encoder
    is_regression = target.task == "regression"
    ones = [1.0] * target.outputs
    return TrainingData(
        task=target.task,  # type: ignore[arg-type]
        inputs=(torch.tensor(prepared.numbers, device=device), torch.tensor(prepared.codes, device=device)),
        targets=torch.tensor(prepared.targets, device=device),
        weights=torch.tensor(prepared.weights, device=device),
        folds=tuple(
            Fold(*(torch.tensor(part, dtype=torch.int64, device=device) for part in fold)) for fold in prepared.folds
        ),
        outputs=target.outputs,
        mean=torch.tensor(target.mean if is_regression else ones, dtype=torch.float64, device=device),
        scale=torch.tensor(target.scale if is_regression else ones, dtype=torch.float64, device=device),
        cardinalities=tuple(prepared.encoder.cardinalities),
        bounds=torch.tensor([target.low, target.high], dtype=torch.float64, device=device) if target.low else None,
    )


def with_test_rows(data: TrainingData, prepared: Prepared) -> TrainingData:
    """`data` with the test rows behind its own, for a last training on everything."""
    if prepared.test is None:
        return data
    encoded = prepared.encoder.encode(prepared.test)
    parts = (encoded.numbers, encoded.codes, prepared.target_encoder.encode(prepared.test), prepared.test_weights)
    numbers, codes, targets, weights = (torch.tensor(part, device=data.device) for part in parts)
    return dataclasses.replace(
        data,
        inputs=(torch.cat([data.inputs[0], numbers]), torch.cat([data.inputs[1], codes])),
        targets=torch.cat([data.targets, targets]),
        weights=torch.cat([data.weights, weights]),
    )
