"""Predictor: all of `Model.predict` as one torch module, from raw numbers and category codes to predictions.

Knows no files and no text: labels come as codes, date-times as seconds since 1970.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn

from trimtab.export.calendar import DAY_SECONDS, share_of_cycle
from trimtab.export.vocabulary import Scalings
from trimtab.model.model import Model, build
from trimtab.model.neighbours import Neighbours, nearest
from trimtab.table.encode import Feature
from trimtab.training.programs.mlp_program import MLPProgram
from trimtab.training.randomness import initialised

LARGEST, SMALLEST, CLIP = 1e100, 5e-324, 3.0  # the bounds of `table.numbers`


class Predictor(nn.Module):
    """numbers float64 [rows, n], codes int64 [rows, m] -> float64 [rows, outputs].

    `numbers` are the columns of numbers and times (NaN where missing), `codes` those of categories, both in the order
    of `columns.vocabulary`. What comes out are class probabilities, or values in original units.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.encode = _Encode(model)
        self.members = nn.ModuleList(_Member(model, i) for i in range(len(model.members)))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        inputs = self.encode(numbers, codes)
        return torch.stack([member(*inputs) for member in self.members]).sum(0)


class _Encode(nn.Module):
    """The encoder: float32 [rows, numbers] and int64 [rows, embedded columns], as `table.encode` gives them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.features = model.encoder.features
        names = [feature.name for feature in self.features if feature.is_continuous]
        self.spans = [(names.index(span.later), names.index(span.earlier)) for span in model.encoder.spans]
        scalings = Scalings.of(model.encoder)
        for name in ("center", "scale", "log_center", "log_scale"):
            _keep(self, name, torch.from_numpy(getattr(scalings, name)))
        self.is_log = [bool(value) for value in scalings.is_log]
        for i, feature in enumerate(self.features):
            if feature.labels is not None and not feature.is_embedded:
                self.register_buffer(f"entries_{i}", torch.from_numpy(feature.labels.rows_of_entries()))

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        is_known = numbers.isfinite()
        values = torch.where(is_known, numbers, 0.0)
        others: list[Tensor] = []
        embedded: list[Tensor] = [codes[:, :0]]
        number = code = 0
        for place, feature in enumerate(self.features):
            if feature.is_continuous:
                others += self._beside(feature, values[:, number], is_known[:, number])
                number += 1
                continue
            if feature.is_embedded:
                embedded.append(codes[:, code : code + 1])
            else:
                others.append(self.get_buffer(f"entries_{place}")[codes[:, code]])
            code += 1
        scaled = self._scaled(*self._with_spans(values, is_known)) if number else numbers.float()
        return torch.cat([scaled, *others], dim=1), torch.cat(embedded, dim=1)

    @staticmethod
    def _beside(feature: Feature, seconds: Tensor, is_known: Tensor) -> list[Tensor]:
        """The columns [rows, 1] of numbers beside a feature's continuous one: parts of the date, what was missing."""
        columns = []
        for part in () if feature.moments is None else feature.moments.parts:
            angle = 2 * math.pi * share_of_cycle(part, seconds, torch.floor)
            columns += [torch.where(is_known, wave, 0.0) for wave in (angle.sin(), angle.cos())]
        columns += [~is_known] if feature.has_indicator else []
        return [column.float().unsqueeze(1) for column in columns]

    def _in_days(self, values: Tensor) -> Tensor:
        times = [feature.moments is not None for feature in self.features if feature.is_continuous]
        if not any(times):
            return values
        return values / torch.tensor([DAY_SECONDS if is_time else 1.0 for is_time in times], dtype=torch.float64)

    def _with_spans(self, values: Tensor, is_known: Tensor) -> tuple[Tensor, Tensor]:
        """Both with moments in days, and with a column for each span between two of them."""
        if not self.spans:
            return self._in_days(values), is_known
        later, earlier = (list(places) for places in zip(*self.spans, strict=True))
        between = (values[:, later].floor() - values[:, earlier].floor()) / DAY_SECONDS
        are_known = is_known[:, later] & is_known[:, earlier]
        return torch.cat([self._in_days(values), between], dim=1), torch.cat([is_known, are_known], dim=1)

    def _scaled(self, values: Tensor, is_known: Tensor) -> Tensor:
        center, scale = self.get_buffer("center"), self.get_buffer("scale")
        z = ((values / 4 - center / 4) / (scale / 4).clamp_min(SMALLEST)).clamp(-LARGEST, LARGEST)
        if any(self.is_log):
            logs = (z.asinh() - self.get_buffer("log_center")) / self.get_buffer("log_scale")
            z = torch.where(torch.tensor(self.is_log), logs, z)
        z = torch.where(is_known & (scale != 0), z, 0.0)
        return (z / (1 + (z / CLIP) ** 2).sqrt()).float()


class _Member(nn.Module):
    """One member's share of the prediction: the mean of its networks in original units, or of their probabilities."""

    def __init__(self, model: Model, number: int) -> None:
        super().__init__()
        member = model.members[number]
        # Not a submodule: its parameters are those of a network that was never trained.
        module = initialised(partial(build, model.encoder, model.target, member.network), seed=0)
        self.program = [MLPProgram(module)]
        self.share, self.is_classification = member.share, model.task == "classification"
        self.register_buffer("parameters_by_network", member.parameters)
        self.remembered = nn.ModuleList(_Remembered(each) for each in member.neighbours)
        _keep(self, "scale", torch.tensor(model.target.scale, dtype=torch.float64))
        _keep(self, "mean", torch.tensor(model.target.mean, dtype=torch.float64))
        self.is_bounded = bool(model.target.low)
        _keep(self, "low", torch.tensor(model.target.low, dtype=torch.float64))
        _keep(self, "high", torch.tensor(model.target.high, dtype=torch.float64))

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        (program,) = self.program
        flat = self.get_buffer("parameters_by_network")
        inputs = tuple(x.unsqueeze(0).expand(flat.shape[0], *x.shape) for x in (numbers, codes))
        if len(self.remembered):
            hidden = program.last_hidden(program.layout.views(flat), inputs)
            said = [each(seen) for each, seen in zip(self.remembered, hidden.unbind(0), strict=True)]
            return self.share * torch.stack(said).mean(0)
        outputs = program.forward(program.layout.views(flat), inputs, None, {}).double()
        if self.is_classification:
            return self.share * outputs.softmax(-1).mean(0)
        values = outputs * self.get_buffer("scale") + self.get_buffer("mean")
        if self.is_bounded:
            values = values.clamp(self.get_buffer("low"), self.get_buffer("high"))
        return self.share * values.mean(0)


class _Remembered(nn.Module):
    """`Neighbours.predict`, for all rows at once."""

    def __init__(self, remembered: Neighbours) -> None:
        super().__init__()
        self.reach, self.nearest = remembered.reach, remembered.nearest
        for name in ("hidden", "targets", "weights"):
            self.register_buffer(name, getattr(remembered, name))

    def forward(self, hidden: Tensor) -> Tensor:
        buffers = (self.get_buffer(name) for name in ("hidden", "targets", "weights"))
        kept = Neighbours(*buffers, reach=self.reach, nearest=self.nearest)
        return kept.mean(*nearest(hidden, kept.hidden, kept.nearest), kept.reach)


def _keep(module: nn.Module, name: str, value: Tensor) -> None:
    # A saved program with an empty tensor in it cannot be loaded (torch 2.13), and nobody reads one.
    if value.numel():
        module.register_buffer(name, value)
