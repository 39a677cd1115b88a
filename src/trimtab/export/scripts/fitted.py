"""The two baselines that are solved, not trained (the mean, a linear model), as code. Knows no loop."""

from trimtab.export.scripts.literals import literal
from trimtab.tuning.baselines import FEWEST, ITERATIONS, RIDGE_PENALTIES

_DESIGN = {
    (True, False): "design = numbers.double()",
    (False, True): "design = torch.cat([nn.functional.one_hot(column) for column in codes.T], dim=1).double()",
    (True, True): (
        "design = torch.cat([numbers, *(nn.functional.one_hot(column) for column in codes.T)], dim=1).double()"
    ),
}
_MEAN_NUMBERS = '''\
def fitted(train):
    """What the mean of the rows `train` predicts for every row, whatever it holds."""
    mean = numpy.average(target[train], axis=0{weights})
    return numpy.broadcast_to(mean, target.shape)
'''
_MEAN_CLASSES = '''\
def fitted(train):
    """The shares of the classes in the rows `train`, for every row, whatever it holds."""
    counts = numpy.bincount(target[train], minlength=len(CLASSES){weights}) + {fewest}
    return numpy.broadcast_to(counts / counts.sum(), (len(target), len(CLASSES)))
'''
_RIDGE = '''\
def fitted(train):
    """What a ridge regression on the rows `train` predicts for every row; the penalty by leaving one row out."""
    x, y = design[train], torch.from_numpy(target[train])
    w = {weight}
    x_mean, y_mean = (w * x).sum(0) / w.sum(), (w * y).sum(0) / w.sum()
    left, size, right = torch.linalg.svd(w.sqrt() * (x - x_mean), full_matrices=False)
    projected = left.T @ (w.sqrt() * (y - y_mean))
    best = math.inf
    for penalty in numpy.logspace({penalties}):
        shrunk = (size**2 / (size**2 + penalty))[:, None]
        leverage = (left**2 @ shrunk) + w / w.sum()
        residual = (w.sqrt() * (y - y_mean) - left @ (shrunk * projected)) / (1 - leverage).clamp_min(1e-9)
        if residual.square().mean() < best:
            best = residual.square().mean()
            slopes = right.T @ (projected * (size / (size**2 + penalty))[:, None])
    return ((design - x_mean) @ slopes + y_mean).numpy()
'''
_LOGISTIC = '''\
def fitted(train, strength):
    """The probabilities that a logistic regression on the rows `train` gives every row."""
    slopes = torch.zeros(design.shape[1], {columns}, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros({columns}, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([slopes, bias], max_iter={iterations}, line_search_fn="strong_wolfe")

    def logits(rows):
        {logits}

    def objective():
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(logits(design[train]), torch.from_numpy(target[train]), reduction="none")
        value = strength * {losses}.sum() + 0.5 * slopes.square().sum()
        value.backward()
        return value

    optimizer.step(objective)
    return logits(design).softmax(dim=1).detach().numpy()
'''


def mean_function(*, is_classification: bool, has_weights: bool) -> str:
    """`def fitted(train)` -> predictions for all rows."""
    text = _MEAN_CLASSES if is_classification else _MEAN_NUMBERS
    return text.format(weights=", weights=weight[train]" if has_weights else "", fewest=literal(FEWEST))


def design(*, has_numbers: bool, has_codes: bool) -> str:
    """The statement that makes `design`, embedded columns as columns of 0 and 1."""
    return _DESIGN[has_numbers, has_codes] + "\n"


def ridge_function(*, has_weights: bool) -> str:
    """`def fitted(train)` -> predictions for all rows."""
    weight = "torch.from_numpy(weight[train])[:, None]" if has_weights else "torch.ones(len(train), 1)"
    return _RIDGE.format(weight=weight, penalties=", ".join(map(literal, RIDGE_PENALTIES)))


def logistic_function(*, classes: int, has_weights: bool) -> str:
    """`def fitted(train, strength)` -> probabilities for all rows."""
    several = "return rows @ slopes + bias"
    two = "return nn.functional.pad(rows @ slopes + bias, (1, 0))  # the first of two classes has the logit 0"
    return _LOGISTIC.format(
        columns=1 if classes == 2 else classes,
        logits=two if classes == 2 else several,
        iterations=ITERATIONS,
        losses="(torch.from_numpy(weight[train]) * losses)" if has_weights else "losses",
    )
