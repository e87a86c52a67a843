"""L-BFGS: a quasi-Newton method that estimates the inverse Hessian from the last steps and gradient differences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from funcdl import tree
from funcdl.optim.hyperparameters import Count, ScalarOrSchedule, check_nonnegative
from funcdl.optim.safe_math import safe_denominator
from funcdl.optim.transformation import Transformation, chain
from funcdl.optim.tree_math import scale
from funcdl.optim.update_rule import Buffers, Hyper, make_transformation
from funcdl.tree import Tree


def lbfgs(
    lr: ScalarOrSchedule = 1.0,
    tolerance_grad: ScalarOrSchedule = 1e-7,
    tolerance_change: ScalarOrSchedule = 1e-9,
    history_size: int = 100,
    *,
    maximize: bool = False,
) -> Transformation:
    """L-BFGS: the steps of `scale_by_lbfgs`, one update for each gradient.

    Use it with gradients of the whole data set, because the noise of batches spoils the estimate. There is no line
    search, which would put every evaluation of the loss into the compiled graph; if the curvature is high, start with a
    smaller `lr`. One NaN in the gradients makes all parameters NaN.

    Args:
        lr: learning rate, at least 0.
        tolerance_grad: no step is taken if no element of the gradient is larger than this; at least 0.
        tolerance_change: no step is taken if the slope in the direction of the step is smaller than this; at least 0.
        history_size: the number of steps from which to estimate, at least 1. The state has twice as many copies of the
            parameters.
        maximize: whether to ascend.

    Returns:
        A transformation with the hyperparameters `lr`, `tolerance_grad` and `tolerance_change`.

    Raises:
        ValueError: a hyperparameter is out of range.

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
    that a step that `tolerance_change` prevents is not added to the history.
    """
    return chain(scale_by_lbfgs(lr, tolerance_grad, tolerance_change, history_size), maximize=maximize)


def scale_by_lbfgs(
    lr: ScalarOrSchedule = 1.0,
    tolerance_grad: ScalarOrSchedule = 1e-7,
    tolerance_change: ScalarOrSchedule = 1e-9,
    history_size: int = 100,
) -> Transformation:
    """Takes steps of descent with an estimate `H` of the inverse Hessian, all leaves as one vector: `u = -lr H g`.

    A pair is the last step `s` and the change `y` of the gradient since; it is stored if `s.y > 1e-10`, and the newest
    `history_size` pairs give `H` by the recursion `H <- (1 - s y'/s.y) H (1 - y s'/s.y) + s s'/s.y`, oldest first,
    which starts at `H = s.y / y.y` of the newest pair. The first step is `u = -lr min(1, 1 / |g|_1) g`. It has to be
    the last one of a chain, because its history assumes that its updates are the steps taken.

    The two loops of the recursion over the pairs are two triangular solves here, with the products `s_i.y_j` for
    `i <= j`.

    Args:
        lr: learning rate, at least 0.
        tolerance_grad: `u = 0` while no element of the gradient is larger than this; at least 0.
        tolerance_change: `u = 0` when `g.H g` is smaller than this; at least 0.
        history_size: how many pairs are stored, at least 1.

    Raises:
        ValueError: a hyperparameter is out of range.

    >>> import torch
    >>> params = {"w": torch.ones(2)}
    >>> transformation = scale_by_lbfgs()
    >>> transformation.update({"w": torch.tensor([3.0, -1.0])}, transformation.init(params), params)[0]
    {'w': tensor([-0.7500,  0.2500])}
    """
    if isinstance(history_size, bool) or not (isinstance(history_size, int) and history_size >= 1):
        raise ValueError(f"scale_by_lbfgs: history_size={history_size!r} is out of range; expected 1, 2, ...")
    hyperparameters = check_nonnegative(
        "scale_by_lbfgs", lr=lr, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change
    )

    def init(params: Tree) -> dict[str, Tensor]:
        zero = torch.zeros_like(tree.ravel(params)[0])
        history = zero.expand(history_size, -1).clone()
        products = zero.new_zeros(history_size, history_size, dtype=torch.float64)
        return {"steps": history, "changes": history.clone(), "products": products, "step": zero, "grad": zero.clone()}

    def update(grads: Tree, buffers: Buffers, params: Tree, hyper: Hyper, count: Count) -> tuple[Tree, Buffers]:
        g, unravel = tree.ravel(grads)
        started = (buffers["grad"] != 0).any()
        active = ~(g.abs() <= hyper["tolerance_grad"].to(g.dtype)).all()  # negated, so that NaN counts as large
        extended = _append_pair(buffers, g - buffers["grad"])
        stored = started & active & (extended["products"][-1, -1] > 1e-10)
        history = {name: torch.where(stored, pairs, buffers[name]) for name, pairs in extended.items()}

        d = _times_inverse_hessian(g, **history)
        slope = torch.dot(d, g.to(d.dtype))
        moves = active & ~(slope < hyper["tolerance_change"].to(slope.dtype))
        length = hyper["lr"] * torch.where(started, 1.0, 1 / g.abs().sum().clamp(min=1).double())
        step = torch.where(moves, -scale(length, d), 0.0).to(g.dtype)
        new_buffers = {"step": step, "grad": g}
        new_buffers = {name: torch.where(active, new, buffers[name]) for name, new in new_buffers.items()}
        return unravel(step), {**history, **new_buffers}

    return make_transformation("scale_by_lbfgs", hyperparameters, init, update)


def _append_pair(buffers: dict[str, Tensor], change: Tensor) -> dict[str, Tensor]:
    """Returns the history with a new pair at its end and without the oldest pair."""
    steps = torch.cat([buffers["steps"][1:], buffers["step"][None]])
    newest = _double(steps) @ _double(change)
    return {
        "steps": steps,
        "changes": torch.cat([buffers["changes"][1:], change[None]]),
        "products": torch.cat([pad(buffers["products"][1:, 1:], (0, 0, 0, 1)), newest[:, None]], dim=1),
    }


def _times_inverse_hessian(g: Tensor, steps: Tensor, changes: Tensor, products: Tensor) -> Tensor:
    """Runs the two-loop recursion. Empty slots are zero and get a 1 on the diagonal, so that they have no effect."""
    g, steps, changes = _double(g), _double(steps), _double(changes)
    diagonal = products.diagonal()
    triangle = products + torch.diag((diagonal <= 0).double())
    back = torch.linalg.solve_triangular(triangle, (steps @ g)[:, None], upper=True)
    newest = changes[-1]
    start = torch.where(diagonal[-1] > 0, diagonal[-1] / safe_denominator(torch.dot(newest, newest)), 1.0)
    r = start * (g - changes.T @ back[:, 0])
    rhs = diagonal[:, None] * back - (changes @ r)[:, None]
    forth = torch.linalg.solve_triangular(triangle.T, rhs, upper=False)
    return r + steps.T @ forth[:, 0]


def _double(vector: Tensor) -> Tensor:
    """Returns the vector in float64, because the estimated Hessian amplifies rounding errors of inner products."""
    return vector.double()
