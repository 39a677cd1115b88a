"""The script of a study: its best single configuration in plain PyTorch, on the same table and the same folds.

Puts pieces together, each only where this configuration and this table need it.
"""

from pathlib import Path

import trimtab
from trimtab.export.scripts import fitted
from trimtab.export.scripts.columns import columns_code
from trimtab.export.scripts.folds import folds_code
from trimtab.export.scripts.literals import comment, indented, literal, table
from trimtab.export.scripts.losses import GREATER_IS_BETTER, error_function, loss_call, loss_function
from trimtab.export.scripts.network import has_waves, network_class
from trimtab.export.scripts.optimizers import LION, groups_function, schedule_function
from trimtab.export.scripts.reading import durations, label_function, moment_statements, number_function
from trimtab.export.scripts.recipe import Recipe
from trimtab.export.scripts.text import imported, tidy
from trimtab.export.scripts.training import KEPT, Loop, constants
from trimtab.model import Model
from trimtab.tuning.baselines import LINEAR, MEAN
from trimtab.tuning.folder import StudyFolder
from trimtab.tuning.trial import TrialRecord
from trimtab.tuning.words import trial_in_words

# Multiplications of a layer below which a second thread costs more than it brings.
SMALL = 1 << 23
ONE_THREAD = "torch.set_num_threads(1)  # products this small are quickest so"


def study_script(folder: StudyFolder, trial: TrialRecord, model: Model) -> str:
    """A script that trains the config of `trial` without trimtab, and prints its validation score beside the study's.

    Raises DataError where the study's table is there and cannot be read.
    """
    recipe = Recipe.of(folder, trial, model)
    pieces = [_table(recipe), _target(recipe), "# -- folds\n", *_times(recipe), folds_code(recipe.division)]
    if trial.name == MEAN:
        pieces += ["# -- the mean\n", "", _mean(recipe)]
    else:
        pieces += ["# -- columns, as the network sees them\n"]
        pieces.append(columns_code(recipe.columns, recipe.reading, has_weights=recipe.weight is not None))
        pieces += [_linear(recipe)] if trial.name == LINEAR else [_network(recipe), _training(recipe)]
    pieces.append(_score(recipe))
    body = tidy("\n".join(pieces))
    return f"{_about(recipe)}\n\n{imported(body)}\n\n{body}"


# -- the head


def _about(recipe: Recipe) -> str:
    name = Path(recipe.reading.path).name
    data = "a table in memory" if recipe.reading.was_in_memory else name
    words = trial_in_words(recipe.trial)
    paragraphs = [
        f"The best single configuration that trimtab {trimtab.__version__} found for {data}, in plain PyTorch: {words}."
    ]
    metric = recipe.metric.name
    if recipe.ensemble > 1:
        scores = f" ({metric} {_shown(recipe.ensemble_score)} on validation rows)" if recipe.ensemble_score else ""
        paragraphs.append(
            f"The study's model is an ensemble of {recipe.ensemble} configurations{scores}; this script trains the "
            f"best one alone ({metric} {_shown(recipe.score)})."
        )
    paragraphs.append(
        f"Needs torch, polars and numpy, no trimtab. Prints the {metric} on validation rows beside the study's."
    )
    if recipe.reading.was_in_memory:
        paragraphs.append(
            f"The study was given its table in memory: write that frame (features, target and all) to {name} first, "
            "with frame.write_parquet (polars) or frame.to_parquet (pandas)."
        )
    elif recipe.reading.frame is None:
        paragraphs.append("The table was not at its place when this was written: put it there, or change TABLE.")
    if recipe.has_changed:
        paragraphs.append("The table has changed since the study was made: scores will differ.")
    return "\n#\n".join(comment(paragraph) for paragraph in paragraphs)


# -- table and target


def _table(recipe: Recipe) -> str:
    reading, columns = recipe.reading, recipe.columns
    numbers = [feature.name for feature in columns.numbers]
    numbers += [] if recipe.is_classification else list(recipe.target.names)
    numbers += [recipe.weight] if recipe.weight else []
    rule = recipe.division.rule
    if rule.kind == "time" and rule.column not in [feature.name for feature in columns.moments]:
        numbers.append(rule.column)
    labelled = [feature.name for feature in columns.labelled] if recipe.trial.name != MEAN else []
    labelled += list(recipe.target.names) if recipe.is_classification else []
    labelled += [rule.column] if rule.kind in ("group", "column") else []
    known = [label for f in columns.labelled if f.labels is not None for label in f.labels.labels] + list(
        recipe.target.labels
    )
    pieces = [f"TABLE = {literal(reading.path)}", "", f"table = {reading.statement}"]
    pieces += [durations(reading, dict.fromkeys(numbers))]
    pieces += ["", "", number_function(reading, numbers)] if numbers else []
    pieces += ["", label_function(reading, labelled, known)] if labelled else []
    return "\n".join(pieces)


def _target(recipe: Recipe) -> str:
    lines = ["", "# -- the target, of the rows that have one", ""]
    is_one = len(recipe.target.names) == 1
    if is_one:
        lines.append(f"TARGET = {literal(recipe.target.names[0])}")
    if recipe.is_classification:
        lines.append(table("CLASSES", list(recipe.target.labels)))
        lines.append("table = table.filter(label(TARGET).is_not_null())")
    elif is_one:
        lines.append("table = table.filter(numpy.isfinite(number(TARGET)))")
    else:
        lines.append(table("TARGETS", list(recipe.target.names)))
        lines.append("table = table.filter(numpy.isfinite([number(name) for name in TARGETS]).all(axis=0))")
    if recipe.weight:
        lines.append(f"table = table.filter(number({literal(recipe.weight)}) > 0)")
        lines.append(f"weight = number({literal(recipe.weight)})")
    if recipe.is_classification:
        lines.append("places = list(range(len(CLASSES)))")
        lines.append("target = label(TARGET).replace_strict(CLASSES, places, default=-1).to_numpy().astype(int)")
    elif is_one:
        lines.append("target = number(TARGET)[:, None]")
    else:
        lines.append("target = numpy.stack([number(name) for name in TARGETS], axis=1)")
    return "\n".join([*lines, ""])


def _times(recipe: Recipe) -> list[str]:
    """Statements that set `times`, by which rows are split; none for another split."""
    rule = recipe.division.rule
    if rule.kind != "time":
        return []
    name = literal(rule.column)
    for feature in recipe.columns.moments:
        if feature.name == rule.column:
            moments = moment_statements(recipe.reading, name, feature.format, feature.time_zone, "times")
            return [*moments, 'times = times.dt.epoch("us").cast(polars.Float64).to_numpy()']
    return [f"times = number({name})"]


# -- network and training


def _network(recipe: Recipe) -> str:
    inputs, config = recipe.columns.inputs, recipe.trial.config
    lines = []
    if has_waves(config, inputs):
        lines.append("CONTINUOUS = len(NUMBERS)  # these come first, and enter as waves too\n")
    return "\n".join([*lines, "", network_class(config, inputs, recipe.target.outputs), ""])


def _training(recipe: Recipe) -> str:
    config, inputs, has_weights = recipe.trial.config, recipe.columns.inputs, recipe.weight is not None
    unscaled = ".softmax(dim=1).numpy()" if recipe.is_classification else ".numpy() * SPREAD + MEAN"
    batch = inputs.call("network", "rows"), "targets[rows]", "weights[rows]" if has_weights else ""
    loop = Loop(
        config,
        loss=loss_call(config.loss, *batch),
        order="torch.from_numpy(train)[torch.randperm(len(train))]",
        count="len(train)",
        judge=(
            f"{KEPT}.eval()",
            "with torch.no_grad():",
            f"    found = {inputs.call(KEPT, 'valid')}.double(){unscaled}",
            f"score = error(found, target[valid]{', weight[valid]' if has_weights else ''})",
        ),
        keep=("best_found = found",),
        every=recipe.every,
    )
    functions = (
        loss_function(config.loss, has_weights=has_weights),
        error_function(recipe.metric.name, has_weights=has_weights),
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

'''
    pieces = ["# -- training\n", *_threads(recipe), constants(config), *_targets(recipe), ""]
    return "\n".join([*pieces, *(f"\n{function}\n" for function in functions if function), trained])


def _threads(recipe: Recipe) -> list[str]:
    network, batch = dict(recipe.trial.config.network), recipe.trial.config.batch_size
    is_small = 0 < batch * int(network["width"]) ** 2 <= SMALL
    return [ONE_THREAD] if is_small else []


def _targets(recipe: Recipe) -> list[str]:
    """Statements that make `targets`, as networks learn them, and `weights`."""
    weights = ["weights = torch.tensor(weight, dtype=torch.float32)"] if recipe.weight else []
    if recipe.is_classification:
        return ["targets = torch.from_numpy(target)", *weights]
    return [
        "# Networks learn targets of mean 0 and standard deviation 1.",
        table("MEAN", list(recipe.target.mean)),
        table("SPREAD", list(recipe.target.scale)),
        "targets = torch.tensor((target - MEAN) / SPREAD, dtype=torch.float32)",
        *weights,
    ]


# -- baselines that are solved


def _mean(recipe: Recipe) -> str:
    has_weights = recipe.weight is not None
    function = fitted.mean_function(is_classification=recipe.is_classification, has_weights=has_weights)
    return "\n".join(["", function, "", error_function(recipe.metric.name, has_weights=has_weights), ""])


def _linear(recipe: Recipe) -> str:
    has_weights, inputs = recipe.weight is not None, recipe.columns.inputs
    if recipe.is_classification:
        function = fitted.logistic_function(classes=recipe.target.outputs, has_weights=has_weights)
    else:
        function = fitted.ridge_function(has_weights=has_weights)
    design = fitted.design(has_numbers=bool(inputs.numbers), has_codes=bool(inputs.cardinalities))
    error = error_function(recipe.metric.name, has_weights=has_weights)
    return "\n".join(["# -- a linear model\n", ONE_THREAD, design, "", function, "", error, ""])


# -- the score


def _score(recipe: Recipe) -> str:
    weights = ", weight[judged]" if recipe.weight else ""
    metric = recipe.metric.name
    outputs = recipe.target.outputs
    start = f", start={recipe.division.seed}" if recipe.division.seed else ""
    score = f"error(out_of_fold[judged], target[judged]{weights})"
    lines = [f"out_of_fold = numpy.full((len(target), {outputs}), numpy.nan)"]
    is_logistic = recipe.trial.name == LINEAR and recipe.is_classification
    judged = "judged = numpy.isfinite(out_of_fold).all(axis=1)"
    if is_logistic:
        lines += [
            "best = math.inf",
            "for strength in (0.03, 0.3, 3.0):",
            "    for train, valid in folds:",
            "        out_of_fold[valid] = fitted(train, strength)[valid]",
            f"    {judged}",
            f"    best = min(best, {score})",
        ]
        score = "best"
    elif recipe.trial.name in (MEAN, LINEAR):
        lines += ["for train, valid in folds:", "    out_of_fold[valid] = fitted(train)[valid]", judged]
    else:
        lines += [
            "networks = []",
            f"for seed, (train, valid) in enumerate(folds{start}):",
            "    network, out_of_fold[valid] = trained(train, valid, seed)",
            "    networks.append(network)  # the study's model predicts the mean of these",
            judged,
        ]
    value = f"1 - {score}" if metric in GREATER_IS_BETTER else score
    lines.append(f'print(f"validation {metric}: {{{value}:.5g}} (in the study: {_shown(recipe.score)})")')
    return "\n".join([*lines, ""])


def _shown(score: float | None) -> str:
    return "-" if score is None else f"{score:.5g}"
