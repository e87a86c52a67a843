"""The optimizers that optax has and torch has not: figures recorded from optax, and optax itself where it is installed.

`python -m tests.optim.test_optax` writes the figures anew.
"""

import numpy
import pytest
import torch

from funcdl import optim, tree
from tests.optim.cases import optax_family
from tests.optim.optax_figures import FIGURES

SHAPES = {"matrix": (2, 3), "scalar": (), "vector": (3,)}  # in the order in which optax and funcdl flatten dicts
RECORDED_STEPS, STEPS = 23, 50  # 23 leaves SAM on its way up, for two and for three updates to a step


def cosine(optax=None):
    return optax.cosine_decay_schedule(0.1, 60) if optax else optim.schedules.cosine(0.1, T_max=60)


def warmup(optax=None, shift=0):
    """From 0 up to 0.1 in ten steps. optax's average of steps reads its schedule one step late: `shift` undoes it."""
    if optax:
        return lambda count: 0.01 * (count - shift).astype("float64").clip(max=10)
    return lambda step: 0.01 * step.double().clamp(max=10)


CASES = {
    "lion": ("lion", {"lr": 0.01}),
    "lion options": ("lion", {"lr": 0.02, "betas": (0.5, 0.7), "weight_decay": 0.3}),
    "lion schedule": ("lion", {"lr": cosine}),
    "sign_sgd": ("sign_sgd", {"lr": 0.01}),
    "lamb": ("lamb", {"lr": 0.1}),
    "lamb options": ("lamb", {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-2, "weight_decay": 0.3}),
    "lars": ("lars", {"lr": 1.0}),
    "lars options": (
        "lars",
        {"lr": 0.5, "momentum": 0.7, "weight_decay": 0.3, "trust_coefficient": 0.1, "eps": 0.1, "nesterov": True},
    ),
    "lars plain": ("lars", {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.3, "trust_coefficient": 0.01}),
    "lars schedule": ("lars", {"lr": cosine, "trust_coefficient": 0.5}),
    "sign": ("scale_by_sign", {}),
    "direction of lion": ("scale_by_lion", {"betas": (0.5, 0.7)}),
    "belief": ("scale_by_belief", {"betas": (0.5, 0.7), "eps": 1e-3}),
    "direction of novograd": ("scale_by_novograd", {"betas": (0.5, 0.7)}),
    "direction of adan": ("scale_by_adan", {"betas": (0.5, 0.3, 0.7)}),
    "unbiased rms": ("scale_by_unbiased_rms", {"beta2": 0.7, "eps": 1e-3}),
    "trust ratio": ("scale_by_trust_ratio", {"trust_coefficient": 0.01, "eps": 0.1, "min_norm": 1.5}),
    "adabelief": ("adabelief", {"lr": 0.1}),
    "adabelief options": (
        "adabelief",
        {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-3, "eps_root": 1e-2, "nesterov": True},
    ),
    "yogi": ("yogi", {"lr": 0.1}),
    "yogi options": ("scale_by_yogi", {"betas": (0.5, 0.7), "eps": 1e-2, "initial_accumulator_value": 0.1}),
    "novograd": ("novograd", {"lr": 0.1}),
    "novograd options": ("novograd", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 1e-2, "weight_decay": 0.3}),
    "adan": ("adan", {"lr": 0.1}),
    "adan options": (
        "adan",
        {"lr": 0.05, "betas": (0.5, 0.3, 0.7), "eps": 1e-2, "eps_root": 1e-3, "weight_decay": 0.3},
    ),
    "prodigy": ("prodigy", {}),
    "prodigy options": (
        "prodigy",
        {"lr": 0.8, "betas": (0.5, 0.7), "beta3": 0.6, "eps": 1e-2, "weight_decay": 0.3, "d0": 1e-3, "d_coef": 0.5},
    ),
    "prodigy safeguard": (
        "prodigy",
        {"lr": cosine, "betas": (0.8, 0.9), "d0": 0.1, "d_coef": 9.0, "safeguard_warmup": True},
    ),
    "schedule_free_sgd": ("schedule_free_sgd", {"lr": 0.1}),
    "schedule_free_sgd options": (
        "schedule_free_sgd",
        {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.3, "weight_lr_power": 1.0},
    ),
    "schedule_free_sgd warm-up": ("schedule_free_sgd", {"lr": warmup, "momentum": 0.8}),
    "schedule_free_adamw": ("schedule_free_adamw", {"lr": 0.1}),
    "schedule_free_adamw options": (
        "schedule_free_adamw",
        {"lr": 0.05, "betas": (0.5, 0.7), "eps": 1e-2, "weight_decay": 0.3, "weight_lr_power": 0.5},
    ),
    "sam": ("sam", {"optimizer": ("sgd", {"lr": 0.1, "momentum": 0.9})}),
    "sam options": ("sam", {"optimizer": ("adamw", {"lr": 0.1, "weight_decay": 0.3}), "rho": 0.3, "sync_period": 3}),
}
each_case = pytest.mark.parametrize("case", CASES)


def starting_params():
    return waves(lambda angles: numpy.cos(angles))


def gradients(step):
    """Never zero, of changing sign, and with a drift, so that Prodigy finds somewhere to go."""
    return waves(lambda angles: 1.5 * numpy.sin(0.7 * step + angles) + 0.4)


def waves(f):
    return {
        name: numpy.asarray(f(2.5 * leaf + numpy.arange(numpy.prod(shape)))).reshape(shape)
        for leaf, (name, shape) in enumerate(SHAPES.items())
    }


def made(name, options):
    given = {key: value() if callable(value) else value for key, value in options.items()}
    if name == "sam":
        given["optimizer"] = made(*given["optimizer"])
    return getattr(optim, name)(**given)


def our_path(case, steps, dtype=torch.float64, device="cpu"):
    """The parameters after each update, as one vector, and those for evaluation."""
    as_tensors = lambda arrays: tree.map(lambda a: torch.as_tensor(a, dtype=dtype, device=device), arrays)  # noqa: E731
    name, options = CASES[case]
    transformation, params = made(name, options), as_tensors(starting_params())
    state, path, evaluation = transformation.init(params), [], []
    for step in range(steps):
        updates, state = transformation.update(as_tensors(gradients(step)), state, params)
        params = optim.apply_updates(params, updates)
        path.append(tree.ravel(params)[0])
        if name.startswith("schedule_free"):
            evaluation.append(tree.ravel(optim.schedule_free_eval_params(state, params))[0])
    return torch.stack(path), evaluation and torch.stack(evaluation)


def optax_twin(name, options):
    """The optimizer of optax by our name and options."""
    import optax
    from optax import contrib

    names = {"lr": "learning_rate", "d0": "estim_lr0", "d_coef": "estim_lr_coef", "initial_accumulator_value": None}
    given = {}
    for key, value in options.items():
        value = value(optax) if callable(value) else value
        if key == "betas" and name != "prodigy":
            given |= {f"b{i + 1}": beta for i, beta in enumerate(value)}
        elif key == "momentum" and name == "schedule_free_sgd":
            given["b1"] = value
        else:
            given[names.get(key) or key] = value
    if name == "scale_by_unbiased_rms":
        return optax.scale_by_rms(given["beta2"], given["eps"], eps_in_sqrt=False, bias_correction=True)
    if name == "sam":
        adversary = optax.chain(contrib.normalize(), optax.sgd(given.pop("rho", 0.05)))
        return contrib.sam(optax_twin(*given.pop("optimizer")), adversary, **given)
    if name.startswith("schedule_free") and callable(options["lr"]):
        step = optax.sgd(given.pop("learning_rate"))
        return contrib.schedule_free(step, options["lr"](optax, shift=1), **given)
    return getattr(optax if hasattr(optax, name) else contrib, name)(**given)


def optax_path(case, steps):
    import jax
    import optax
    from jax import numpy as jnp

    name, options = CASES[case]
    with jax.enable_x64(True):
        twin = optax_twin(name, options)
        params = jax.tree.map(jnp.asarray, starting_params())

        def step(carry, grads):
            params, state = carry
            updates, state = twin.update(grads, state, params)
            params = optax.apply_updates(params, updates)
            evaluation = params
            if name.startswith("schedule_free"):
                evaluation = optax.contrib.schedule_free_eval_params(state, params)
            return (params, state), [
                jnp.concatenate([x.ravel() for x in jax.tree.leaves(t)]) for t in (params, evaluation)
            ]

        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[gradients(step) for step in range(steps)])
        _, paths = jax.lax.scan(step, (params, twin.init(params)), stacked)
        path, evaluation = (torch.from_numpy(numpy.array(p)) for p in paths)
    return path, evaluation if name.startswith("schedule_free") else []


@each_case
def test_ends_where_optax_was_recorded_to_end(case, device):
    path, _ = our_path(case, RECORDED_STEPS, device=device)
    expected = torch.tensor(FIGURES[case], dtype=torch.float64, device=device)
    torch.testing.assert_close(path[-1], expected, rtol=1e-10, atol=1e-10)


@each_case
def test_takes_the_steps_of_optax(case):
    pytest.importorskip("optax", reason="optax is not installed")
    path, evaluation = our_path(case, STEPS)
    expected, expected_evaluation = optax_path(case, STEPS)
    torch.testing.assert_close(path, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(evaluation, expected_evaluation, rtol=1e-10, atol=1e-10)
    figures = torch.tensor(FIGURES[case], dtype=torch.float64)
    torch.testing.assert_close(expected[RECORDED_STEPS - 1], figures, rtol=1e-12, atol=1e-12)


def test_every_optimizer_of_the_family_is_here():
    names = {name for family in optax_family.FAMILIES.values() for name in family}
    other_draws, tested_in_others = {"add_noise", "noisy_sgd"}, {"schedule_free"}
    assert {name for name, _ in CASES.values()} == names - other_draws - tested_in_others


def record():
    print('"""Parameters after 23 updates of optax 0.2.8 in float64: see `test_optax.py`, which writes this file."""\n')
    print("# fmt: off\nFIGURES = {")
    for case in CASES:
        figures = [repr(figure) for figure in optax_path(case, RECORDED_STEPS)[0][-1].tolist()]
        print(f'    "{case}": (\n        {", ".join(figures[:5])},\n        {", ".join(figures[5:])},\n    ),')
    print("}")


if __name__ == "__main__":
    record()
