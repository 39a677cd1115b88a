"""Tracing: a step written down as a graph of torch's own operations, for any number of lanes, rows, steps and batches.

Imports torch's compiler, which takes a second: import it where it is needed. Knows no files and no compiled code.
"""

from torch import SymInt, Tensor, fx
from torch._dynamo.source import ConstantSource
from torch._inductor.decomposition import select_decomp_table
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from trimtab.training.compiling.functional import Functional, NotFunctionalError
from trimtab.training.compiling.traced import TracedStep
from trimtab.training.programs.operands import Signature, example
from trimtab.training.programs.program import Program
from trimtab.training.programs.step import Step
from trimtab.training.programs.vmap_program import VmapProgram
from trimtab.training.rules.objective import FormulaLoss
from trimtab.training.rules.update import UpdateRule

# Dimensions of a tensor that may have any size: of data the rows, of a plan the steps, of everything else the lanes.
_LANES, _STEPS, _BATCH = "lanes", "steps", "batch"
_DIMENSIONS = {
    "rows": (_LANES, _STEPS, _BATCH),
    "rates": (_LANES, _STEPS),
    "thresholds": (_LANES, _STEPS),
    "keys": (_LANES, _STEPS),
    "place": (),
}
_OF_DATA = ("inputs", "targets", "weights")


def traced(program: Program, signature: Signature) -> TracedStep:
    """The step of `program` over tensors like `signature`, for every lane there can be.

    Raises RuntimeError where the module takes other sizes only than those of `signature`.
    """
    try:
        return _traced(program, signature, is_functional=True)
    except NotFunctionalError:
        return _traced(program, signature, is_functional=False)


def _traced(program: Program, signature: Signature, *, is_functional: bool) -> TracedStep:
    program = program.for_another_thread()
    if isinstance(program, VmapProgram):
        program.falls_back = False
    objective = FormulaLoss(signature.task, signature.is_of_logit)
    step = Step(program, objective, signature.features, UpdateRule(keeps_room=False))
    given = example(program, signature)
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    dynamic = {name: _dynamic(name, is_fixed=signature.fixed is not None) for name in given.tensors()}
    fakes = {name: _fake(mode, name, value, dynamic[name]) for name, value in given.tensors().items()}

    def run(*tensors: Tensor) -> tuple:
        now = given.replaced(dict(zip(fakes, tensors, strict=True)))
        step(now.state, now.coefficients.for_any_lane(), now.data, now.plan, now.place)
        now.place.add_(1)
        return ()

    def run_functional(*tensors: Tensor) -> tuple:
        with Functional() as changes:
            run(*tensors)
        changes.write_back(tensors)
        return ()

    if is_functional:
        table = select_decomp_table()
        module = make_fx(run_functional, tracing_mode="symbolic", decomposition_table=table)(*fakes.values())
        module.graph.eliminate_dead_code()
    else:
        module = make_fx(run, tracing_mode="symbolic")(*fakes.values())
    _check_any_size(fakes, dynamic)
    used = _without_unused_inputs(module)
    kept = {name: fake for (name, fake), is_used in zip(fakes.items(), used, strict=True) if is_used}
    strides = tuple(tuple(_known(stride) for stride in fake.stride()) for fake in kept.values())
    return TracedStep(module, tuple(kept.values()), tuple(kept), strides, is_functional)


def _known(stride: int | SymInt) -> int | None:
    """A stride that compiled code takes for granted, or None: it reads what is symbolic from the tensor itself."""
    return stride if isinstance(stride, int) else stride.node.maybe_as_int()


def _dynamic(name: str, *, is_fixed: bool) -> tuple[int, ...]:
    """Which dimensions of a tensor may have any size."""
    if name.partition(".")[0] in _OF_DATA:
        return (0,)
    sizes = _DIMENSIONS.get(name, (_LANES,))
    return tuple(i for i, size in enumerate(sizes) if size == _STEPS or not is_fixed)


def _check_any_size(fakes: dict[str, Tensor], dynamic: dict[str, tuple[int, ...]]) -> None:
    """Raise where the step turned out to be right for the example's sizes alone."""
    for name, fake in fakes.items():
        for i in dynamic[name]:
            size = fake.shape[i]
            if isinstance(size, int) or size.node.maybe_as_int() is not None:
                raise RuntimeError(f"the module fixes dimension {i} of {name} to {int(size)}")


def _without_unused_inputs(module: fx.GraphModule) -> list[bool]:
    """Take the inputs that nothing reads out of the graph, for each costs time at each call; which were used."""
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    used = [bool(node.users) for node in inputs]
    for node, is_used in zip(inputs, used, strict=True):
        if not is_used:
            module.graph.erase_node(node)
    module.recompile()
    return used


def _fake(mode: FakeTensorMode, name: str, value: Tensor, dynamic: tuple[int, ...]) -> Tensor:
    sizes = [DimDynamic.DYNAMIC if i in dynamic else DimDynamic.STATIC for i in range(value.dim())]
    context = StatelessSymbolicContext(dynamic_sizes=sizes)
    return mode.from_tensor(value, symbolic_context=context, source=ConstantSource(name.replace(".", "_")))
