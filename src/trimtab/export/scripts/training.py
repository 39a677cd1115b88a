"""The training loop of a config as code: batches, steps, evaluations, the best epoch, and when to stop.

Knows no table and no network: how one is called and judged is handed in.
"""

from dataclasses import dataclass

from trimtab.export.scripts.literals import indented, literal, table
from trimtab.export.scripts.optimizers import COURSES, optimizer_call, schedule_lines
from trimtab.training.config import Config

KEPT = "KEPT"


@dataclass(frozen=True)
class Loop:
    """What a loop needs to know beside its config.

    `loss` is the expression for the loss of the batch `rows`; `order` that for all row numbers in a new order, `count`
    that for how many they are; `judge` are statements that set `score` (lower is better) from the network that stands
    for KEPT in them, `keep` what else to do where it is the best so far; `every` the epochs between two evaluations;
    `drops_last` leaves out a short last batch; `optimizer` is an expression in the place of the config's; `weight` that
    for the weights of the batch `rows`, "" where all count alike. `has_buffers` says that the network keeps more than
    parameters (running means), `dropouts` which layers drop units, `needs_closure` that the optimizer computes the loss
    itself. With `until` nothing is judged, and the loop ends after that epoch; `factors`, one for each epoch, replay a
    plateau schedule.
    """

    config: Config
    loss: str
    order: str
    count: str
    judge: tuple[str, ...]
    keep: tuple[str, ...] = ()
    every: int = 1
    drops_last: bool = False
    optimizer: str = ""
    until: int = 0
    factors: tuple[float, ...] = ()
    weight: str = ""
    has_buffers: bool = False
    dropouts: str = "nn.Dropout"
    needs_closure: bool = False

    @property
    def kept(self) -> str:
        """The network that is evaluated and kept."""
        return "average" if self.config.averaging else "network"

    @property
    def counts_steps(self) -> bool:
        courses = (self.config.dropout_course, self.config.decay_course)
        return bool(self.config.averaging) or any(course != "constant" for course in courses)

    @property
    def counts_from_best(self) -> bool:
        """Whether stopping asks how long ago the best epoch was."""
        return self.config.stopping.name == "patience" and not self.config.stopping.min_improvement

    @property
    def _has_falling_decay(self) -> bool:
        return self.config.decay_course != "constant" and self.config.optimizer.weight_decay > 0

    def text(self) -> str:
        """The body of a function, from the optimizer to the best epoch's weights (the last one's with `until`)."""
        if self.until:
            body = indented("\n".join([*self._replayed_rate(), *self._epoch()]))
            return "\n".join([*self._before(), f"for epoch in range(1, {self.until + 1}):", body])
        lines = [*self._before(), "for epoch in range(1, EPOCHS + 1):", indented("\n".join(self._epoch()))]
        return "\n".join([*lines, f"{self.kept}.load_state_dict(best_weights)"])

    def _before(self) -> list[str]:
        config = self.config
        lines = [f"optimizer = {self.optimizer or optimizer_call(config)}"]
        schedule = [] if self.factors else schedule_lines(config, self.every)
        if self.counts_steps or any("steps" in line for line in schedule):
            lines.append(f"steps = EPOCHS * {self._batches()}")
        lines += schedule
        if config.averaging:
            lines.append("average = copy.deepcopy(network)  # a moving average of the weights, which is what is kept")
        lines += ["step = 0"] if self.counts_steps else []
        if self._has_falling_decay:
            lines.append('decays = [group["weight_decay"] for group in optimizer.param_groups]')
        if self.factors:
            lines.append('peaks = [group["lr"] for group in optimizer.param_groups]')
            lines.append(table("factors", [round(factor, 6) for factor in self.factors]))
        if self.until:
            return lines
        lines.append("best_score, best_epoch = math.inf, 0" if self.counts_from_best else "best_score = math.inf")
        lines += ["train_losses = []"] if self._needs_train_loss and self.every > 1 else []
        return lines + _BEFORE[config.stopping.name](config)

    def _batches(self) -> str:
        if not self.config.batch_size:
            return "1"
        return f"max(1, {self.count} // BATCH)" if self.drops_last else f"math.ceil({self.count} / BATCH)"

    def _epoch(self) -> list[str]:
        lines = ["network.train()"]
        if self._needs_train_loss and self.every == 1:
            lines.append("train_losses = []")
        size = "BATCH" if self.config.batch_size else self.count
        lines += [f"for rows in {self.order}.split({size}):", indented("\n".join(self._step()))]
        if self.until:
            return lines
        if self.every > 1:
            lines += [f"if epoch % {self.every} and epoch < EPOCHS:", "    continue"]
        if self.config.averaging and self.has_buffers:
            lines += [
                "for mean, value in zip(average.buffers(), network.buffers()):",
                "    mean.copy_(value)  # running means are not averaged once more",
            ]
        lines += [line.replace(KEPT, self.kept) for line in self.judge]
        lines += ["if score < best_score:", indented("\n".join(self._keep()))]
        if self.config.schedule.name == "plateau":
            lines.append("schedule.step(score)")
        lines += _AFTER[self.config.stopping.name](self.config, self.every)
        return lines + (["train_losses = []"] if self._needs_train_loss and self.every > 1 else [])

    def _replayed_rate(self) -> list[str]:
        """Statements that set the rate of an epoch to what the runs that were scored had there."""
        if not self.factors:
            return []
        return [
            "for group, peak in zip(optimizer.param_groups, peaks):",
            '    group["lr"] = peak * factors[epoch - 1]',
        ]

    def _keep(self) -> list[str]:
        first = "best_score, best_epoch = score, epoch" if self.counts_from_best else "best_score = score"
        return [first, *self.keep, f"best_weights = copy.deepcopy({self.kept}.state_dict())"]

    @property
    def _needs_train_loss(self) -> bool:
        return self.config.stopping.name == "pq" and not self.until

    def _step(self) -> list[str]:
        config = self.config
        lines = []
        if self.drops_last and config.batch_size:
            lines += [
                f"if len(rows) < BATCH and len(rows) < {self.count}:",
                "    continue  # a last batch that is short is left out",
            ]
        lines += self._courses()
        lines += self._closed() if self.needs_closure else [*self._gradients(), "optimizer.step()"]
        if config.schedule.name not in ("constant", "plateau"):
            lines.append("schedule.step()")
        lines += ["step += 1"] if self.counts_steps else []
        if config.averaging:
            decay = f"min({literal(config.averaging)}, (1 + step) / (10 + step))"
            lines += [
                "with torch.no_grad():",
                "    for mean, parameter in zip(average.parameters(), network.parameters()):",
                f"        mean.lerp_(parameter, 1 - {decay})",
            ]
        return lines

    def _gradients(self) -> list[str]:
        """Statements that put the gradients of a batch where the optimizer finds them."""
        lines = ["optimizer.zero_grad()"]
        if self._needs_train_loss:
            counted = f"{self.weight}.sum().item()" if self.weight else "len(rows)"
            lines += [f"value = {self.loss}", "value.backward()", f"train_losses.append((value.item(), {counted}))"]
        elif self.needs_closure:
            lines += [f"value = {self.loss}", "value.backward()"]
        else:
            lines.append(f"{self.loss}.backward()")
        if self.config.gradient_clip:
            lines.append(f"nn.utils.clip_grad_norm_(network.parameters(), {literal(self.config.gradient_clip)})")
        return lines

    def _closed(self) -> list[str]:
        """A step of an optimizer that computes the loss itself, as often as it likes."""
        return [
            "def closure():", *(f"    {line}" for line in self._gradients()), "    return value", "",
            "optimizer.step(closure)",
        ]  # fmt: skip

    def _courses(self) -> list[str]:
        config = self.config
        lines = []
        if config.dropout_course != "constant" and config.dropout:
            lines += [
                "for layer in network.modules():",
                f"    if isinstance(layer, {self.dropouts}):",
                f"        layer.p = {literal(config.dropout)} * ({COURSES[config.dropout_course]})",
            ]
        if self._has_falling_decay:
            lines += [
                "for group, decay in zip(optimizer.param_groups, decays):",
                f'    group["weight_decay"] = decay * ({COURSES[config.decay_course]})',
            ]
        return lines


def constants(config: Config) -> str:
    """The sizes of the training, as names on one line."""
    names, values = ["EPOCHS"], [config.epochs]
    if config.batch_size:
        names, values = ["BATCH", *names], [config.batch_size, *values]
    if config.stopping.name == "patience":
        names, values = [*names, "PATIENCE"], [*values, config.stopping.patience]
    return f"{', '.join(names)} = {', '.join(map(str, values))}"


def _nothing(config: Config) -> list[str]:
    return []


def _before_patience(config: Config) -> list[str]:
    return ["mark, mark_epoch = math.inf, 0"] if config.stopping.min_improvement else []


def _after_nothing(config: Config, every: int) -> list[str]:
    return []


def _after_patience(config: Config, every: int) -> list[str]:
    least = config.stopping.min_improvement
    if not least:
        return ["if epoch - best_epoch >= PATIENCE:", "    break"]
    return [
        f"if mark_epoch == 0 or score < mark - {literal(least)} * abs(mark):",
        "    mark, mark_epoch = score, epoch",
        "if epoch - mark_epoch >= PATIENCE:",
        "    break",
    ]


_RISEN = "rise = 0.0 if score == best_score else 100 * (score / best_score - 1) if best_score > 0 else math.inf"


def _after_gl(config: Config, every: int) -> list[str]:
    threshold = literal(config.stopping.threshold)
    return [f"{_RISEN}  # GL of Prechelt (1998), in percent", f"if rise > {threshold}:", "    break"]


def _before_pq(config: Config) -> list[str]:
    return [f"losses, strip_end = [], {config.stopping.strip}"]


def _after_pq(config: Config, every: int) -> list[str]:
    strip, threshold = config.stopping.strip, literal(config.stopping.threshold)
    kept = max(2 if every > 1 else 1, -(-strip // every))
    return [
        "mean = sum(value * count for value, count in train_losses) / sum(count for _, count in train_losses)",
        f"losses = [*losses, mean][-{kept}:]",
        "if epoch >= strip_end:  # PQ of Prechelt (1998): the score's loss beside what training still gains",
        f"    strip_end = (epoch // {strip} + 1) * {strip}",
        "    progress = 1000 * (sum(losses) / (len(losses) * min(losses)) - 1) if min(losses) > 0 else math.inf",
        f"    {_RISEN}",
        f"    if rise > {threshold} * progress:",
        "        break",
    ]


def _before_up(config: Config) -> list[str]:
    return [f"previous, rises, strip_end = math.inf, 0, {config.stopping.strip}"]


def _after_up(config: Config, every: int) -> list[str]:
    strip = config.stopping.strip
    return [
        "if epoch >= strip_end:  # UP of Prechelt (1998): the score rose in so many strips, one after the other",
        f"    strip_end = (epoch // {strip} + 1) * {strip}",
        "    rises, previous = rises + 1 if score > previous else 0, score",
        f"    if rises >= {config.stopping.patience}:",
        "        break",
    ]


_BEFORE = {
    "none": _nothing, "patience": _before_patience, "gl": _nothing, "pq": _before_pq, "up": _before_up,
}  # fmt: skip
_AFTER = {
    "none": _after_nothing, "patience": _after_patience, "gl": _after_gl, "pq": _after_pq, "up": _after_up,
}  # fmt: skip
