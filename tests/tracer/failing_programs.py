"""Programs that fail in autograd, each with the code of its finding and with comments that mark the lines involved.

A program has two parts: a setup and, after ``# then``, the statements that fail, which a test can put under ``try``.
Comments mark lines:

- ``# stops``: the program stops here.
- ``# node``: the node that raised was created here.
- ``# raised``: a hook or a custom function raised here.
- ``# changed``: a saved tensor was changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent, indent

BEFORE = "import torch\nw = torch.tensor([1., 2.], requires_grad=True)\n(w * w).sum().backward()\n"
AFTER = "v = torch.tensor([3., 4.], requires_grad=True)\n(v * v * v).sum().backward()\nprint(v.grad.tolist())\n"


@dataclass(frozen=True)
class Case:
    """A program that fails, the code of its finding, and the op of the node that raised (``None`` if no node did)."""

    name: str
    code: str
    op: str | None
    text: str

    @property
    def program(self) -> str:
        """The program that the failure ends."""
        return BEFORE + dedent(self.text).lstrip("\n").replace("# then\n", "")

    @property
    def caught(self) -> str:
        """A version of the program that catches the exception and continues."""
        setup, _, fails = dedent(self.text).lstrip("\n").partition("# then\n")
        handler = "except BaseException as error:\n    print(type(error).__name__, error)\n"
        return BEFORE + setup + "try:\n" + indent(fails, "    ") + handler + AFTER


def marked(program: str, mark: str) -> int | None:
    """Return the number of the line with the comment ``# mark``, ``None`` if there is none."""
    for number, line in enumerate(program.split("\n"), 1):
        if mark in line.partition("# ")[2].split():
            return number
    return None


CASES = [
    Case(
        "an output changed in place",
        "saved-modified",
        "ExpBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()  # node
        # then
        y.add_(1)  # changed
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "an output changed by +=",
        "saved-modified",
        "SigmoidBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = torch.sigmoid(x)  # node
        z = y * 2
        # then
        y += 1  # changed
        z.sum().backward()  # stops
        """,
    ),
    Case(
        "a part of an input changed",
        "saved-modified",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x + 1
        z = y * y  # node
        # then
        y[0] = 5.0  # changed
        z.sum().backward()  # stops
        """,
    ),
    Case(
        "a constant changed",
        "saved-modified",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        c = torch.ones(3)
        z = x * c  # node
        # then
        c.mul_(2)  # changed
        z.sum().backward()  # stops
        """,
    ),
    Case(
        "a view of a saved tensor changed",
        "saved-modified",
        "PowBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        z = y ** 2  # node
        part = y.view(3)[1:]
        # then
        part.zero_()  # changed
        z.sum().backward()  # stops
        """,
    ),
    Case(
        "a parameter changed by an optimizer",
        "saved-modified",
        "MmBackward0",
        """
        a = torch.ones(2, 2, requires_grad=True)
        opt = torch.optim.SGD([a], lr=0.1)
        loss = (a @ a @ a).sum()  # node
        loss.backward(retain_graph=True)
        # then
        opt.step()  # changed
        loss.backward()  # stops
        """,
    ),
    Case(
        "a parameter changed by hand",
        "saved-modified",
        "MulBackward0",
        """
        a = torch.ones(2, requires_grad=True)
        loss = (a * a).sum()  # node
        loss.backward(retain_graph=True)
        # then
        with torch.no_grad():
            a -= a.grad  # changed
        loss.backward()  # stops
        """,
    ),
    Case(
        "a tensor saved by a custom function changed",
        "saved-modified",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors  # raised
                return g * b, g * a
        x = torch.ones(3, requires_grad=True)
        c = torch.ones(3)
        y = Scale.apply(x, c)  # node
        # then
        c.add_(1)  # changed
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a saved tensor changed in a function",
        "saved-modified",
        "TanhBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        def spoil(t):
            t.mul_(2)  # changed
        y = x.tanh()  # node
        # then
        spoil(y)
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "the first of two nodes fails",
        "saved-modified",
        "ExpBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()  # node
        z = x.exp()
        # then
        y.add_(1)  # changed
        (y + z).sum().backward()  # stops
        """,
    ),
    Case(
        "backward twice",
        "backward-twice",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        loss = (x * x).sum()  # node
        loss.backward()
        # then
        loss.backward()  # stops
        """,
    ),
    Case(
        "backward twice through a shared part",
        "backward-twice",
        "ExpBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x.exp()  # node
        a = y.sum()
        b = (y * 2).sum()
        a.backward()
        # then
        b.backward()  # stops
        """,
    ),
    Case(
        "grad twice",
        "backward-twice",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        loss = (x * x).sum()  # node
        g, = torch.autograd.grad(loss, x)
        # then
        torch.autograd.grad(loss, x)  # stops
        """,
    ),
    Case(
        "a state carried over from the previous step",
        "backward-twice",
        "TanhBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        h = torch.ones(3)
        # then
        for i in range(3):
            h = torch.tanh(h * x)  # node
            h.sum().backward()  # stops
        """,
    ),
    Case(
        "nothing requires grad",
        "no-grad-path",
        None,
        """
        y = torch.ones(3)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a detached root",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        (x * 2).sum().detach().backward()  # stops
        """,
    ),
    Case(
        "a root made under no_grad",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        with torch.no_grad():
            loss = (x * 2).sum()
        # then
        loss.backward()  # stops
        """,
    ),
    Case(
        "a root copied by torch.tensor",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        loss = (x * 2).sum()
        loss = torch.tensor(loss.item())
        # then
        loss.backward()  # stops
        """,
    ),
    Case(
        "backward in inference mode",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        with torch.inference_mode():
            (x * 2).sum().backward()  # stops
        """,
    ),
    Case(
        "twice through a function that is differentiable once",
        "no-grad-path",
        None,
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, g * a
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        g, = torch.autograd.grad(y.sum(), x, create_graph=True)
        # then
        g.sum().backward()  # stops
        """,
    ),
    Case(
        "grad of an unused tensor",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        z = torch.ones(2, requires_grad=True)
        # then
        torch.autograd.grad((x * 2).sum(), z)  # stops
        """,
    ),
    Case(
        "grad of a detached tensor",
        "no-grad-path",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        torch.autograd.grad((x * 2).sum(), x.detach())  # stops
        """,
    ),
    Case(
        "not a scalar",
        "not-scalar",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2
        # then
        y.backward()  # stops
        """,
    ),
    Case(
        "a gradient of a wrong shape",
        "backward-failed",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        (x * 2).sum().backward(torch.ones(2))  # stops
        """,
    ),
    Case(
        "a gradient of a wrong dtype",
        "backward-failed",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        (x * 2).sum().backward(torch.ones((), dtype=torch.complex64))  # stops
        """,
    ),
    Case(
        "a gradient that is not a tensor",
        "backward-failed",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        (x * 2).sum().backward('one')  # stops
        """,
    ),
    Case(
        "a hook that returns a number",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        y.register_hook(lambda g: 3)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that returns a wrong shape",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        y.register_hook(lambda g: torch.ones(5))
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that returns a wrong dtype",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        y.register_hook(lambda g: g.double())
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that raises",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        def hook(g):
            return g / 0 if g is None else {}['no']  # raised
        y = x * 2  # node
        y.register_hook(hook)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook of a leaf that raises",
        "backward-failed",
        "AccumulateGrad",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)  # node
        x.register_hook(hook)
        y = (x * 2).exp() + x.sin()
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook after accumulation that raises",
        "backward-failed",
        "AccumulateGrad",
        """
        def hook(p):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)  # node
        x.register_post_accumulate_grad_hook(hook)
        # then
        (x * 2).sum().backward()  # stops
        """,
    ),
    Case(
        "a hook of a leaf that raises in grad",
        "backward-failed",
        "AccumulateGrad",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)  # node
        x.register_hook(hook)
        y = (x * 2).exp() + x.sin()
        # then
        torch.autograd.grad(y.sum(), x)  # stops
        """,
    ),
    Case(
        "a hook of a node that returns a number",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        y.grad_fn.register_hook(lambda gi, go: 3)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook of a node that returns too few",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        y.grad_fn.register_hook(lambda gi, go: (gi[0],))
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that is interrupted",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        def hook(g):
            raise KeyboardInterrupt  # raised
        y = x * 2  # node
        y.register_hook(hook)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that runs out of memory",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        def hook(g):
            raise MemoryError  # raised
        y = x * 2  # node
        y.register_hook(hook)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that recurses forever",
        "backward-failed",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        def hook(g):
            return hook(g)  # raised
        y = x * 2  # node
        y.register_hook(hook)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook that calls a backward that fails",
        "backward-twice",
        "ExpBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        z = x.exp()  # node
        z = z.sum()
        z.backward()
        def hook(g):
            z.backward()  # stops
        y = x * 2
        y.register_hook(hook)
        # then
        y.sum().backward()
        """,
    ),
    Case(
        "a function that returns too few gradients",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a function that returns too many gradients",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, g, g
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a function that returns a number",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, 3
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a function that returns a wrong shape",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, torch.ones(7)
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a function that raises",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, 1 / 0  # raised
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a function that raises in grad",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, 1 / 0  # raised
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)  # node
        # then
        torch.autograd.grad(y.sum(), x)  # stops
        """,
    ),
    Case(
        "a function that raises in functional.jacobian",
        "backward-failed",
        "ScaleBackward",
        """
        class Scale(torch.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                ctx.save_for_backward(a, b)
                return a * b
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, 1 / 0  # raised
        x = torch.ones(3, requires_grad=True)
        y = Scale.apply(x, x)
        # then
        torch.autograd.functional.jacobian(lambda a: Scale.apply(a, a), x)  # node stops
        """,
    ),
    Case(
        "integers",
        "integer-grad",
        None,
        """
        # then
        a = torch.tensor([1, 2, 3], requires_grad=True)  # stops
        """,
    ),
    Case(
        "integers later",
        "integer-grad",
        None,
        """
        a = torch.arange(3)
        # then
        a.requires_grad_()  # stops
        """,
    ),
    Case(
        "integers by attribute",
        "integer-grad",
        None,
        """
        a = torch.arange(3)
        # then
        a.requires_grad = True  # stops
        """,
    ),
    Case(
        "a leaf changed in place",
        "inplace-on-leaf",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        x += 1  # stops
        """,
    ),
    Case(
        "a leaf changed by a call",
        "inplace-on-leaf",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        x.mul_(2)  # stops
        """,
    ),
    Case(
        "a part of a leaf changed",
        "inplace-on-leaf",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        x[0] = 3.0  # stops
        """,
    ),
    Case(
        "a view of a leaf changed",
        "inplace-on-leaf",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        part = x[:2]
        # then
        part.zero_()  # stops
        """,
    ),
    Case(
        "inside a checkpoint that recomputes",
        "backward-failed",
        "CheckpointFunctionBackward",
        """
        from torch.utils.checkpoint import checkpoint
        state = []
        def block(a):
            state.append(0)
            return a.exp() if len(state) < 2 else a.no_such()  # raised
        x = torch.ones(3, requires_grad=True)
        y = checkpoint(block, x, use_reentrant=True)  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "inside the pass of a checkpoint",
        "backward-failed",
        "MulBackward0",
        """
        from torch.utils.checkpoint import checkpoint
        def hook(g):
            raise ValueError('no')  # raised
        def block(a):
            b = a * 2  # node
            if torch.is_grad_enabled():
                b.register_hook(hook)
            return b.exp()
        x = torch.ones(3, requires_grad=True)
        y = checkpoint(block, x, use_reentrant=True)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "inside a checkpoint that keeps its graph",
        "backward-failed",
        "ExpBackward0",
        """
        from torch.utils.checkpoint import checkpoint
        state = []
        def block(a):
            state.append(0)
            return a.exp() if len(state) < 2 else a.no_such()  # raised node
        x = torch.ones(3, requires_grad=True)
        y = checkpoint(block, x, use_reentrant=False)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "in anomaly mode",
        "backward-failed",
        "SqrtBackward0",
        """
        x = torch.zeros(2, requires_grad=True)
        torch.autograd.set_detect_anomaly(True)
        y = x.sqrt() * 0  # node
        # then
        try:
            y.sum().backward()  # stops
        finally:
            torch.autograd.set_detect_anomaly(False)
        """,
    ),
    Case(
        "torch.func.grad of a non-scalar",
        "not-scalar",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        torch.func.grad(lambda a: a * 2)(x)  # stops
        """,
    ),
    Case(
        "a function that raises in torch.func.grad",
        "backward-failed",
        "SizedGeneratedBackward",
        """
        x = torch.ones(3, requires_grad=True)
        class Sized(torch.autograd.Function):
            @staticmethod
            def forward(a):
                return a * 2
            @staticmethod
            def setup_context(ctx, inputs, output):
                pass
            @staticmethod
            def backward(ctx, g):
                return 1 / 0  # raised
        # then
        torch.func.grad(lambda a: Sized.apply(a).sum())(x)  # stops node
        """,
    ),
    Case(
        "hvp of a non-scalar",
        "not-scalar",
        None,
        """
        x = torch.ones(3, requires_grad=True)
        # then
        torch.autograd.functional.hvp(lambda a: a * 2, x, x)  # stops
        """,
    ),
    Case(
        "a slice of an output changed",
        "saved-modified",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        a = x.exp()
        b = a * a  # node
        # then
        a[1:].mul_(3)  # changed
        b.sum().backward()  # stops
        """,
    ),
    Case(
        "a constant changed by out=",
        "saved-modified",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        c = torch.ones(3)
        b = x * c  # node
        # then
        torch.add(c, 1, out=c)  # changed
        b.sum().backward()  # stops
        """,
    ),
    Case(
        "a constant changed with others",
        "saved-modified",
        "MulBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        c = torch.ones(3)
        b = x * c  # node
        # then
        torch._foreach_add_([c], 1.0)  # changed
        b.sum().backward()  # stops
        """,
    ),
    Case(
        "an output changed by a module",
        "saved-modified",
        "SigmoidBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        act = torch.nn.ReLU(inplace=True)
        h = torch.sigmoid(x)  # node
        # then
        o = act(h)  # changed
        o.sum().backward()  # stops
        """,
    ),
    Case(
        "backward twice in a closure",
        "backward-twice",
        "ExpBackward0",
        """
        x = torch.ones(3, requires_grad=True)
        opt = torch.optim.LBFGS([x])
        y = x.exp()  # node
        y.sum().backward()
        def closure():
            opt.zero_grad()
            loss = y.sum()
            loss.backward()  # stops
            return loss
        # then
        opt.step(closure)
        """,
    ),
    Case(
        "a hook of several tensors that raises",
        "backward-failed",
        "MulBackward0",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)
        y = x * 2  # node
        z = x * 3
        torch.autograd.graph.register_multi_grad_hook((y, z), hook)
        # then
        (y * z).sum().backward()  # stops
        """,
    ),
    Case(
        "a hook before a node that raises",
        "backward-failed",
        "ExpBackward0",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)
        y = x.exp()  # node
        y.grad_fn.register_prehook(hook)
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook on a saved tensor that raises",
        "backward-failed",
        "ExpBackward0",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, hook):
            y = x.exp()  # node
        # then
        y.sum().backward()  # stops
        """,
    ),
    Case(
        "a hook on the only input of a pass",
        "backward-failed",
        "AccumulateGrad",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)  # node
        z = torch.ones(3, requires_grad=True)
        y = x.exp() * z
        x.register_hook(hook)
        # then
        y.sum().backward(inputs=[x])  # stops
        """,
    ),
    Case(
        "a hook of a leaf that raises while others wait",
        "backward-failed",
        "AccumulateGrad",
        """
        def hook(g):
            raise ValueError('no')  # raised
        x = torch.ones(3, requires_grad=True)
        z = torch.ones(3, requires_grad=True)  # node
        z.register_hook(hook)
        # then
        (x.exp() * z).sum().backward()  # stops
        """,
    ),
]
