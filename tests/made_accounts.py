"""An account of what choices were worth, as a study of strengths of concrete may have it."""

from trimtab.findings.worth.account import Account, Row, Step, Stop

ROWS = (
    Row("lr", 0.0003, 0.912, 0.42, 1.41, "worse", 10),
    Row("loss", "mse", 0.531, 0.21, 0.85, "worse", 10),
    Row("optimizer", "sgd", 0.402, 0.11, 0.70, "worse", 10, rate=0.2),
    Row("width", 256, -0.21, -0.39, -0.03, "better", 10),
    Row("depth", 2, 0.08, -0.11, 0.27, "alike", 10),
    Row("dropout", 0.0, 0.05, -0.22, 0.31, "alike", 10),
    Row("optimizer at the winner's rate", "sgd", 9.5, 8.1, 10.9, "worse", 10),
    Row("lr", 0.1, None, None, None, "worse", 10),
    Row("schedule", "cosine"),
)
PATH = (
    Step("", "", 4.45),
    Step("inputs", "periodic", 4.24, 0.21, 0.12, 0.30),
    Step("loss", "huber", 4.18, 0.06, 0.01, 0.11),
    Step("dropout", 0.1, 4.20, -0.02, -0.08, 0.04),
    Step("ensemble", "4 trials", 4.03, 0.17, 0.09, 0.25),
)
STOPPING = (
    Stop("patience 5", 28, 23, 5.637), Stop("patience 20", 103, 84, 4.987), Stop("GL 2", 11, 10, 6.774),
    Stop("no stopping", 161, 87, 4.978), Stop("best of hindsight", 87, 87, 4.70),
)  # fmt: skip


def account(**changed) -> Account:
    winner = {"trial": 11, "words": "AdamW, learning rate 0.003", "score": 4.2, "error": 4.2}
    given = {"rows": ROWS, "path": PATH, "stopping": STOPPING, "looks": 1, "seconds": 20.0} | changed
    return Account(winner, "rmse", greater_is_better=False, **given)
