"""The programs of `small` in JAX with optax."""

import jax
import jax.numpy as jnp
import optax

SIZES = (8, 6, 4, 1)


def programs(inputs, targets, steps, members):
    inputs, targets = jnp.asarray(inputs), jnp.asarray(targets)
    optimizer = optax.adam(0.1)

    def start(key):
        keys = jax.random.split(key, len(SIZES) - 1)
        params = [
            (jax.random.uniform(k, (i, o), minval=-1, maxval=1) / i**0.5, jnp.zeros(o))
            for k, i, o in zip(keys, SIZES[:-1], SIZES[1:], strict=True)
        ]
        return params, optimizer.init(params)

    def loss(params):
        x = inputs
        for weight, bias in params:
            x = jax.nn.sigmoid(x @ weight + bias)
        return -jnp.mean(targets * jnp.log(x) + (1 - targets) * jnp.log(1 - x))

    def step(state):
        params, moments = state
        updates, moments = optimizer.update(jax.grad(loss)(params), moments, params)
        return optax.apply_updates(params, updates), moments

    def scanned(step):
        return lambda state: jax.lax.scan(lambda c, _: (step(c), None), state, None, length=steps)[0]

    def kept(update, state):
        update = jax.jit(update, donate_argnums=0)

        def run():
            nonlocal state
            state = jax.block_until_ready(update(state))

        return run

    key = jax.random.key(0)
    return {
        "JAX jit, a step": (kept(step, start(key)), 1),
        "JAX jit, in a scan": (kept(scanned(step), start(key)), steps),
        f"JAX jit, {members} members in a scan": (
            kept(scanned(jax.vmap(step)), jax.vmap(start)(jax.random.split(key, members))),
            steps,
        ),
    }
