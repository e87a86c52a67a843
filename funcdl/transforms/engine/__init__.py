"""How `jit` traces a function and compiles the graph; only `funcdl.transforms` may import it."""
