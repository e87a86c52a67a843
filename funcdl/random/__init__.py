"""Random numbers from keys: each draw is a function of its key. There is no hidden generator.

    key = random.key(0)
    weight_key, noise_key = random.split(key)        # from here on `key` is spent
    weight = random.normal(weight_key, (64, 10))
    noise = random.uniform(random.fold_in(noise_key, step), (64,))

Use each key only once, either to draw or to derive other keys: two draws from the same key give the same numbers, and
drawing from a key gives the bits of the keys derived from it. Keys are tensors, which `jit`, `vmap` and `scan` accept
and checkpoints store. Results are on the key's device. They have the same bits eager, compiled and vmapped, on every
device and version of torch, except where a docstring says otherwise.

There are two generators, and all functions accept keys of both. `key(seed)` makes a key of Philox4x32-10, a uint64
tensor of shape (2,). `key(seed, impl="threefry2x32")` makes an int32 key, which gives the numbers of `jax.random` with
its default settings on a CPU:

- keys, `bits`, `uniform`, `bernoulli`, `randint`, `permutation` and `choice` are equal bit for bit;
- `normal`, `truncated_normal` and `exponential` are equal within 4 ulp, and `gumbel` within 1e-6;
- `categorical`, and weighted `choice` without replacement, are equal except for near ties;
- float64 draws are those of `jax_enable_x64`; half types are rounded from float32 and differ from JAX's;
- where JAX's numbers are biased or coarse, these are, too: `randint` over ranges near 2^32, the far tails of
  `truncated_normal`, and upper bounds of `uniform` that rounding reaches. Philox's numbers are not.

Arguments are validated. Values in tensors are checked only where they can be read: not while a graph is traced, and not
where `vmap` maps over them. Tensor arguments may be lists, and a shape may be an int.
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
