"""Draw random programs that use autograd in many ways. Their syntax is valid, but torch may refuse some of their operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = ((), (3,), (2, 3), (3, 2), (2, 2))

ALIKE = (
    "{a}.sin()", "torch.tanh({a})", "{a} * 1.5", "-{a}", "{a}.relu()", "{a} ** 2", "torch.sigmoid({a})", "{a}.clone()",
    "{a}.exp().log1p()", "({a} + 4.0).sqrt()", "{a}.cumsum(-1)", "{a}.softmax(-1)", "{a}.clamp(-1.0, 1.0)", "{a}.abs()",
    "torch.nn.functional.gelu({a})", "block({a})", "Cubed.apply({a})", "{a}.detach()", "{a}.detach() * {a}", "{a}.flip(0)",
    "{a}.roll(1, 0)", "torch.where({a} > 0, {a}, {a} * 0.1)", "checkpoint(block, {a}, use_reentrant=False)",
)  # fmt: skip
"""Expressions that keep the shape. torch refuses some of them for a scalar."""
TWO = (
    "{a} + {b}", "{a} * {b}", "{a} - {b}", "{a} / ({b}.abs() + 1.0)", "torch.maximum({a}, {b})", "torch.lerp({a}, {b}, 0.3)",
    "torch.where({a} > {b}, {a}, {b})", "torch.addcmul({a}, {b}, {b})", "torch.hypot({a}, {b})", "{a} * {b}.sum()",
)  # fmt: skip
"""Expressions of two tensors of the same shape."""
LESS = ("{a}.sum(0)", "{a}.mean(0)", "{a}.amax(0)", "{a}.prod(0)", "{a}.logsumexp(0)", "{a}[0]", "{a}.select(0, -1)")
"""Expressions that remove the first dimension."""
VIEWS = (
    "{a}.view({shape})",
    "{a}[:]",
    "{a}.view_as({a})",
    "{a}.t().t()",
    "{a}.reshape(-1).view({shape})",
    "{a}.expand({shape})",
)
IN_PLACE = (
    "{a}.mul_(0.5)", "{a}.add_({b})", "{a} += {b}", "{a} *= 2.0", "{a}.copy_({b})", "{a}.zero_()", "{a}[0] = 0.5",
    "{a}[0] = {b}[0]", "{a}[0].mul_(3.0)", "{a}[:1].add_({b}[:1])", "{a}.t()[0].mul_(0.5)", "{a}.relu_()",
    "{a}.view(-1)[0].add_(1.0)", "torch.mul({b}, 2.0, out={a})", "{a}.detach().mul_(0.9)", "{a}.data.mul_(0.9)",
    "torch.tanh_({a})",
)  # fmt: skip
SEVERAL = (
    "{p}, {q} = {a}.unbind(0)", "{p}, {q} = {a}.sort(-1)[0].unbind(0)", "{p}, {q} = (part[0] for part in {a}.split(1))",
    "{p}, {q} = {a}.chunk(2)[1][0], {a}.chunk(2)[0][0]", "{p}, {q} = torch.std_mean({a}, 0)",
    "{p}, {q} = {a}.max(0)[0], {a}.topk(1, 0).values[0]", "{p}, {q} = Both.apply({a})",
)  # fmt: skip
"""Statements that split a tensor whose first dimension has size 2 into two tensors without that dimension."""
BACKWARD = (
    "{a}.sum().backward()", "{a}.sum().backward(retain_graph=True)", "{a}.backward(torch.ones_like({a}))",
    "torch.autograd.backward([{a}.sum(), {b}.mean()])", "{a}.sum().backward(inputs=[{leaf}])",
    "({a} * {b}).mean().backward(retain_graph=True)", "{a}.backward(torch.full_like({a}, 0.5), retain_graph=True)",
    "{a}.sum().backward(create_graph=True)",
)  # fmt: skip
GRAD = (
    "torch.autograd.grad({a}.sum(), {leaf}, retain_graph=True, allow_unused=True, materialize_grads=True)[0]",
    "torch.autograd.grad({a}.sum(), {leaf}, create_graph=True, allow_unused=True, materialize_grads=True)[0]",
    "torch.autograd.grad({a}, [{leaf}], torch.ones_like({a}), retain_graph=True)[0]",
)
"""Expressions for a gradient of the leaf's shape."""

HEAD = """\
import torch
from torch.utils.checkpoint import checkpoint
class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x ** 3
    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient
class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x[0] * 2, x[1] * 3
    @staticmethod
    def backward(ctx, first, second):
        return torch.stack([first * 2, second * 3])
def block(t):
    u = torch.tanh(t)
    return u * t
"""


@dataclass
class _Writer:
    """A program under construction: its lines, and its variables with their shapes."""

    draw: Callable[..., object]
    lines: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    leaves: list[str] = field(default_factory=list)
    indent: str = ""
    fixed: bool = False
    """True inside a loop or a branch, where variables keep their shapes."""

    def one_of(self, items: object) -> str:
        found = self.draw(st.sampled_from(items))  # type: ignore[arg-type]
        assert isinstance(found, str)
        return found

    def write(self, line: str) -> None:
        self.lines.append(self.indent + line)

    def variable(self, shape: Shape | None = None) -> str:
        fitting = [name for name, has in self.shapes.items() if shape in (None, has)]
        return self.one_of(fitting)

    def target(self, shape: Shape) -> str:
        """Return a variable to assign to: a new one, or an existing one that may take this shape."""
        old = [name for name, has in self.shapes.items() if name not in self.leaves and (has == shape or not self.fixed)]
        if self.fixed:
            return self.one_of([name for name in old if self.shapes[name] == shape])
        name = self.one_of([f"v{len(self.shapes)}", *old])
        self.shapes[name] = shape
        return name

    # ------------------------------------------------------------------ statements

    def leaf(self) -> None:
        shape = self.draw(st.sampled_from(SHAPES))
        assert isinstance(shape, tuple)
        name = f"w{len(self.leaves)}"
        self.write(f"{name} = torch.randn({shape}, dtype=torch.float64, requires_grad=True)")
        self.shapes[name] = shape
        self.leaves.append(name)

    def compute(self) -> None:
        a = self.variable()
        shape = self.shapes[a]
        text = self.one_of(ALIKE + TWO + VIEWS).format(a=a, b=self.variable(shape), shape=shape)
        if not self.fixed or any(has == shape and name not in self.leaves for name, has in self.shapes.items()):
            self.write(f"{self.target(shape)} = {text}")
        else:
            self.write(text)

    def reduce(self) -> None:
        a = self.variable()
        shape = self.shapes[a]
        if self.fixed or not shape:
            self.compute()
        elif shape[0] == 2 and self.draw(st.booleans()):
            text = self.one_of(SEVERAL)
            p, q = self.target(shape[1:]), self.target(shape[1:])
            self.write(text.format(a=a, p=p, q=q))
        else:
            text = self.one_of(LESS).format(a=a)
            self.write(f"{self.target(shape[1:])} = {text}")

    def join(self) -> None:
        a = self.variable()
        shape = self.shapes[a]
        b = self.variable(shape)
        if self.fixed or len(shape) > 1:
            self.compute()
        else:
            self.write(f"{self.target((2, *shape))} = torch.stack([{a}, {b}])")

    def overwrite(self) -> None:
        others = [name for name in self.shapes if name not in self.leaves]
        a = self.one_of(others or list(self.shapes))
        self.write(self.one_of(IN_PLACE).format(a=a, b=self.variable(self.shapes[a])))

    def hook(self) -> None:
        self.write(f"if {(a := self.variable())}.requires_grad:")
        # grad_fn is read first: torch 2.13 crashes when a hook is put on a view whose base was written to
        hook = "{a}.grad_fn, {a}.register_hook(lambda gradient: gradient * 2)"
        self.write("    " + self.one_of((hook, "{a}.retain_grad()")).format(a=a))

    def backward(self) -> None:
        a = self.variable()
        text = self.one_of(BACKWARD).format(a=a, b=self.variable(self.shapes[a]), leaf=self.one_of(self.leaves))
        if self.draw(st.booleans()):
            self.write("try:")
            self.write(f"    {text}")
            self.write("except RuntimeError as error:")
            self.write("    print(error)")
        else:
            self.write(text)

    def grad(self) -> None:
        leaf = self.one_of(self.leaves)
        text = self.one_of(GRAD).format(a=self.variable(), leaf=leaf)
        self.write(text if self.fixed else f"{self.target(self.shapes[leaf])} = {text}")

    def update(self) -> None:
        leaf = self.one_of(self.leaves)
        self.write(f"if {leaf}.grad is not None:")
        self.write("    with torch.no_grad():")
        self.write(f"        {leaf} -= 0.1 * {leaf}.grad")
        self.write(f"    {leaf}.grad = None" if self.draw(st.booleans()) else f"    {leaf}.grad.zero_()")

    def block(self, head: str) -> None:
        self.write(head)
        was = self.indent, self.fixed
        self.indent, self.fixed = self.indent + "    ", True
        for _ in range(self.draw(st.integers(1, 3))):  # type: ignore[call-overload]
            self.statement(INNER)
        self.indent, self.fixed = was

    def loop(self) -> None:
        self.block(f"for i{len(self.indent)} in range({self.draw(st.integers(1, 4))}):")

    def branch(self) -> None:
        self.block(f"if {self.variable()}.sum() > 0:")
        if self.draw(st.booleans()):
            self.block("else:")

    def mode(self) -> None:
        self.block(self.one_of(("with torch.no_grad():", "with torch.enable_grad():", "with torch.set_grad_enabled(False):")))

    def statement(self, kinds: tuple[str, ...]) -> None:
        if len(self.indent) > 8:
            kinds = FLAT
        getattr(self, self.one_of(kinds))()


FLAT = ("compute", "compute", "compute", "overwrite")
INNER = (*FLAT, "hook", "backward", "update", "loop", "branch", "mode", "grad")
OUTER = ("compute", "compute", "reduce", "reduce", "join", "leaf", *INNER)


@st.composite
def programs(draw: Callable[..., object]) -> str:
    """Return a program with a leaf, a few statements, and a final backward."""
    writer = _Writer(draw)
    writer.leaf()
    writer.compute()
    for _ in range(draw(st.integers(1, 12))):  # type: ignore[call-overload]
        writer.statement(OUTER)
    writer.backward()
    return HEAD + "\n".join(writer.lines) + "\nprint(torch.rand(1).item())\n"
