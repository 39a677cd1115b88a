"""Optimizer and schedules of a config as torch code. Knows no loop and no data."""

from trimtab.export.scripts.literals import literal
from trimtab.knobs.table import KNOBS
from trimtab.training.config import Config, Schedule
from trimtab.training.rules.schedules import ONE_CYCLE_END, ONE_CYCLE_START

LION = '''\
class Lion(torch.optim.Optimizer):
    """Steps of one length along the sign of a mean gradient [Chen et al. 2023]."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(group["lr"] * torch.lerp(mean, p.grad, 1 - beta1).sign())
                mean.lerp_(p.grad, 1 - beta2)
'''

COURSES = {
    "linear": "1 - step / steps",
    "cosine": "0.5 * (1 + math.cos(math.pi * step / steps))",
    "flat_cosine": "0.5 * (1 + math.cos(math.pi * max(0, 2 * step / steps - 1)))",
}


def optimizer_call(config: Config) -> str:
    """The expression that makes the optimizer of `network`."""
    o = config.optimizer
    betas = f", betas=({literal(o.momentum)}, {literal(o.second_decay)})"
    decay = f", weight_decay={literal(o.weight_decay)}" if o.weight_decay else ""
    epsilon = f", eps={literal(o.epsilon)}" if o.epsilon != KNOBS["epsilon"].default else ""  # torch has the same one
    name, constants = {
        "gd": ("torch.optim.SGD", ""),
        "sgd": ("torch.optim.SGD", ""),
        "momentum": ("torch.optim.SGD", f", momentum={literal(o.momentum)}"),
        "nesterov": ("torch.optim.SGD", f", momentum={literal(o.momentum)}, nesterov=True"),
        "adagrad": ("torch.optim.Adagrad", f", eps={literal(o.epsilon)}"),
        "rmsprop": ("torch.optim.RMSprop", f", alpha={literal(o.second_decay)}{epsilon}"),
        "adam": ("torch.optim.Adam", betas + epsilon),
        "adamw": ("torch.optim.AdamW", betas + epsilon),
        "lion": ("Lion", betas),
    }[o.name]
    if o.name in ("adamw", "lion"):
        decay = f", weight_decay={literal(o.weight_decay)}"  # torch's AdamW has one of its own
    parameters = "grouped(network)" if config.groups else "network.parameters()"
    return f"{name}({parameters}, lr={literal(o.learning_rate)}{constants}{decay})"


def groups_function(config: Config) -> str:
    """The function that gives parameters their own rate and decay, for a config with groups."""
    rate, decay = config.optimizer.learning_rate, config.optimizer.weight_decay
    rows = "".join(
        f"    ({literal(g.pattern)}, {literal(rate * g.rate)}, {literal(decay * g.decay)}),\n" for g in config.groups
    )
    return f'''\
# Parameters whose names match: their learning rate and weight decay. The first match counts.
GROUPS = [
{rows}    ("*", {literal(rate)}, {literal(decay)}),
]


def grouped(network):
    """The parameters with the rates and decays of their groups."""
    found = {{pattern: [] for pattern, _, _ in GROUPS}}
    for name, parameter in network.named_parameters():
        found[next(pattern for pattern, _, _ in GROUPS if fnmatch.fnmatchcase(name, pattern))].append(parameter)
    return [{{"params": found[pattern], "lr": rate, "weight_decay": decay}} for pattern, rate, decay in GROUPS]
'''


def schedule_lines(config: Config, every: int = 1) -> list[str]:
    """Statements that make `schedule` for an `optimizer` that will make `steps` steps; none for a constant rate.

    `every` are the epochs between two evaluations, which are what torch counts a plateau's patience in.
    """
    schedule = config.schedule
    if schedule.name == "constant":
        return []
    if schedule.name == "plateau":
        arguments = f"factor={literal(schedule.factor)}, patience={int(schedule.patience // every)}"
        note = f"  # evaluations: {schedule.patience} epochs" if every > 1 else ""
        return [f"schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, {arguments}){note}"]
    if schedule.name == "cosine":
        factor = "lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))"
    elif schedule.name == "step":
        length = f"max(1, round({literal(schedule.every)} * steps))"
        factor = f"lambda step: {literal(schedule.factor)} ** (min(step, steps - 1) // {length})"
    else:
        factor = f"lambda step: {schedule.name}(step, steps)"
    return [f"schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, {factor})"]


def schedule_function(schedule: Schedule) -> str:
    """The function that `schedule_lines` calls, where it calls one."""
    if schedule.name == "warmup_cosine":
        return f'''\
def warmup_cosine(step, steps):
    """The share of the peak learning rate: up along a line, then down along a cosine."""
    warmup = round({literal(schedule.warmup)} * steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1, (step - warmup) / max(1, steps - warmup))))
'''
    if schedule.name == "one_cycle":
        return f'''\
def one_cycle(step, steps):
    """The share of the peak learning rate: up along one cosine, down along another [Smith & Topin 2018]."""
    step, peak = min(step, steps - 1), {literal(schedule.warmup)} * steps - 1
    if step <= peak:
        start, end, share = {literal(ONE_CYCLE_START)}, 1.0, step / peak if peak > 0 else 1.0
    else:
        start, end, share = 1.0, {literal(ONE_CYCLE_END)}, (step - peak) / max(steps - 1 - peak, 1e-9)
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
'''
    return ""
