"""Run a training step with fake tensors, which have a shape but no storage, and count what it would allocate.

Floating-point tensors are torch's fake tensors, so a model of any size can run forward and backward on a machine that
could not hold it. Integer tensors (token ids, masks, grids of pictures) stay real, because the models need their values
to place pictures. The model's and the trainer's own code runs, and its allocations are counted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

_INDEXING = (Tensor.__getitem__, Tensor.__setitem__)
_MAKING = frozenset(
    {
        torch.ops.aten.empty.memory_format,
        torch.ops.aten.empty_strided.default,
        torch.ops.aten.zeros.default,
        torch.ops.aten.ones.default,
        torch.ops.aten.full.default,
        torch.ops.aten.rand.default,
        torch.ops.aten.randn.default,
    }
)
"""Operations that create tensors. They are not caught as torch functions, because a function's own backward runs
outside of those.
"""
_READING: dict[Any, Callable[[Tensor], Any]] = {
    Tensor.item: lambda tensor: _number(tensor),  # noqa: PLW0108
    Tensor.tolist: lambda tensor: torch.ones(tensor.shape, dtype=tensor.dtype).tolist(),
    Tensor.__bool__: lambda tensor: True,
    Tensor.__float__: lambda tensor: 1.0,
    Tensor.__int__: lambda tensor: 1,
    Tensor.__index__: lambda tensor: 1,
}
"""Operations that read a tensor's value; for a fake tensor they return 1."""


def _number(tensor: Tensor) -> float | int | bool:
    return 1.0 if tensor.is_floating_point() else (True if tensor.dtype is torch.bool else 1)


class Shapes:
    """The fake tensors of one run; they cannot be mixed with those of another."""

    def __init__(self, mode: FakeTensorMode | None = None) -> None:
        self._mode = mode or FakeTensorMode(allow_non_fake_inputs=True)

    @classmethod
    def of(cls, model: torch.nn.Module) -> Shapes:
        """Return the fake tensors that a model's weights belong to."""
        return cls(next(one.fake_mode for one in model.parameters() if isinstance(one, FakeTensor)))

    def tensor(self, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return a tensor of the same shape, on the CPU, with no storage."""
        with self._mode:
            return torch.empty(like.shape, dtype=dtype or like.dtype, device="cpu")

    def empty_out(self, model: torch.nn.Module) -> None:
        """Replace a model's weights and buffers (real, or on the meta device) by fake ones, in place."""
        replaced: dict[int, torch.nn.Parameter] = {}
        for module in model.modules():
            module._apply = partial(_stay, module)  # type: ignore[method-assign]
            for name, parameter in module._parameters.items():
                if parameter is None or isinstance(parameter, FakeTensor):
                    continue
                if id(parameter) not in replaced:  # tied weights stay tied
                    replaced[id(parameter)] = torch.nn.Parameter(self.tensor(parameter), parameter.requires_grad)
                module._parameters[name] = replaced[id(parameter)]
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.is_floating_point():
                    module._buffers[name] = self.tensor(buffer)

    def inputs(self, batch: Any) -> Any:
        """Return a batch whose floating-point tensors are fake; the others are unchanged."""
        return tree_map_only(
            Tensor, lambda tensor: self.tensor(tensor) if tensor.is_floating_point() else tensor, batch
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Allow code to index by masks and to read values of fake tensors within the context."""
        with _Reading(), _Making(self._mode):
            yield


def _stay(module: torch.nn.Module, *_: Any, **__: Any) -> torch.nn.Module:
    """Return the module; replaces moving it to a device or number type, as a fake one has nothing to move."""
    return module


class _Reading(TorchFunctionMode):
    """Make the few operations work whose result depends on values."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _INDEXING:
            args = (args[0], _as_places(args[1]), *args[2:])
        elif func is torch.equal and any(isinstance(one, FakeTensor) for one in args):
            return False
        elif func in _READING and isinstance(args[0], FakeTensor):
            return _READING[func](args[0])
        return func(*args, **(kwargs or {}))


class _Making(TorchDispatchMode):
    """Make new floating-point tensors fake; integer tensors stay real."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self._mode = mode

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _MAKING:
            with self._mode:
                made = func(*args, **(kwargs or {}))
            if made.is_floating_point():
                return made
        return func(*args, **(kwargs or {}))


def _as_places(index: Any) -> Any:
    """Return an index whose masks are turned into positions, because their number decides a shape."""
    parts = index if isinstance(index, tuple) else (index,)
    found: list[Any] = []
    for part in parts:
        if isinstance(part, Tensor) and part.dtype is torch.bool and not isinstance(part, FakeTensor) and part.dim():
            found.extend(part.nonzero(as_tuple=True))
        else:
            found.append(part)
    return tuple(found) if isinstance(index, tuple) or len(found) > 1 else found[0]


class Allocations(TorchDispatchMode):
    """Count the bytes of tensors, fake or real, that operations have made and that are still alive.

    Storage that several tensors share is counted once, as long as one of them is alive.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        """Bytes that are allocated now."""
        self.peak = 0
        """Largest number of bytes that were allocated."""
        self._held: dict[int, weakref.ref[Any]] = {}
        self._sizes: dict[int, int] = {}

    def ignore(self, values: Any) -> None:
        """Leave these tensors out of the count, as long as they live."""
        for value in tree_leaves(values):
            if isinstance(value, Tensor):
                self._count(value, counted=False)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor):
                self._count(value)
        return made

    def _count(self, tensor: Tensor, *, counted: bool = True) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held:
            if not counted:
                self.now -= self._sizes.pop(key, 0)
            return

        def gone(_: Any) -> None:
            self.now -= self._sizes.pop(key, 0)
            del self._held[key]

        self._held[key] = weakref.ref(storage, gone)
        if not counted:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
