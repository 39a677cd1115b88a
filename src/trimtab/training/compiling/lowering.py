"""Lowering: a traced step made into a shared library by torch's compiler, as shortly as a step allows.

Imports torch's compiler, which takes a second: import it where it is needed. Knows no programs and no folder of steps.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sympy
import torch
import torch._inductor
from torch._guards import detect_fake_mode
from torch._inductor import compile_fx, config, sizevars
from torch._inductor.codegen.cpp_wrapper_cpu import CppWrapperCpu
from torch._inductor.virtualized import V
from torch.utils._sympy.functions import FloorDiv, ModularIndexing

from trimtab.errors import first_line
from trimtab.training.compiling.traced import TracedStep

log = logging.getLogger(__name__)
# The wrapper around the kernels is long and runs once a step: compiling it without optimisation costs nothing there.
_OPTIONS = {"aot_inductor.compile_wrapper_opt_level": "O0", "max_autotune": False}
# What is left out where a step is lowered directly, in seconds of a core on this project's machine (RESULTS.md): trying
# out each set of vector instructions that the processor names (12, once for each installation), headers compiled ahead
# (10 and 290 MB for each installation, 2 less for each step), names of source lines for debuggers (1).
_SHORT = {"cpp.vec_isa_ok": True, "aot_inductor.precompile_headers": False, "aot_inductor.enable_line_tables": False,
          "size_asserts": False, "cpp_wrapper": True}  # fmt: skip

INDICES = "simplify_index_in_vec_range"


def lower(step: TracedStep, library: Path) -> None:
    """Compile `step` into `library`."""
    options = {**_OPTIONS, "aot_inductor.output_path": str(library)}
    if step.is_functional:
        try:
            lower_directly(step, options)
            return
        except Exception as error:  # of any kind: another torch has other parts, another g++ other instructions
            log.info("A step is compiled the long way: %s", first_line(error))
    torch._inductor.aot_compile(step.module, step.fakes, options=options)


def lower_directly(step: TracedStep, options: dict) -> None:
    """What `torch._inductor.aot_compile` does, without tracing a step twice more that is functional already.

    Half of what torch's compiler computes before it generates code is that.
    """
    from torch._export.utils import _compiling_state_context

    with (
        _compiling_state_context(),
        V.set_aot_compilation(True),
        config.patch({**options, **_SHORT}),
        config.patch(compile_fx.get_cpp_wrapper_config()),
        V.set_fake_mode(detect_fake_mode(step.fakes)),
        V.set_real_inputs(step.fakes),
        _replaced(CppWrapperCpu, "generate_input_output_runtime_checks", _without_checks),
        _replaced(sizevars, INDICES, _if_need_be(getattr(sizevars, INDICES))),
    ):
        module = compile_fx._recursive_joint_graph_passes(step.module, input_device=torch.device("cpu"))
        (output,) = module.graph.find_nodes(op="output")
        output.meta["user_visible_output_idxs"] = []
        compile_fx.compile_fx_inner(module, step.fakes, is_inference=True, cpp_wrapper=True)


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _if_need_be(simplified: Callable[..., sympy.Expr]) -> Callable[..., sympy.Expr]:
    """`simplified` without simplifying what is plain: torch has sympy simplify each index before it asks for its
    stride, which takes a tenth of compiling; of a sum of products, as nearly all are, there is nothing to simplify."""

    @cache
    def simplified_if_need_be(index: sympy.Expr, variable: sympy.Symbol, length: int) -> sympy.Expr:
        is_plain = not index.has(FloorDiv, ModularIndexing, sympy.Rel) and index.is_polynomial(*index.free_symbols)
        return index if is_plain else simplified(index, variable, length)

    return simplified_if_need_be


def _without_checks(wrapper: CppWrapperCpu) -> None:
    """No code that would look at each input at each call, most of the wrapper, which torch leaves switched off; who
    binds a step to tensors looks at them once."""
    wrapper.prefix.splice_aot("static void __check_inputs_outputs(AtenTensorHandle*, AtenTensorHandle*) {}\n")
