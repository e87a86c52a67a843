"""The ConvNet's training step in JAX and optax."""

import jax
import jax.numpy as jnp
import optax
from jax import lax, random


def jax_step(images, labels):
    """Returns a function that makes one step and waits for it."""
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    optimizer = optax.adadelta(learning_rate=0.5, rho=0.9, eps=1e-6)

    def uniform(key, shape, fan_in):
        return random.uniform(key, shape, minval=-(fan_in**-0.5), maxval=fan_in**-0.5)

    def init(key):
        shapes = {"cn1": (16, 1, 3, 3), "cn2": (32, 16, 3, 3), "fc1": (4608, 64), "fc2": (64, 10)}
        fans = {"cn1": 9, "cn2": 144, "fc1": 4608, "fc2": 64}
        outs = {"cn1": (16, 1, 1), "cn2": (32, 1, 1), "fc1": (64,), "fc2": (10,)}
        keys = dict(zip(shapes, random.split(key, len(shapes)), strict=True))
        return {
            name: {
                "w": uniform(keys[name], shapes[name], fans[name]),
                "b": uniform(random.fold_in(keys[name], 0), outs[name], fans[name]),
            }
            for name in shapes
        }

    def dropout(key, x, shape, p):
        return x * random.bernoulli(key, 1 - p, shape) / (1 - p)

    def loss(params, key, images, labels):
        key1, key2 = random.split(key)
        x = images
        for name in ("cn1", "cn2"):
            x = jax.nn.relu(lax.conv(x, params[name]["w"], (1, 1), "VALID") + params[name]["b"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        x = dropout(key1, x, (x.shape[0], 32, 1, 1), 0.1).reshape(x.shape[0], -1)
        x = jax.nn.relu(x @ params["fc1"]["w"] + params["fc1"]["b"])
        x = dropout(key2, x, x.shape, 0.25)
        log_probabilities = jax.nn.log_softmax(x @ params["fc2"]["w"] + params["fc2"]["b"])
        return -jnp.take_along_axis(log_probabilities, labels[:, None], 1).mean()

    @jax.jit(donate_argnums=(0,))
    def update(state, images, labels):
        params, opt_state, key = state
        key, step_key = random.split(key)
        grads = jax.grad(loss)(params, step_key, images, labels)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, key

    params = init(random.key(0))
    state = (params, optimizer.init(params), random.key(1))

    def step():
        nonlocal state
        state = jax.block_until_ready(update(state, images, labels))

    return step
