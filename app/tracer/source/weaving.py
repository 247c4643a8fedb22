"""Run the body of a Python function of PyTorch inside a context of the recorder, without an additional frame.

A wrapper would add a frame between the frames of the program. The program would see it in ``f_back`` and count it in
``sys._getframe``. A woven function has the frame, the file, the lines and the names of the original instead.
"""

from __future__ import annotations
import __future__

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, reduce
from operator import or_
from types import CodeType, FunctionType
from typing import Any, Protocol

_OBSERVER = "\0observer"
"""The constant in the woven code that is replaced by the observer."""


class CallObserver(Protocol):
    """Provides a context around each call of a woven function."""

    def around(self, *arguments: Any) -> AbstractContextManager[Any]:
        """Return the context in which the body runs, given the values of all parameters in order."""

    def returned(self, value: Any) -> Any:
        """Return the value that the call will return, given the original value. This runs inside the context."""


@contextmanager
def weave_method(owner: type, name: str, observer: CallObserver) -> Iterator[None]:
    """Run a method inside ``with observer.around(…)`` while this context lasts.

    The code of the method is replaced if possible, not the attribute: a new ``__call__`` would be written to every subclass.
    """
    original = owner.__dict__[name]
    made = woven(original, observer)
    code = original.__code__
    in_place = made.__closure__ is original.__closure__  # a wrapper has a closure of its own
    if in_place:
        original.__code__ = made.__code__
    else:
        setattr(owner, name, made)
    try:
        yield
    finally:
        if in_place:
            original.__code__ = code
        else:
            setattr(owner, name, original)


def woven(function: Callable[..., Any], observer: CallObserver) -> FunctionType:
    """Return a copy of a Python function whose body runs inside ``with observer.around(…)``.

    Raises ``OSError`` if the source of the function cannot be read.
    """
    assert isinstance(function, FunctionType)
    if function.__code__.co_freevars not in ((), ("__class__",)):
        return _wrapped(function, observer)
    code = _woven_code(function)
    code = code.replace(co_consts=tuple(observer if each == _OBSERVER else each for each in code.co_consts))
    made = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__, made.__doc__ = function.__annotations__, function.__doc__
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__
    made.__dict__.update(function.__dict__)
    return made


def _wrapped(function: FunctionType, observer: CallObserver) -> FunctionType:
    """Return a wrapper of a closure, which cannot be woven. The wrapper has a frame of its own.

    The closure must have one parameter, then ``*args`` and ``**kwargs``.
    """

    def call(first: Any, /, *args: Any, **kwargs: Any) -> Any:
        with observer.around(first, args, kwargs):
            return observer.returned(function(first, *args, **kwargs))

    return call  # type: ignore[return-value]


@cache
def _woven_code(function: FunctionType) -> CodeType:
    original = function.__code__
    lines, first = inspect.getsourcelines(function)
    inside = lines[0][:1].isspace()
    text = "\n" * (first - 2) + "class _:\n" + "".join(lines) if inside else "\n" * (first - 1) + "".join(lines)
    tree = ast.parse(text, original.co_filename)
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function.__name__)
    _Returns().visit_body(definition)
    start = definition.body[0]
    of = definition.args
    names = [each.arg for each in (*of.posonlyargs, *of.args, of.vararg, *of.kwonlyargs, of.kwarg) if each is not None]
    around = _call("around", [ast.Name(name, ast.Load()) for name in names])
    body: ast.stmt = ast.With([ast.withitem(around)], definition.body)
    definition.body = [ast.fix_missing_locations(ast.copy_location(body, start))]
    code: CodeType = compile(tree, original.co_filename, "exec", original.co_flags & _FUTURES, dont_inherit=True)
    for name in ("_", function.__name__) if inside else (function.__name__,):
        codes = [each for each in code.co_consts if isinstance(each, CodeType)]
        code = next(each for each in codes if each.co_name == name)
    assert code.co_freevars == original.co_freevars
    return code.replace(co_qualname=original.co_qualname)


_FUTURES = reduce(or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))
"""The flags of code objects for the features of ``__future__`` that their module has imported."""


class _Returns(ast.NodeTransformer):
    """Pass each returned value of a function to the observer."""

    def visit_body(self, definition: ast.FunctionDef) -> None:
        """Change the ``return`` statements of a function, but not those of functions inside it."""
        definition.body = [self.visit(statement) for statement in definition.body]

    def visit_Return(self, node: ast.Return) -> ast.Return:
        if node.value is not None:
            node.value = ast.fix_missing_locations(ast.copy_location(_call("returned", [node.value]), node.value))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node


def _call(method: str, arguments: list[ast.expr]) -> ast.Call:
    return ast.Call(ast.Attribute(ast.Constant(_OBSERVER), method, ast.Load()), arguments, [])
