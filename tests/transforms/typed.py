"""What a type checker knows of transformed functions; `test_typing` has mypy check it."""

from typing import Any, assert_type

from torch import Tensor

from funcdl import eval_shape, grad, jit, value_and_grad, vmap


def loss(params: dict[str, Tensor], x: Tensor, scale: float = 1.0) -> Tensor:
    return (params["w"] * x).sum() * scale


def check(params: dict[str, Tensor], x: Tensor) -> None:
    assert_type(jit(loss)(params, x), Tensor)
    assert_type(jit(loss, donate_argnums=0)(params, x, scale=2.0), Tensor)
    assert_type(vmap(loss, in_dims=(None, 0))(params, x), Tensor)
    assert_type(jit(vmap(loss))(params, x), Tensor)
    assert_type(value_and_grad(loss)(params, x), tuple[Any, Any])
    assert_type(eval_shape(loss, params, x), Tensor)
    jit(loss)(params)  # type: ignore[call-arg]
    jit(loss)(params, x, rate=2.0)  # type: ignore[call-arg]
    vmap(loss)(params, "x")  # type: ignore[arg-type]
    grad(loss)(x, x)  # type: ignore[arg-type]
    value_and_grad(loss)(params)  # type: ignore[call-arg]
    eval_shape(loss, params)  # type: ignore[call-arg]
