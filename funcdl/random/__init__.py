"""Random numbers from keys: a draw is a function of its key, and no hidden generator is read or advanced.

    key = random.key(0)
    weight_key, noise_key = random.split(key)        # from here on `key` is spent
    weight = random.normal(weight_key, (64, 10))
    noise = random.uniform(random.fold_in(noise_key, step), (64,))

A key is used once, for drawing or for deriving: two draws from one key are the same numbers, and words drawn from a
key are the very words of its children. Keys are tensors, so they go through `jit`, `vmap` and `scan` and lie in
checkpoints. Results lie on the key's device and are the same bits eager, compiled and vmapped, on every device and
version of torch, except where a docstring says otherwise.

There are two generators, and every function here takes keys of either. `key(seed)` makes a key of Philox4x32-10, a
uint64 tensor of shape (2,). `key(seed, impl="threefry2x32")` makes an int32 one, whose numbers are those of
`jax.random` with its defaults, on a CPU: keys, `bits`, `uniform`, `bernoulli`, `randint`, `permutation` and `choice`
bit for bit; `normal`, `truncated_normal` and `exponential` within 4 ulp, and `gumbel` within 1e-6; `categorical`, and
`choice` by weights without replacement, but for ties within that. float64 draws are those with `jax_enable_x64`; half
types are rounded from float32 and are not JAX's. Where JAX's numbers are biased or coarse, so are these: `randint` over
ranges near 2^32, the far tails of `truncated_normal`, and bounds of `uniform` that rounding reaches. Philox's are not.

Arguments are checked, and their values too where they can be looked at: those in tensors cannot while a graph is
traced, nor where `vmap` maps over them. A list is taken where a tensor stands, and an int where a shape does.
"""

from funcdl.random.continuous import exponential, gumbel, normal, truncated_normal, uniform
from funcdl.random.discrete import bernoulli, categorical, choice, permutation, randint
from funcdl.random.keys import bits, fold_in, key, split

__all__ = [
    "bernoulli",
    "bits",
    "categorical",
    "choice",
    "exponential",
    "fold_in",
    "gumbel",
    "key",
    "normal",
    "permutation",
    "randint",
    "split",
    "truncated_normal",
    "uniform",
]
