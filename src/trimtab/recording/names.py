"""Names: what loops call losses, metrics and the rest, whose rows a number is of, and which way a metric is better.

Knows words alone.
"""

import re
from dataclasses import dataclass
from typing import Literal

Part = Literal["train", "validation", "test"]
Kind = Literal["loss", "metric", "learning_rate", "epoch", "step", "gradient_norm", "other"]


def _names(text: str) -> frozenset[str]:
    return frozenset(" ".join(name.split()) for name in text.split(","))


_OF_TRAINING = _names("train, training, trn, learn, trainset")
_OF_VALIDATION = _names("validation, valid, val, vali, eval, evaluation, dev, holdout, heldout, valset")
_OF_TESTING = _names("test, testing, tst, testset")
PARTS: dict[str, Part] = {
    **dict.fromkeys(_OF_TRAINING, "train"),
    **dict.fromkeys(_OF_VALIDATION, "validation"),
    **dict.fromkeys(_OF_TESTING, "test"),
}
SHORT = {"lr": "learning_rate", "grad_norm": "gradient_norm", "loss": "train_loss"}
# What else the metrics of trimtab are called in a loop.
OTHER_NAMES = {"accuracy": ("acc",), "roc_auc": ("auc",), "log_loss": ("logloss",)}

_GREATER = _names("""
    accuracy, acc, acc1, acc5, top1, top5, auc, auroc, roc, aupr, auprc, prauc, f1, f2, f1score, fbeta, fscore,
    precision, recall, sensitivity, specificity, r2, r2score, rsquared, map, map50, ap, ap50, iou, miou, jaccard, dice,
    dsc, bleu, sacrebleu, rouge, rouge1, rouge2, rougel, rougelsum, meteor, chrf, cider, spice, kappa, mcc, matthews,
    correlation, corr, pearson, pearsonr, spearman, spearmanr, ndcg, mrr, hits, psnr, ssim, reward, return, score, em,
    exact match, likelihood, elbo, gini, explained variance, cosine similarity
""")
_SMALLER = _names("""
    loss, cost, error, err, mse, rmse, mae, mape, smape, msle, rmsle, l1, l2, nll, logloss, mlogloss, multilogloss,
    multi logloss, binary logloss, multiclass, entropy, crossentropy, xent, bce, ce, perplexity, ppl, bpc, bpb,
    wer, cer, ter, fid, kl, kld, divergence, deviance, brier, brier score, hinge, huber, quantile, pinball, merror,
    eer, ece, mpjpe, lpips, distance, negative log likelihood, poisson, tweedie, hamming
""")
_DIRECTIONS = dict.fromkeys(_GREATER, True) | dict.fromkeys(_SMALLER, False)
_MOST_WORDS = max(len(name.split()) for name in _DIRECTIONS)
# 1 is the most there is of these: greater values are per cent.
_SHARES = _names("""
    accuracy, acc, acc1, acc5, top1, top5, auc, auroc, f1, f1score, precision, recall, sensitivity, specificity, map,
    map50, ap, iou, miou, jaccard, dice, dsc, bleu, sacrebleu, rouge, rouge1, rouge2, rougel, error rate,
    em, exact match
""")
# Half of a judgement: alone they are best where a network says yes to all, or to next to nothing.
_ONE_SIDED = _names("precision, recall, sensitivity, specificity")
_LOSSES = _names("loss, cost, objective, nll, logloss, xent, crossentropy, cross entropy, bce, ce, criterion")
# What may stand beside the word that says what a number is, without making it another thing.
_FILLING = _names("""
    total, avg, average, mean, running, epoch, step, batch, iter, overall, smoothed, smooth, full, set, data, dataset,
    split, metrics, metric, losses, value, scalar, log, dataloader, idx, 0, main, global
""")
_RATES = _names("lr, lr0, learning rate, learningrate, lrate")
_EPOCHS = _names("""
    epoch, epochs, ep, epoch number, epoch num, current epoch, epoch idx, epoch nr, trainer epoch, train epoch,
    training epoch
""")
_STEPS = _names("""
    step, steps, global step, iter, iters, iteration, iterations, it, update, updates, num updates, num steps, round,
    rounds, boosting round, tree, trees, batch, batches, train step, trainer step, trainer global step,
    train global step, n iter
""")
_GRADIENTS = _names("grad norm, gnorm, gradient norm, total grad norm, grad norm total, grad 2 norm total")
# A running best is no curve; times, counts and sizes are no measure of a network.
_NO_CURVES = _names("""
    best, worst, prev, previous, old, initial, final, runtime, time, times, seconds, secs, sec, second, samples,
    examples, speed, eta, elapsed, duration, dur, timestamp, wall, walltime, memory, mem, gpu, cpu, throughput, fps,
    version, seed, patience, size, count, num, improved, from, to, std, stdev, stddev, var, ms, flos, tokens, words,
    wps, ups, clip, scale, delta, threshold, min, max, date, hours, minutes, saved, id, pid, param, params, parameters
""")
# "train" and "val" alone are losses where nothing else is.
_BARE = 50
_CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z])")


@dataclass(frozen=True)
class Named:
    """What a name tells: whose rows a number is of (None where it does not), `what` it is in the words that are left
    ("loss", "f1 macro"), its kind, and its `rank`, lower where the name is plainer."""

    part: Part | None
    what: str
    kind: Kind
    rank: int


def plain(name: str) -> str:
    """`val/Loss` and `val-loss` are `val_loss`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def words_of(name: str) -> list[str]:
    """ "valAcc" and "val/acc" are val and acc; "training's l2" is training and l2."""
    text = _CAMEL.sub(" ", name.replace("\u00b2", "2").replace("'s ", " "))
    text = re.sub(r"(?i)(?<![a-z0-9])r[\^_ ]2(?!\d)", "r2", text)
    return [word for word in plain(text).split("_") if word]


def named(name: str) -> Named:
    """What a column called `name` is, as far as its name tells."""
    words = words_of(name)
    text = " ".join(words)
    if text in _EPOCHS:
        return Named(None, text, "epoch", len(words))
    if text in _STEPS:
        return Named(None, text, "step", 0 if "global" in words else len(words))
    if _is_rate(words):
        return Named(None, text, "learning_rate", len(words))
    part, rest = _part_of(words)
    if " ".join(rest) in _GRADIENTS:
        return Named(None, text, "gradient_norm", len(words))
    if part is not None and not rest:
        return Named(part, "loss", "loss", _BARE)
    core = list(dict.fromkeys(word for word in rest if word not in _FILLING)) or rest
    what = " ".join(core)
    rank = 10 * (len(core) - 1) + (len(rest) - len(core)) - 2 * ("total" in rest)
    if not core or not _NO_CURVES.isdisjoint(words):
        return Named(part, what, "other", rank)
    if "neg" not in core and (what in _LOSSES or not _LOSSES.isdisjoint(core)):
        return Named(part, what, "loss", rank)
    if not _ONE_SIDED.isdisjoint(core):
        rank += 10
    return Named(part, what, "other" if direction_of(what) is None else "metric", rank)


def direction_of(name: str) -> bool | None:
    """Whether a greater value of what is called so is the better one; None where the name does not tell.

    The longest run of words that is known decides: "brier score" is no score.
    """
    words = [word for word in words_of(name) if word not in PARTS]
    if "neg" in words:  # scikit-learn's neg_mean_squared_error
        return True
    for length in range(min(_MOST_WORDS, len(words)), 0, -1):
        runs = (" ".join(words[i : i + length]) for i in range(len(words) - length + 1))
        found = [_DIRECTIONS[run] for run in runs if run in _DIRECTIONS]
        if found:
            return all(found)  # "accuracy_loss" is a loss
    return None


def is_share(name: str) -> bool:
    """Whether 1 is the most that there is of it."""
    words = words_of(name)
    return not _SHARES.isdisjoint({*words, *(" ".join(words[i : i + 2]) for i in range(len(words)))})


def _is_rate(words: list[str]) -> bool:
    """ "lr", "lr-Adam", "train/lr", "lr_group_0", "learning rate"; "lr_find_loss" is something else."""
    if not {"loss", "find", "finder"}.isdisjoint(words):
        return False
    return words[:1] == ["lr"] or " ".join(words[-1:]) in _RATES or " ".join(words[-2:]) in _RATES


def _part_of(words: list[str]) -> tuple[Part | None, list[str]]:
    """Whose rows, by the first word that tells, and the words that are left."""
    for i, word in enumerate(words):
        if word in PARTS:
            # XGBoost and LightGBM count sets: validation_0, valid_1.
            behind = i + 2 if i + 2 < len(words) and words[i + 1].isdigit() else i + 1
            return PARTS[word], words[:i] + words[behind:]
    return None, words
