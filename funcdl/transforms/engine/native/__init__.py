"""A compiler for small CPU programs: a traced graph becomes one C++ function, loops over time included.

Inductor makes fast loops of large programs, and takes seconds to compile and tens of microseconds to call for small
ones. Here a graph is lowered to a few kinds of statements on buffers (`ir`), which run in the order of the program and
so mean what torch's operations mean, views and writes included (`lowering`, `operations`); statements of one shape are
joined to one loop (`fusion`), and written out as C++ without headers (`emission`, `library`), which a compiler
translates in a fraction of a second (`program`). What it does not know is a `NotSupported`: Inductor takes the graph.
"""
