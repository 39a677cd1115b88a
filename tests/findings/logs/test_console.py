"""What training loops print."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.findings.logs import console
from trimtab.findings.logs.columns import columns_of
from trimtab.findings.logs.content import Content
from trimtab.findings.logs.epochs import trained
from trimtab.findings.logs.reading import read

N = 12
TRAIN = [round(2 * math.exp(-epoch / 3) + 0.05, 4) for epoch in range(N)]
VALID = [round(2 * math.exp(-epoch / 3) + 0.3 + 0.02 * epoch, 4) for epoch in range(N)]
ACCURACY = [round(1 - loss / 4, 2) for loss in VALID]


def keras(epoch: int, train: float, valid: float, accuracy: float) -> str:
    bar = "".join(
        f"\r\x1b[1m{i:2d}/32\x1b[0m \x1b[37m━━━━\x1b[0m \x1b[1m1s\x1b[0m 40ms/step - loss: 9.1" for i in (1, 9)
    )
    told = (
        f"accuracy: {accuracy} - loss: {train} - val_accuracy: {accuracy} - val_loss: {valid} - learning_rate: 0.0010"
    )
    end = f"\r\x1b[1m32/32\x1b[0m \x1b[32m━━━━\x1b[0m \x1b[1m0s\x1b[0m 3ms/step - {told}\n"
    return f"Epoch {epoch + 1}/{N}\n{bar}{end}Epoch {epoch + 1}: val_loss improved from 9.0 to 3.0, saving to x.keras\n"


def old_keras(epoch: int, train: float, valid: float, accuracy: float) -> str:
    bar = " 1/32 [>....] - ETA: 9s - loss: 9.1\n20/32 [==>..] - ETA: 1s - loss: 9.2\n"
    return f"Epoch {epoch + 1}/{N}\n{bar}32/32 [====] - 1s 3ms/step - loss: {train} - val_loss: {valid}\n"


def pytorch_example(epoch: int, train: float, valid: float, accuracy: float) -> str:
    steps = "".join(
        f"Train Epoch: {epoch + 1} [{i}/60000 (1%)]\tLoss: {train + d}\n" for i, d in ((0, 0.01), (64, -0.01))
    )
    hits = round(accuracy * 10000)
    return f"{steps}\nTest set: Average loss: {valid}, Accuracy: {hits}/10000 ({accuracy:.0%})\n\n"


def pytorch_quickstart(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return (
        f"Epoch {epoch + 1}\n-----------\nloss: {train}  [   64/60000]\nloss: {train}  [ 6464/60000]\n"
        f"Test Error: \n Accuracy: {100 * accuracy:.1f}%, Avg loss: {valid} \n\n"
    )


def pytorch_transfer(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"Epoch {epoch}/{N - 1}\n-----\ntrain Loss: {train} Acc: {accuracy}\nval Loss: {valid} Acc: {accuracy}\n\n"


def imagenet(epoch: int, train: float, valid: float, accuracy: float) -> str:
    step = f"Epoch: [{epoch}][  10/5005]\tTime  0.5 ( 0.6)\tLoss {train:.4e} ({train:.4e})\n"
    test = f"Test: [ 10/391]\tTime  1.1 ( 1.1)\tLoss {valid:.4e} ({valid:.4e})\n"
    return f"{step}{step}{test} *   Acc@1 {100 * accuracy} Acc@5 90\n"


def language_model(epoch: int, train: float, valid: float, accuracy: float) -> str:
    line = f"| epoch {epoch + 1:3d} |   200/ 2983 batches | lr 20.00 | ms/batch 12.34 | loss {train} | ppl 9.9\n"
    return f"{line}-----\n| end of epoch {epoch + 1:3d} | time: 45.61s | valid loss {valid} | valid ppl 9.9\n"


def logging_prefix(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return (
        f"2024-05-01 12:{epoch:02d}:00,123 - trainer - INFO - Epoch {epoch + 1}: train loss {train}, val loss {valid}, "
        f"val acc {100 * accuracy:.0f}%, lr 1.0e-03, time 12.3s\n"
    )


def pairs(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"INFO:root:epoch={epoch} train_loss={train} val_loss={valid} lr=0.001 elapsed=3.2s\n"


def dicts(epoch: int, train: float, valid: float, accuracy: float) -> str:
    told = f"{{'loss': {train}, 'grad_norm': 1.2, 'learning_rate': 4.5e-05, 'epoch': {epoch + 1}.0}}\n"
    return f"{told}{{'eval_loss': {valid}, 'eval_runtime': 2.1, 'epoch': {epoch + 1}.0}}\n"


def sections(epoch: int, train: float, valid: float, accuracy: float) -> str:
    told = f"Train: loss {train} acc {accuracy} | Val: loss {valid} acc {accuracy} | Best acc 0.99"
    return f"[Epoch {epoch + 1}/{N}] {told}\n"


def steps(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return (
        f"step {250 * epoch}: train loss {train}, val loss {valid}\niter {250 * epoch + 10}: loss 1.0, time 12.50ms\n"
    )


def bars(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return "".join(
        f"\rEpoch {epoch}: {share:3d}%|███ | 1/9 [00:01<00:02, 20.3it/s, v_num=0, train_loss={train}, val_loss={valid}]"
        for share in (0, 50, 100)
    )


def tensors(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"Epoch {epoch}, loss: tensor({train}, device='cuda:0', grad_fn=<X>), val_loss: tensor({valid})\n"


def unnumbered(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"Training loss: {train}\nValidation loss: {valid}\n"


def prose(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"After epoch {epoch + 1} the loss is {train} and the validation loss is {valid}\n"


def bare_parts(epoch: int, train: float, valid: float, accuracy: float) -> str:
    return f"epoch {epoch + 1}\ttrain {train:.4f}\tvalid {valid:.4f}\n"


def fairseq(epoch: int, train: float, valid: float, accuracy: float) -> str:
    head = "2020-01-01 10:00:00 | INFO"
    told = f"{head} | train | epoch {epoch + 1:03d} | loss {train} | wps 1234 | lr 0.0001 | gnorm 1.2\n"
    return f"{told}{head} | valid | epoch {epoch + 1:03d} | valid on 'valid' subset | loss {valid} | best_loss 3.1\n"


@pytest.mark.parametrize(
    "shape",
    [
        keras, old_keras, pytorch_example, pytorch_quickstart, pytorch_transfer, imagenet, language_model,
        logging_prefix, pairs, dicts, sections, steps, bars, tensors, unnumbered, prose,
        bare_parts, fairseq,
    ],
    ids=lambda shape: shape.__name__,
)  # fmt: skip
def test_shapes_that_are_common(tmp_path: Path, shape) -> None:
    path = tmp_path / "console.log"
    path.write_text("Using device: cuda:0\nModel has 1,234 parameters\n" + "".join(
        shape(epoch, TRAIN[epoch], VALID[epoch], ACCURACY[epoch]) for epoch in range(N)
    ) + "Done!\n")  # fmt: skip
    found = read(path)
    record = trained(found, columns_of(found)).record
    assert len(record.epochs) == N
    assert record.train_loss == pytest.approx(TRAIN, abs=1e-4)
    assert record.validation_loss == pytest.approx(VALID, abs=1e-4)
    if record.validation_metric is not None and record.metric != "ppl":
        assert record.validation_metric == pytest.approx(ACCURACY, abs=1e-4)


@pytest.mark.parametrize(
    ("title", "row"),
    [
        ("  epoch  train_loss  valid_acc  valid_loss   dur\n-----  -----  -----  -----\n", "{e}  {t}  {a}  {v}  0.02"),
        ("epoch     train_loss  valid_loss  accuracy  time    \n", "{e}         {t}    {v}    {a}  00:05     "),
    ],
    ids=["skorch", "fastai"],
)  # fmt: skip
def test_tables_that_are_printed(tmp_path: Path, title: str, row: str) -> None:
    path = tmp_path / "console.log"
    lines = [row.format(e=e, t=f"\x1b[36m{TRAIN[e]}\x1b[0m", v=VALID[e], a=ACCURACY[e]) for e in range(N)]
    path.write_text(title + "\n".join(lines))
    found = read(path)
    record = trained(found, columns_of(found)).record
    assert record.train_loss == pytest.approx(TRAIN)
    assert record.validation_metric == pytest.approx(ACCURACY)


def test_early_stopping_of_keras_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    lines = "".join(old_keras(epoch, TRAIN[epoch], VALID[epoch], 0) for epoch in range(N))
    end = "Epoch 00012: early stopping\nRestoring model weights from the end of the best epoch: 7.\n"
    path.write_text(lines + end)
    known = read(path).known
    assert known == {"planned": N, "kept": 7.0, "ended": "stopped early"}
    path.write_text(lines + end.partition("\n")[0])
    assert read(path).known["kept"] == 12, "the weights are the last where nothing is said of restoring"


def test_losses_that_are_nan(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("epoch 1 loss: 2.0\nepoch 2 loss: 3.0\nepoch 3 loss: nan\n")
    found = read(path)
    record = trained(found, columns_of(found)).record
    assert record.train_loss.tolist() == [2, 3, math.inf]
    assert record.ended == "not finite"


PIECES = st.sampled_from(
    ["Epoch ", "loss", " ", ": ", "=", "-", "e", "/", "[", "]", "\t", ", ", "acc ", "Test: ", "1", "20", "0.5", "-3",
     "1e-3", "nan", "NaN", ".5", "v2", "3.", "\r", "%"]
)  # fmt: skip


@settings(max_examples=100)
@given(
    shapes=st.lists(st.lists(PIECES, max_size=8).map("".join), min_size=1, max_size=3),
    order=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "0", "7", "nan", "-1"])), max_size=20),
)
def test_a_shape_that_comes_again_is_read_as_it_was_the_first_time(shapes, order) -> None:
    lines = [shapes[which % len(shapes)].replace("0.5", number or "0.5") for which, number in order]
    content = Content("x", "\n".join(lines).encode())
    with pytest.MonkeyPatch.context() as patch:
        again = console.read(content)
        patch.setattr(console, "_MOST_RECENT", 0)
        anew = console.read(content)
    assert (again is None) == (anew is None)
    if again and anew:
        assert again[0].frame.equals(anew[0].frame, null_equal=True) and again[0].known == anew[0].known
