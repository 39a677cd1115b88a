"""AutoGluon on `train.csv` and `test.csv` of a folder, whose predictions it writes beside them; run by the Python of an
environment of its own (see `beside_autogluon`):

python autogluon_fit.py FOLDER TARGET TASK SECONDS THREADS
"""

import sys
from pathlib import Path
from typing import Any


def main(place: str, target: str, task: str, seconds: str, threads: str) -> None:
    import pandas

    # In its own environment alone, where no type of it is known either.
    tabular: Any = __import__("autogluon.tabular", fromlist=["TabularPredictor"])
    folder, is_regression = Path(place), task == "regression"
    kinds: Any = {} if is_regression else {target: str}
    train, test = (pandas.read_csv(folder / f"{name}.csv", dtype=kinds) for name in ("train", "test"))
    kind = "regression" if is_regression else "binary" if train[target].nunique() == 2 else "multiclass"
    predictor = tabular.TabularPredictor(
        target, problem_type=kind, eval_metric="root_mean_squared_error" if is_regression else "log_loss",
        path=str(folder / "models"), verbosity=0,
    )  # fmt: skip
    # Without stacking that is decided by a fit beside: of a minute or five that would be a part.
    predictor.fit(
        train, time_limit=float(seconds), presets="best_quality", dynamic_stacking=False, num_cpus=int(threads),
        num_gpus=0,
    )  # fmt: skip
    rows = test.drop(columns=target)
    if is_regression:
        found = predictor.predict(rows).rename("prediction").to_frame()
    else:
        found = predictor.predict_proba(rows).add_prefix("probability_")
    found.to_csv(folder / "predictions.csv", index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
