"""See what no mode sees: custom functions being applied or compiled, warnings, and programs about to fall silent."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn

import torch
from torch.autograd import Function, forward_ad

from .. import FOLDER
from ..source.names import parts
from ..source.tracebacks import program_frames
from ..tensors.handles import next_sequence_nr, tensors_in
from .calls import Call, Calls
from .mode import ForwardMode

_C: Any = torch._C


@contextmanager
def observe_custom_functions(calls: Calls, mode: ForwardMode, filename: str) -> Iterator[None]:
    """Note the calls that no mode sees: of the program's own functions, and of scripted ones, while this lasts."""
    apply = Function.__dict__["apply"]
    scripted = [(kind, kind.__call__) for kind in (_C.ScriptFunction, _C.ScriptMethod)]

    def noted(function: Any, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        first = next_sequence_nr()
        out = run(*args, **kwargs)
        last = next_sequence_nr()
        if last != first and not mode.paused:
            code, offset = next(program_frames(sys._getframe(2), filename), (None, 0))
            with torch._C.DisableTorchFunction():
                site = calls.site(code, offset, mode.modules[-1] if mode.modules else "")
                calls.add(Call(first, last, site, function, out, (*args, *kwargs.values())))
        return out

    def seen_apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:
        return noted(cls, apply.__get__(None, cls), args, kwargs)

    def seen_script(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            mode.may_write([*_memory_of((*args, *kwargs.values()))])
            return noted(self, original.__get__(self), args, kwargs)

        return call

    Function.apply = classmethod(seen_apply)  # type: ignore[assignment]
    for kind, original in scripted:
        kind.__call__ = seen_script(original)
    try:
        yield
    finally:
        Function.apply = apply  # type: ignore[method-assign]
        for kind, original in scripted:
            kind.__call__ = original


def _memory_of(given: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors that a function is given, and those of modules."""
    for each in given:
        if isinstance(each, torch.nn.Module):
            yield from (part for _, part in parts("", each) if isinstance(part, torch.Tensor))
        else:
            yield from (part for part in tensors_in(each) if isinstance(part, torch.Tensor))


@contextmanager
def observe_set_(mode: ForwardMode) -> Iterator[None]:
    """Note that ``Tensor.set_`` gives a tensor other memory: torch tells no mode of it."""
    original = torch.Tensor.set_

    def set_(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if mode.paused:
            return original(self, *args, **kwargs)
        with torch._C.DisableTorchFunction():
            return mode.write(original, (self, *args), kwargs)  # type: ignore[no-any-return]

    torch.Tensor.set_ = set_  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del torch.Tensor.set_  # what it inherits comes to light again


@contextmanager
def pause_during_jit_trace(mode: ForwardMode) -> Iterator[None]:
    """Look away while ``torch.jit.trace`` runs a function: a trace takes what is looked at for a part of what it traces."""
    originals: dict[str, Callable[..., Any]] = {name: getattr(torch.jit, name) for name in ("trace", "trace_module")}

    def unseen(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def trace(*args: Any, **kwargs: Any) -> Any:
            mode.may_write([*_memory_of((*args, *kwargs.values()))])
            mode.paused += 1
            try:
                return original(*args, **kwargs)
            finally:
                mode.paused -= 1

        return trace

    for name, original in originals.items():
        setattr(torch.jit, name, unseen(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch.jit, name, original)


@contextmanager
def force_eager_compile() -> Iterator[None]:
    """Let ``torch.compile`` return functions that run as they are written: a compiler would trace the recorder too.

    The result is the same; nothing of dynamo is loaded for a program that does not ask for it.
    """
    original = torch.compile

    def compile(model: Any = None, **options: Any) -> Any:
        if model is None:
            return lambda function: compile(function, **options)
        torch.compiler.set_stance("force_eager")
        return original(model, **options)

    torch.compile = compile
    try:
        yield
    finally:
        torch.compile = original


@contextmanager
def observe_forward_ad(notice: Callable[[], None]) -> Iterator[None]:
    """Call ``notice`` when the program begins to compute derivatives forward."""
    enter: Callable[[], Any] = forward_ad.enter_dual_level

    def noticed() -> Any:
        notice()
        return enter()

    forward_ad.enter_dual_level = noticed
    try:
        yield
    finally:
        forward_ad.enter_dual_level = enter


@contextmanager
def observe_array_tensors(notice: Callable[[torch.Tensor], None]) -> Iterator[None]:
    """Call ``notice`` with each tensor that is made on the memory of an array, while this lasts."""
    originals: dict[str, Any] = {name: getattr(torch, name) for name in ("from_numpy", "as_tensor", "frombuffer")}

    def noticing(original: Any) -> Any:
        @wraps(original)
        def make(*args: Any, **kwargs: Any) -> Any:
            out = original(*args, **kwargs)
            with torch._C.DisableTorchFunction():
                if out.layout is torch.strided and not out.untyped_storage().resizable():
                    notice(out)
            return out

        return make

    for name, original in originals.items():
        setattr(torch, name, noticing(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(torch, name, original)


@contextmanager
def send_before_silence(tell: Callable[[], None], finish: Callable[[], None]) -> Iterator[None]:
    """Call ``tell`` when the program goes to sleep, since it may be stopped before it wakes; ``finish`` when it ends itself."""
    sleep, leave, abort, kill = time.sleep, os._exit, os.abort, os.kill

    def told_sleep(seconds: Any, /) -> None:
        with torch._C.DisableTorchFunction():
            tell()
        sleep(seconds)

    def told_exit(status: int) -> NoReturn:
        finish()
        leave(status)

    def told_abort() -> NoReturn:
        finish()
        abort()

    def told_kill(pid: int, number: int, /) -> None:
        if pid == os.getpid() and number == signal.SIGKILL:
            finish()
        kill(pid, number)

    time.sleep, os._exit, os.abort, os.kill = told_sleep, told_exit, told_abort, told_kill
    try:
        yield
    finally:
        time.sleep, os._exit, os.abort, os.kill = sleep, leave, abort, kill


@contextmanager
def show_warnings_at_program_lines(filename: str, module: dict[str, Any]) -> Iterator[None]:
    """Have warnings that would name the recorder's own lines name the program's, in the file and module given.

    Such a warning is warned anew at the program's line, and there the program's own filters decide about it.
    """
    shown: Any = warnings
    original = shown._showwarnmsg

    def show(message: Any) -> None:
        place = next(program_frames(sys._getframe(1), filename), None) if message.filename.startswith(FOLDER) else None
        if place is None:
            original(message)
            return
        for loaded in [loaded for loaded in sys.modules.values() if getattr(loaded, "__file__", None) == message.filename]:
            loaded.__dict__.pop("__warningregistry__", None)  # else the next one would be held for this one again
        shown.onceregistry.pop((str(message.message), message.category), None)
        line = list(place[0].co_positions())[place[1] // 2][0] or 1
        registry = module.setdefault("__warningregistry__", {})
        warnings.warn_explicit(message.message, message.category, filename, line, module["__name__"], registry)

    shown._showwarnmsg = show
    try:
        yield
    finally:
        shown._showwarnmsg = original
