"""The internals of `jit`: tracing a function and compiling its graph. Only `funcdl.transforms` may import this."""
