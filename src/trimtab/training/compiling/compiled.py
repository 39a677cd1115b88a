"""CompiledStep: a step that was compiled to a shared library, loaded and called without holding Python's lock.

Speaks the C interface that torch declares for its ahead-of-time compiled models (`aoti_runtime/interface.h`, and
`aoti_torch/c/shim.h` for tensors). torch's own loader keeps the lock while a step runs, so that threads would take
turns; called through ctypes they run side by side. Knows addresses and sizes of tensors, and nothing of what they mean.
"""

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

_DTYPES = {torch.float32: 6, torch.float64: 7, torch.int32: 3, torch.int64: 4, torch.bool: 11}  # c10/core/ScalarType.h
_CPU = 0  # c10/core/DeviceType.h


class CompiledStep:
    """A loaded program that reads and writes the tensors it is bound to; threads may run it at once."""

    def __init__(self, library: Path, *, threads: int = 1) -> None:
        torch_library = next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))
        self._torch = ctypes.CDLL(str(torch_library))
        self._library = ctypes.CDLL(str(library))
        self._container = ctypes.c_void_p()
        create = self._library.AOTInductorModelContainerCreateWithDevice
        _check(create(ctypes.byref(self._container), ctypes.c_size_t(threads), b"cpu", None))
        self.inputs = self._count("Inputs")
        if self._count("Outputs"):
            raise RuntimeError("A compiled step writes in place and returns nothing; this library returns tensors.")
        self._run = self._library.AOTInductorModelContainerRun
        self._run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p,
                              ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p]  # fmt: skip

    def _count(self, what: str) -> int:
        number = ctypes.c_size_t()
        _check(getattr(self._library, f"AOTInductorModelContainerGetNum{what}")(self._container, ctypes.byref(number)))
        return number.value

    def bound_to(self, tensors: Sequence[Tensor]) -> "BoundStep":
        """The program over these tensors, in the order in which it was compiled; they must outlive every call."""
        if len(tensors) != self.inputs:
            raise RuntimeError(f"The compiled step takes {self.inputs} tensors, not {len(tensors)}.")
        return BoundStep(self, tensors)

    def __del__(self) -> None:
        if getattr(self, "_container", None):
            self._library.AOTInductorModelContainerDelete(self._container)


class BoundStep:
    """A compiled step and the tensors it works on."""

    def __init__(self, step: CompiledStep, tensors: Sequence[Tensor]) -> None:
        self._step, self._tensors = step, tensors  # alive as long as their handles are
        self._make_handle = step._torch.aoti_torch_create_tensor_from_blob
        self._make_handle.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                                      ctypes.c_int32, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p]  # fmt: skip
        self._handles = [self._handle(tensor) for tensor in tensors]
        self._given = (ctypes.c_void_p * len(tensors))()
        self._none = (ctypes.c_void_p * 1)()
        start, size = ctypes.addressof(self._given), ctypes.sizeof(ctypes.c_void_p)
        self._places = [(handle, start + size * i) for i, handle in enumerate(self._handles)]
        self._copy_handle = step._torch.aoti_torch_new_tensor_handle
        self._copy_handle.argtypes = [ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, place: int = 0) -> None:
        """Run once; the program counts its places itself. It takes its handles with it, so that each call gives it new
        ones."""
        copy = self._copy_handle
        for handle, place in self._places:
            copy(handle, place)
        step = self._step
        _check(step._run(step._container, self._given, len(self._given), self._none, 0, None, None))

    def _handle(self, tensor: Tensor) -> ctypes.c_void_p:
        handle = ctypes.c_void_p()
        _check(
            self._make_handle(
                tensor.data_ptr(), tensor.dim(), _numbers(tensor.shape), _numbers(tensor.stride()), 0,
                _DTYPES[tensor.dtype], _CPU, 0, ctypes.byref(handle),
            )
        )  # fmt: skip
        return handle

    def __del__(self) -> None:
        for handle in getattr(self, "_handles", ()):
            self._step._torch.aoti_torch_delete_tensor_object(handle)


@lru_cache(maxsize=4096)
def _numbers(values: tuple[int, ...]) -> ctypes.Array:
    return (ctypes.c_int64 * len(values))(*values)


def _check(code: int) -> None:
    if code != 0:
        raise RuntimeError("A call of torch's ahead-of-time interface failed; the reason is on standard error.")
