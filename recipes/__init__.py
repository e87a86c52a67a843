"""The tutorials' tasks, one short file each; `funcdl list` shows them.

In the repository this package is `recipes`; installed it is `funcdl.recipes`. So its modules import one another
relatively.
"""
