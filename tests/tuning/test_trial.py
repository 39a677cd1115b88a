import numpy
import torch

from trimtab.training.data import Fold, TrainingData
from trimtab.tuning.trial import out_of_fold


def data_with(folds, rows=4):
    return TrainingData(
        task="regression",
        inputs=(torch.zeros(rows, 1),),
        targets=torch.zeros(rows, 1),
        weights=torch.ones(rows),
        folds=tuple(Fold(*(torch.tensor(part) for part in fold)) for fold in folds),
        outputs=1,
        mean=torch.zeros(1, dtype=torch.float64),
        scale=torch.ones(1, dtype=torch.float64),
    )


def test_a_row_judged_in_several_folds_has_their_mean_and_one_judged_in_none_has_no_prediction():
    data = data_with([([0, 3], [1, 2]), ([1, 3], [2, 0])])
    pieces = [numpy.array([[0.1], [3.0]], numpy.float32), numpy.array([[5.0], [7.0]], numpy.float32)]
    predictions = out_of_fold(data, pieces)
    assert predictions.dtype == numpy.float32
    numpy.testing.assert_array_equal(predictions[:, 0], numpy.float32([7.0, 0.1, 4.0, numpy.nan]))
