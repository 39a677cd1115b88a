"""The table of knobs: everything that can be turned in a training, each by its name.

Everything that offers, checks, searches or describes a knob reads this table: the command line, the estimators,
searches and sweeps, configs, exported scripts, and the words of results. Knows names and values; it knows no runs.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trimtab.knobs.domains import HIGH, LOW, Bounds, Choice, Domain, Range
from trimtab.knobs.knob import Case, Knob, Option, Reader, Task

# -- what a search of a table tries. Weights, centers and spreads are guesses where nothing else is said of them.

# From so many training rows on piecewise inputs are what a search begins with: one network was better with them on
# seven of nine tables of 5,000 rows and more, and worse on eight of nine of 1,500 and fewer (benchmarks/RESULTS.md,
# "Inputs"). And of so many columns of numbers at most: each is one of up to 48 for as long as a batch lasts (a guess).
MANY_ROWS, FEW_COLUMNS = 2_000, 100


def _losses(case: Case) -> Choice:
    if case.task == "classification":
        return Choice(("cross_entropy", "focal"), (0.85, 0.15))
    if case.metric == "mae":
        return Choice(("mae", "huber", "log_cosh", "mse"), (0.4, 0.3, 0.2, 0.1))
    return Choice(("mse", "huber", "log_cosh", "mae"), (0.55, 0.3, 0.1, 0.05))


def _deltas(case: Case) -> Range | None:
    if case.task == "classification":
        return None
    return Range(0.1, 3.0, log=True, center=None if case.metric == "mae" else 0.8)


def _of_classes(domain: Domain) -> Callable[[Case], Domain | None]:
    return lambda case: domain if case.task == "classification" else None


def _batch_sizes(case: Case) -> Choice:
    """Larger ones for more rows, so that an epoch has tens of steps: fewer teach little, and more cost time."""
    if case.rows <= 2_000:
        return Choice((32, 64, 128), (0.15, 0.4, 0.45))
    if case.rows <= 12_000:
        return Choice((64, 128, 256), (0.3, 0.4, 0.3))
    return Choice((128, 256, 512), (0.2, 0.5, 0.3))


def _epochs(case: Case) -> Range:
    low, high = max(2, case.epochs // 3), case.epochs * 2
    return Range(low, high, log=True, integer=True, center=case.epochs, spread=0.4)


def _inputs(case: Case) -> Choice:
    """All but scaled ones make four or five columns of each: with many of them a step costs more than they bring. What
    piecewise ones learn takes rows (benchmarks/RESULTS.md, "Inputs")."""
    kinds = ("scaled", "periodic", "piecewise")
    if case.columns > 200:
        return Choice(kinds, (0.9, 0.08, 0.02))
    if case.columns > FEW_COLUMNS:
        return Choice(kinds, (0.35, 0.6, 0.05))
    return Choice(kinds, (0.3, 0.5, 0.2) if case.rows < MANY_ROWS else (0.15, 0.35, 0.5))


# -- the table

_OF_CLASSES = ("cross_entropy", "focal", "bce")
_OF_DEEP = Reader("depth", but=(0,))
_UNREAD_DECAY = ("second_decay", 0.99)
_COURSES = tuple(Option(name) for name in ("constant", "linear", "cosine", "flat_cosine"))

_ALL = (
    Knob("loss",
         "what training minimises; large errors weigh most in mse, least in mae, in between in huber and log_cosh",
         "loss.name", prior=_losses,
         options=(
             Option("mse", "mean squared error", "regression"),
             Option("mae", "mean absolute error", "regression"),
             Option("huber", "Huber loss with delta {}", "regression"),
             Option("log_cosh", "log-cosh loss", "regression"),
             Option("quantile", "quantile loss at {}", "regression"),
             Option("cross_entropy", "cross-entropy", "classification"),
             Option("focal", "focal loss with gamma {}", "classification"),
             # Of a network with one output, the logit of two classes. Tables have an output for each class.
             Option("bce", "binary cross-entropy", "two classes", ("binary_cross_entropy", "bce_with_logits")),
         )),
    Knob("delta",
         "for huber: the error, in standard deviations of the target, beyond which errors no longer count squared",
         "loss.parameter", bounds=Bounds(is_open=True), prior=_deltas, readers=(Reader("loss", by=("huber",)),),
         default=1.0, title="huber's delta", edges=(LOW, HIGH)),
    Knob("tau", "for the quantile loss: which quantile of the target is predicted",
         "loss.parameter", bounds=Bounds(high=1.0, is_open=True), readers=(Reader("loss", by=("quantile",)),),
         swept=Range(0.05, 0.95), points=7, default=0.5, title="quantile's tau"),
    Knob("gamma", "for focal loss: how much more the rows count that are still predicted wrongly",
         "loss.parameter", bounds=Bounds(), prior=_of_classes(Range(0.5, 3.0)),
         readers=(Reader("loss", by=("focal",)),), default=2.0, title="focal's gamma", edges=(LOW, HIGH)),
    Knob("label_smoothing", "the share of each label that is spread over all classes, against overconfidence",
         "loss.label_smoothing", bounds=Bounds(high=0.999), prior=_of_classes(Range(0.0, 0.2)),
         readers=(Reader("loss", by=_OF_CLASSES),), default=0.0, title="label smoothing", is_off_at_0=True,
         edges=(HIGH,)),
    Knob("class_weights", "how much the rows of each class count in the loss: a number for each class",
         "loss.class_weights", readers=(Reader("loss", by=_OF_CLASSES),), default=(), of_tables=False,
         is_sequence=True),
    # Defaults are those of torch.optim. In tables, rates are what a search draws around (guesses), and Adam's second
    # decay lies where RealMLP's is tuned: 0.999 cost it 2 % on classes, more on numbers [Holzmüller et al. 2024]. Those
    # that read none have the one that is written in the configs of earlier studies, by which their trials are known.
    Knob("optimizer",
         "how weights follow the gradient: gd uses all rows at each step, sgd a batch, adam adapts the rate of each "
         "weight",
         "optimizer.name", default="adam",
         options=(
             Option("gd", "gradient descent on all rows", in_tables=(("lr", 0.1), _UNREAD_DECAY)),
             Option("sgd", "SGD", in_tables=(("lr", 0.05), _UNREAD_DECAY)),
             Option("momentum", "SGD with momentum", in_tables=(("lr", 0.02), _UNREAD_DECAY)),
             Option("nesterov", "SGD with Nesterov momentum", in_tables=(("lr", 0.02), _UNREAD_DECAY)),
             Option("adagrad", "Adagrad", defaults=(("epsilon", 1e-10),),
                    in_tables=(("lr", 0.02), ("epsilon", 1e-8), _UNREAD_DECAY)),
             Option("rmsprop", "RMSprop", defaults=(("second_decay", 0.99),), in_tables=(("lr", 1e-3),)),
             Option("adam", "Adam", in_tables=(("lr", 3e-3), ("second_decay", 0.98))),
             Option("adamw", "AdamW", in_tables=(("lr", 3e-3), ("second_decay", 0.98))),
             Option("lion", "Lion", defaults=(("second_decay", 0.99),), in_tables=(("lr", 1e-3),)),
         ),
         prior=Choice(("adamw", "adam", "nesterov", "lion", "rmsprop"), (0.6, 0.15, 0.1, 0.1, 0.05))),
    Knob("lr",
         "the learning rate, the length of a step; training diverges if it is too large, and is slow if it is too "
         "small",
         "optimizer.learning_rate", bounds=Bounds(is_open=True), prior=Range(1e-5, 1.0, log=True), points=16,
         default=1e-3, title="the learning rate", edges=(LOW, HIGH)),
    Knob("momentum", "the momentum of SGD, or the decay of the mean gradient (beta 1)",
         "optimizer.momentum", bounds=Bounds(high=0.99999), default=0.9, of_tables=False,
         readers=(Reader("optimizer", by=("momentum", "nesterov", "adam", "adamw", "lion")),)),
    Knob("second_decay", "the decay of the mean squared gradient (beta 2; alpha of rmsprop)",
         "optimizer.second_decay", bounds=Bounds(high=1.0), default=0.999, of_tables=False,
         readers=(Reader("optimizer", by=("rmsprop", "adam", "adamw", "lion")),)),
    Knob("epsilon", "what is added to the divisor where the rate of each weight is adapted",
         "optimizer.epsilon", bounds=Bounds(), default=1e-8, of_tables=False,
         readers=(Reader("optimizer", by=("adagrad", "rmsprop", "adam", "adamw")),)),
    Knob("schedule", "how the learning rate changes during training", "schedule.name", default="constant",
         options=(
             Option("constant", "held constant"),
             Option("step", "lowered in steps", reads=("factor", "every")),
             Option("cosine", "with cosine decay"),
             Option("one_cycle", "in one cycle", reads=("warmup",)),
             Option("warmup_cosine", "with warm-up and cosine decay", reads=("warmup",)),
             Option("plateau", "lowered on plateaus", reads=("factor", "patience")),
         ),
         prior=Choice(("cosine", "one_cycle", "warmup_cosine", "step", "plateau", "constant"),
                      (0.4, 0.3, 0.1, 0.08, 0.07, 0.05))),
    Knob("batch_size",
         "rows in each step: small batches are noisy, large ones steady, but an epoch has fewer of them; 0 is all rows",
         "batch_size", bounds=Bounds(is_whole=True), prior=_batch_sizes,
         prior_words="tried: three sizes that suit the rows, from 32 to 512",
         readers=(Reader("optimizer", but=("gd",), implied=0),), default=32, is_structural=True),
    Knob("epochs", "the most passes over the training rows",
         "epochs", bounds=Bounds(1, is_whole=True), prior=_epochs, prior_words="depends on the rows and the budget",
         default=100, edges=(LOW, HIGH)),
    Knob("patience", "epochs without improvement after which a run stops; the weights of its best epoch are kept",
         "stopping.patience", bounds=Bounds(1, is_whole=True), prior_words="a quarter of the epochs, at least 10",
         of_networks=False),
    Knob("stop", "when a run ends before its last epoch; the weights of its best epoch are kept",
         "stopping.name", of_tables=False,
         options=(
             Option("none"),
             Option("patience", reads=("patience", "min_improvement")),
             Option("gl", reads=("threshold",)),
             Option("pq", reads=("threshold", "strip")),
             Option("up", reads=("patience", "strip")),
         )),
    Knob("width", "units in each hidden layer", "network.width", bounds=Bounds(1, is_whole=True),
         prior=Choice((32, 64, 128, 256), (0.1, 0.25, 0.45, 0.2)), readers=(_OF_DEEP,), of_networks=False,
         is_structural=True, edges=(HIGH,)),
    Knob("depth", "number of hidden layers; 0 is a linear model", "network.depth", bounds=Bounds(is_whole=True),
         prior=Choice((1, 2, 3, 4), (0.2, 0.4, 0.3, 0.1)), of_networks=False, is_structural=True, edges=(HIGH,)),
    # Of those that are much alike, the cheap ones are drawn more often; gelu is close to silu, and dearer.
    Knob("activation", "the activation function of the hidden units", "network.activation",
         options=tuple(Option(name) for name in ("relu", "silu", "gelu", "mish", "selu", "tanh")),
         prior=Choice(("silu", "relu", "selu", "tanh", "mish"), (0.4, 0.3, 0.13, 0.1, 0.07)), readers=(_OF_DEEP,),
         of_networks=False, is_structural=True),
    Knob("inputs",
         "how numbers enter the network: scaled, also as cosine waves (periodic), or also by their bin (piecewise)",
         "network.inputs", options=(Option("scaled"), Option("periodic"), Option("piecewise")), prior=_inputs,
         readers=(_OF_DEEP,), of_networks=False, is_structural=True),
    # RealMLP starts at 0.1; its tuned spaces reach from 0.01 to 50 [Holzmüller et al. 2024].
    Knob("sigma", "for periodic inputs: how high their frequencies are at the start", "network.sigma",
         bounds=Bounds(is_open=True), prior=Range(0.02, 1.0, log=True, center=0.15, spread=0.7),
         readers=(Reader("inputs", by=("periodic",)), _OF_DEEP), default=0.1, of_networks=False, edges=(LOW, HIGH)),
    Knob("dropout", "the share of hidden units that is switched off at random in each step, against overfitting",
         "dropout", bounds=Bounds(high=0.95), prior=Range(0.0, 0.5), readers=(_OF_DEEP,), is_off_at_0=True,
         edges=(HIGH,)),
    Knob("dropout_course", "how dropout falls over the planned epochs", "dropout_course", options=_COURSES,
         default="constant", of_tables=False),
    Knob("weight_decay", "how strongly the weights are pulled towards zero, against overfitting",
         "optimizer.weight_decay", bounds=Bounds(), prior=Range(1e-6, 0.5, log=True, center=0.01, spread=2.0),
         default=0.0, title="weight decay", edges=(HIGH,)),
    Knob("decay_course", "how weight decay falls over the planned epochs", "decay_course", options=_COURSES,
         default="constant", of_tables=False),
    Knob("gradient_clip", "the largest norm of a gradient; 0 takes it as it comes", "gradient_clip", bounds=Bounds(),
         default=0.0, of_tables=False),
    Knob("averaging", "the decay of a moving average of the weights, which is kept in their place; 0 keeps the weights",
         "averaging", bounds=Bounds(high=0.99999), default=0.0, of_tables=False),
    Knob("groups", "parameters with a rate and a weight decay of their own, as a list of Group", "groups", default=(),
         of_tables=False, is_sequence=True),
)  # fmt: skip
KNOBS = {knob.name: knob for knob in _ALL}

# -- names, as they are asked for most

TABLE_KNOBS = tuple(knob.name for knob in _ALL if knob.of_tables)
NETWORK_KNOBS = tuple(knob.name for knob in _ALL if knob.of_networks)
OPTIMIZERS, SCHEDULES, STOPPING_RULES = (KNOBS[name].names for name in ("optimizer", "schedule", "stop"))
COURSES, ACTIVATIONS, INPUTS = (KNOBS[name].names for name in ("dropout_course", "activation", "inputs"))
LOSSES = KNOBS["loss"].names
REGRESSION_LOSSES = KNOBS["loss"].names_for("regression")
CLASSIFICATION_LOSSES = KNOBS["loss"].names_for("classification")
LOGIT_LOSSES = KNOBS["loss"].names_for("two classes")
LOSS_ALIASES = {alias: option.name for option in KNOBS["loss"].options for alias in option.aliases}


def label_of(name: str) -> str:
    """What stands beside the values of a knob in a picture or a table; one of a caller's own network is its name."""
    return KNOBS[name].label if name in KNOBS else name


def losses_for(task: Task) -> tuple[str, ...]:
    """The losses of a table of this task."""
    return KNOBS["loss"].names_for(task)


def placed_in(part: str) -> dict[str, str]:
    """The knobs that a part of a config ("loss", "optimizer", "network") holds, by the names of their fields there."""
    places = {knob.place.rpartition("."): knob.name for knob in _ALL}
    return {field: name for (where, _, field), name in places.items() if where == part}


def fields_of(part: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a part of a config, of knobs by name."""
    return {field: values[name] for field, name in placed_in(part).items() if name in values}
