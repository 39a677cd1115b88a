"""The script of a study: its best single configuration in plain PyTorch, on the same table and the same folds.

Puts pieces together, each only where this configuration and this table need it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import trimtab
from trimtab.export.scripts import fitted
from trimtab.export.scripts.columns import columns_code
from trimtab.export.scripts.literals import center_of, comment, indented, literal, table
from trimtab.export.scripts.losses import GREATER_IS_BETTER, error_function, loss_call, loss_function
from trimtab.export.scripts.network import features_of_numbers, network_class
from trimtab.export.scripts.optimizers import LION, groups_function, schedule_function
from trimtab.export.scripts.original import Original
from trimtab.export.scripts.reading import durations, label_function, number_function
from trimtab.export.scripts.text import imported, tidy
from trimtab.export.scripts.training import KEPT, Loop, constants
from trimtab.model.model import Model
from trimtab.text.wording import counted
from trimtab.training.config import Stopping
from trimtab.tuning.baselines import LINEAR, MEAN, PENALTIES
from trimtab.tuning.course import factors, until
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words

# Multiplications of a layer and batch below which a second thread costs more than it brings (a guess: 0.1 ms of one).
SMALL = 1 << 23
WITHIN = ".clip(LOW, HIGH)"
ONE_THREAD = "torch.set_num_threads(1)  # products this small are fastest on one thread"


def study_script(folder: StudyFolder, trial: TrialRecord, model: Model, folds: Path | None = None) -> str:
    """A script that trains the config of `trial` without trimtab, and prints its validation score beside the study's.

    It reads the study's folds from the file at `folds`, left out: from the study's folder. Raises DataError where the
    study's table is there and cannot be read, StudyError where nothing tells the folds any more.
    """
    return _script(Original.of(folder, trial, model), folds or folder.folds)


def study_files(folder: StudyFolder, trial: TrialRecord, model: Model, place: Path) -> dict[str, tuple[Path, bytes]]:
    """The same script as a file at `place`, and the folds as one beside it: by kind, each file and what it holds."""
    folds = place.with_suffix(".folds.parquet")
    script = study_script(folder, trial, model, folds)
    return {"python": (place, script.encode()), "folds": (folds, folder.folds.read_bytes())}


def _script(original: Original, folds: Path) -> str:
    pieces = [_table(original), _target(original), _folds(folds)]
    if original.trial.name == MEAN:
        pieces += ["# -- the mean\n", "", _mean(original)]
    else:
        pieces += ["# -- columns, as the network sees them\n"]
        pieces.append(columns_code(original.columns, original.reading, has_weights=original.weight is not None))
        pieces += [_linear(original)] if original.trial.name == LINEAR else [_network(original), _training(original)]
    pieces.append(_score(original))
    body = tidy("\n".join(pieces))
    return f"{_about(original)}\n\n{imported(body)}\n\n{body}"


# -- the head


def _about(original: Original) -> str:
    name = Path(original.reading.path).name
    data = "a table in memory" if original.reading.was_in_memory else name
    words = trial_in_words(original.trial)
    found = f"The best single configuration that trimtab {trimtab.__version__} found for {data}, in plain PyTorch"
    paragraphs, metric = [f"{found}: {words}."], original.metric.name
    if original.ensemble > 1 or original.has_neighbours:
        scores = f" ({metric} {_shown(original.ensemble_score)} on validation rows)" if original.ensemble_score else ""
        parts = [counted(original.ensemble, "configuration")] if original.ensemble else []
        parts += ["the nearest training rows"] if original.has_neighbours else []
        paragraphs.append(
            f"The study's model is an ensemble of {' and of '.join(parts)}{scores}; this script trains the best "
            f"configuration alone ({metric} {_shown(original.score)})."
        )
    paragraphs.append(
        f"Needs torch, polars and numpy, no trimtab. Prints the {metric} on validation rows beside the study's."
    )
    if original.reading.was_in_memory:
        paragraphs.append(
            f"The study was given its table in memory: write that frame (features, target and all) to {name} first, "
            "with frame.write_parquet (polars) or frame.to_parquet (pandas); several frames one below the other."
        )
    elif original.reading.frame is None:
        paragraphs.append("The table was not there when this script was written: put it there, or change TABLE.")
    if original.has_changed:
        paragraphs.append("The table has changed since the study was made: rows may be others, and scores will differ.")
    return "\n#\n".join(comment(paragraph) for paragraph in paragraphs)


# -- table and target


def _table(original: Original) -> str:
    reading, columns = original.reading, original.columns
    numbers = [feature.name for feature in columns.numbers]
    numbers += [] if original.is_classification else list(original.target.names)
    numbers += [original.weight] if original.weight else []
    labelled: dict[str, Sequence[str]] = {}
    if original.trial.name != MEAN:
        labelled |= {f.name: (*f.labels.labels, *f.labels.pooled) for f in columns.labelled if f.labels is not None}
    labelled |= dict.fromkeys(original.target.names, original.target.labels) if original.is_classification else {}
    pieces = [f"TABLE = {literal(reading.path)}", "", reading.statement]
    pieces += [durations(reading, numbers, labelled)]
    pieces += ["", "", number_function(reading, numbers)] if numbers else []
    pieces += ["", label_function(reading, labelled)] if labelled else []
    return "\n".join(pieces)


def _target(original: Original) -> str:
    lines = ["", "# -- the target", ""]
    is_one = len(original.target.names) == 1
    if is_one:
        lines.append(f"TARGET = {literal(original.target.names[0])}")
    else:
        lines.append(table("TARGETS", list(original.target.names)))
    if original.weight:
        lines.append(f"weight = number({literal(original.weight)})")
    if original.is_classification:
        lines.append(table("CLASSES", list(original.target.labels)))
        lines.append("numbers_of = {one: place for place, one in enumerate(CLASSES)}")
        lines.append(
            "target = label(TARGET).replace_strict(numbers_of, default=-1).fill_null(-1).to_numpy(writable=True)"
        )
    elif is_one:
        lines.append("target = number(TARGET)[:, None]")
    else:
        lines.append("target = numpy.stack([number(name) for name in TARGETS], axis=1)")
    return "\n".join([*lines, ""])


def _folds(file: Path) -> str:
    """Statements that make `folds`, a list of (train, valid) row numbers."""
    return f"""\
# -- the folds of the study: which rows of the table train in each, and which it is judged by

FOLDS = {literal(str(file.resolve()))}

folds = [
    [rows.filter(part=part)["row"].to_numpy(writable=True) for part in ("train", "valid")]
    for rows in polars.read_parquet(FOLDS).partition_by("fold", maintain_order=True)
]

"""


# -- network and training

_BINS = """\
CONTINUOUS = len(EDGES)  # these columns come first
BINS = max(map(len, EDGES.values())) - 1
starts, slopes = torch.zeros(2, CONTINUOUS, BINS)
for column, edges in enumerate(map(torch.tensor, EDGES.values())):
    starts[column, : len(edges) - 1] = edges[:-1]
    slopes[column, : len(edges) - 1] = 1 / edges.diff()
"""


def _network(original: Original) -> str:
    inputs, config = original.columns.inputs, original.trial.config
    lines = []
    kind = features_of_numbers(config, inputs)
    if kind == "periodic":
        lines.append("CONTINUOUS = len(NUMBERS)  # these come first, and enter as waves too\n")
    if kind == "piecewise":
        lines.append("# The edges of the bins of each column of numbers, scaled as above, as the study found them.")
        lines.append(table("EDGES", original.columns.edges))
        lines.append(_BINS)
    return "\n".join([*lines, "", network_class(config, inputs, original.target.outputs), ""])


def _training(original: Original) -> str:
    config, inputs, has_weights = original.trial.config, original.columns.inputs, original.weight is not None
    said = f"{inputs.call(KEPT, 'valid')}.double()"
    batch = inputs.call("network", "rows"), "targets[rows]", "weights[rows]" if has_weights else ""
    loop = Loop(
        config,
        loss=loss_call(config.loss, *batch),
        order="torch.from_numpy(train)[torch.randperm(len(train))]",
        count="len(train)",
        judge=(
            f"{KEPT}.eval()",
            "with torch.no_grad():",
            f"    found = {_in_units(original, said)}",
            f"score = error(found, target[valid]{', weight[valid]' if has_weights else ''})",
        ),
        keep=("best_found = found",),
        every=original.every,
    )
    functions = (
        loss_function(config.loss, has_weights=has_weights),
        error_function(original.metric.name, has_weights=has_weights),
        schedule_function(config.schedule),
        groups_function(config) if config.groups else "",
        LION if config.optimizer.name == "lion" else "",
    )
    trained = f'''\
def trained(train, valid, seed):
    """A network trained on rows `train`, as it was when it did best on `valid`; and what it predicted for them."""
    torch.manual_seed(seed)
    network = Network()
{indented(loop.text())}
    return {loop.kept}, best_found

{_trained_on_all_rows(original, loop)}'''
    pieces = ["# -- training\n", *_threads(original), constants(config), *_targets(original), ""]
    return "\n".join([*pieces, *(f"\n{function}\n" for function in functions if function), trained])


def _in_units(original: Original, said: str) -> str:
    """What a network has `said`, as probabilities or in original units."""
    if original.is_classification:
        return f"{said}.softmax(dim=1).numpy()"
    values = f"{said}.numpy() * SPREAD + MEAN"
    return f"({values}){WITHIN}" if original.target.low else values


def _trained_on_all_rows(original: Original, loop: Loop) -> str:
    """`def trained_on_all(train, seed)` where the study's model was."""
    if not original.is_of_all_rows:
        return ""
    config = replace(original.trial.config, stopping=Stopping("none"))
    loop = replace(loop, config=config, until=until(original.trial, original.fold_rows),
                   factors=factors(original.trial, original.fold_rows))  # fmt: skip
    return f'''
def trained_on_all(train, seed):
    """A network trained on rows `train`, as far along its course as those of the folds were when they did best."""
    torch.manual_seed(seed)
    network = Network()
{indented(loop.text())}
    return {loop.kept}.eval()

'''


def _threads(original: Original) -> list[str]:
    network, batch = dict(original.trial.config.network), original.trial.config.batch_size
    is_small = 0 < batch * int(network["width"]) ** 2 <= SMALL
    return [ONE_THREAD] if is_small else []


def _targets(original: Original) -> list[str]:
    """Statements that make `targets`, as networks learn them, and `weights`."""
    weights = ["weights = torch.tensor(weight, dtype=torch.float32)"] if original.weight else []
    if original.is_classification:
        return ["targets = torch.from_numpy(target)", *weights]
    return [
        "# Networks learn targets of mean 0 and standard deviation 1.",
        table("MEAN", list(map(center_of, original.target.mean, original.target.scale))),
        table("SPREAD", list(original.target.scale)),
        *_bounds(original),
        "targets = torch.tensor((target - MEAN) / SPREAD, dtype=torch.float32)",
        *weights,
    ]


def _bounds(original: Original) -> list[str]:
    target = original.target
    if not target.low:
        return []
    low, high = table("LOW", list(target.low)), table("HIGH", list(target.high))
    return ["# Predictions lie within the range of what was learnt, and a tenth of it beyond.", low, high]


# -- baselines that are solved


def _mean(original: Original) -> str:
    has_weights = original.weight is not None
    function = fitted.mean_function(is_classification=original.is_classification, has_weights=has_weights)
    return "\n".join(["", function, "", error_function(original.metric.name, has_weights=has_weights), ""])


def _linear(original: Original) -> str:
    has_weights, inputs = original.weight is not None, original.columns.inputs
    if original.is_classification:
        function = fitted.logistic_function(classes=original.target.outputs, has_weights=has_weights)
    else:
        function = fitted.ridge_function(has_weights=has_weights)
    design = fitted.design(has_numbers=bool(inputs.numbers), has_codes=bool(inputs.cardinalities))
    error = error_function(original.metric.name, has_weights=has_weights)
    bounds = _bounds(original)
    return "\n".join(["# -- a linear model\n", ONE_THREAD, *bounds, design, "", function, "", error, ""])


# -- the score


def _score(original: Original) -> str:
    weights = ", weight[judged]" if original.weight else ""
    metric = original.metric.name
    outputs = original.target.outputs
    start = f", start={original.seed}" if original.seed else ""
    score = f"error(out_of_fold[judged], target[judged]{weights})"
    lines = [f"out_of_fold = numpy.full((len(target), {outputs}), numpy.nan)"]
    is_logistic = original.trial.name == LINEAR and original.is_classification
    judged = "judged = numpy.isfinite(out_of_fold).all(axis=1)"
    if is_logistic:
        lines += [
            "best = math.inf",
            f"for strength in {literal(PENALTIES)}:",
            "    for train, valid in folds:",
            "        out_of_fold[valid] = fitted(train, strength)[valid]",
            f"    {judged}",
            f"    best = min(best, {score})",
        ]
        score = "best"
    elif original.trial.name in (MEAN, LINEAR):
        within = WITHIN if original.trial.name == LINEAR and original.target.low else ""
        lines += ["for train, valid in folds:", f"    out_of_fold[valid] = fitted(train)[valid]{within}", judged]
    else:
        keep = ["    networks.append(network)  # the study's model predicts the mean of these"]
        lines += [
            "networks = []",
            f"for seed, (train, valid) in enumerate(folds{start}):",
            "    network, out_of_fold[valid] = trained(train, valid, seed)",
            *(keep if not original.is_of_all_rows else []),
            judged,
        ]
    value = f"1 - {score}" if metric in GREATER_IS_BETTER else score
    lines.append(f'print(f"validation {metric}: {{{value}:.5g}} (in the study: {_shown(original.score)})")')
    return "\n".join([*lines, *_last_training(original), ""])


def _last_training(original: Original) -> list[str]:
    """Statements that train what the study's model is made of, where it is none of the folds' networks."""
    if not original.is_of_all_rows or original.trial.name in (MEAN, LINEAR):
        return []
    rows = "numpy.unique(numpy.concatenate(sum(folds, [])))"
    if original.trains_on_test_rows:
        known = "target >= 0" if original.is_classification else "numpy.isfinite(target).all(axis=1)"
        rows = f"numpy.flatnonzero({f'({known}) & (weight > 0)' if original.weight else known})"
    first, count = original.seed, original.networks
    what = "the mean of networks" if count > 1 else "a network"
    return [
        "",
        f"# In the study's model: {what} trained once more, on all rows.",
        f"every = {rows}",
        f"networks = [{', '.join(f'trained_on_all(every, {seed})' for seed in range(first, first + count))}]",
    ]


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.5g}"
