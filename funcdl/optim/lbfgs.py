"""L-BFGS: Newton's method with a Hessian guessed from the last steps and the changes of the gradient along them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from funcdl import tree
from funcdl.optim.differentiable import nonzero
from funcdl.optim.hyperparameters import Number, Scalar, number
from funcdl.optim.parts import scale
from funcdl.optim.transformation import Transformation, chain, part
from funcdl.tree import Tree


def lbfgs(
    lr: Number = 1.0,
    tolerance_grad: Number = 1e-7,
    tolerance_change: Number = 1e-9,
    history_size: int = 100,
    *,
    maximize: bool = False,
) -> Transformation:
    """L-BFGS: the steps of `scale_by_lbfgs`, one update for each gradient.

    For gradients of the whole data set: the noise of batches spoils the guess. There is no line search, which would put
    every trial of the loss into the compiled graph; where the loss bends much, begin with a smaller `lr`. One NaN in
    the gradients makes all parameters NaN.

    Args:
        lr: learning rate, at least 0.
        tolerance_grad: no step is taken while no element of the gradient is larger than this; at least 0.
        tolerance_change: nor when the slope along the step's direction is smaller than this; at least 0.
        history_size: how many steps the guess is made of, at least 1; twice as many copies of the parameters are kept.
        maximize: whether to ascend.

    Returns:
        A transformation, the numbers of which are `lr`, `tolerance_grad` and `tolerance_change`.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> from funcdl import optim
    >>> optimizer, params = optim.lbfgs(), {"w": torch.tensor([3.0, 4.0], dtype=torch.float64)}
    >>> state = optimizer.init(params)
    >>> for _ in range(8):
    ...     gradients = {"w": torch.tensor([2.0, 20.0]) * params["w"]}
    ...     updates, state = optimizer.update(gradients, state, params)
    ...     params = optim.apply_updates(params, updates)
    >>> params["w"].abs().max() < 1e-4
    tensor(True)

    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989),
    https://doi.org/10.1007/BF01589116. Equals `torch.optim.LBFGS` with `max_iter=1` and without a line search, except
    that a step that `tolerance_change` forbids is not remembered as if it had been taken.
    """
    return chain(scale_by_lbfgs(lr, tolerance_grad, tolerance_change, history_size), maximize=maximize)


def scale_by_lbfgs(
    lr: Number = 1.0, tolerance_grad: Number = 1e-7, tolerance_change: Number = 1e-9, history_size: int = 100
) -> Transformation:
    """Makes steps of descent with a guess `H` of the inverse Hessian, all leaves as one vector: `u = -lr H g`.

    A pair is the last step `s` and the change `y` of the gradient since; it is kept if `s.y > 1e-10`, and the newest
    `history_size` of them give `H` by the recursion `H <- (1 - s y'/s.y) H (1 - y s'/s.y) + s s'/s.y`, oldest first,
    which starts at `H = s.y / y.y` of the newest pair. The first step is `u = -lr min(1, 1 / |g|_1) g`. It belongs at
    the end of a chain, since the steps it remembers are those it asked for.

    The recursion's two loops over the pairs are two triangular solves here, with the products `s_i.y_j` for `i <= j`.

    Args:
        lr: learning rate, at least 0.
        tolerance_grad: `u = 0` while no element of the gradient is larger than this; at least 0.
        tolerance_change: `u = 0` when `g.H g` is smaller than this; at least 0.
        history_size: how many pairs are kept, at least 1.

    Raises:
        ValueError: a number is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_lbfgs()
    >>> transformation.update({"w": torch.tensor([3.0, -1.0])}, transformation.init(params), params)[0]
    {'w': tensor([-0.7500,  0.2500])}
    """
    if isinstance(history_size, bool) or not (isinstance(history_size, int) and history_size >= 1):
        raise ValueError(f"scale_by_lbfgs: history_size={history_size!r} is out of range; expected 1, 2, ...")
    numbers = {
        "lr": number("scale_by_lbfgs", "lr", lr),
        "tolerance_grad": number("scale_by_lbfgs", "tolerance_grad", tolerance_grad),
        "tolerance_change": number("scale_by_lbfgs", "tolerance_change", tolerance_change),
    }

    def init(params: Tree) -> dict[str, Tensor]:
        zero = torch.zeros_like(tree.ravel(params)[0])
        history = zero.expand(history_size, -1).clone()
        products = zero.new_zeros(history_size, history_size, dtype=torch.float64)
        return {"steps": history, "changes": history.clone(), "products": products, "step": zero, "grad": zero.clone()}

    def update(grads: Tree, memory: dict, params: Tree, h: dict[str, Scalar], count: Tensor) -> tuple[Tree, dict]:
        g, unravel = tree.ravel(grads)
        started = (memory["grad"] != 0).any()
        active = ~(g.abs() <= h["tolerance_grad"].to(g.dtype)).all()  # this way round NaN counts as large
        grown = _with_pair(memory, g - memory["grad"])
        kept = started & active & (grown["products"][-1, -1] > 1e-10)
        history = {name: torch.where(kept, pairs, memory[name]) for name, pairs in grown.items()}

        d = _times_inverse_hessian(g, **history)
        slope = torch.dot(d, g.to(d.dtype))
        moving = active & ~(slope < h["tolerance_change"].to(slope.dtype))
        length = h["lr"] * torch.where(started, 1.0, 1 / g.abs().sum().clamp(min=1).double())
        step = torch.where(moving, -scale(length, d), 0.0).to(g.dtype)
        new_memory = {"step": step, "grad": g}
        new_memory = {name: torch.where(active, new, memory[name]) for name, new in new_memory.items()}
        return unravel(step), {**history, **new_memory}

    return part("scale_by_lbfgs", numbers, init, update)


def _with_pair(memory: dict[str, Tensor], change: Tensor) -> dict[str, Tensor]:
    """The history with one more pair at its end, and without the oldest one."""
    steps = torch.cat([memory["steps"][1:], memory["step"][None]])
    newest = _wide(steps) @ _wide(change)
    return {
        "steps": steps,
        "changes": torch.cat([memory["changes"][1:], change[None]]),
        "products": torch.cat([pad(memory["products"][1:, 1:], (0, 0, 0, 1)), newest[:, None]], dim=1),
    }


def _times_inverse_hessian(g: Tensor, steps: Tensor, changes: Tensor, products: Tensor) -> Tensor:
    """The two-loop recursion; places without a pair hold zeros, and with ones on the diagonal they add nothing."""
    g, steps, changes = _wide(g), _wide(steps), _wide(changes)
    diagonal = products.diagonal()
    triangle = products + torch.diag((diagonal <= 0).double())
    back = torch.linalg.solve_triangular(triangle, (steps @ g)[:, None], upper=True)
    newest = changes[-1]
    start = torch.where(diagonal[-1] > 0, diagonal[-1] / nonzero(torch.dot(newest, newest)), 1.0)
    r = start * (g - changes.T @ back[:, 0])
    right = diagonal[:, None] * back - (changes @ r)[:, None]
    forth = torch.linalg.solve_triangular(triangle.T, right, upper=False)
    return r + steps.T @ forth[:, 0]


def _wide(vector: Tensor) -> Tensor:
    """The vector in float64: a guess of a Hessian multiplies the rounding of the products that it is made of."""
    return vector.double()
