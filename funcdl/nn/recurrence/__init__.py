"""The time loops of `rnn`, `gru` and `lstm`, and of their gradients.

Each loop is an operator that a compiled graph calls, so that compile time does not grow with the length of a sequence.
A step's products, with its share of the gradients of the weights, are made while what they read is in the cache, and
by slices that are contiguous: for others torch has slower functions. The loops know the first derivative alone, and no
`vmap`: for these there is the plain loop in `recurrent_layer.py`, which they have to equal.

Shapes: x (time, directions, batch, inputs), weight_ih (directions, gates * hidden, inputs), weight_hh (directions,
gates * hidden, hidden), a bias (directions, gates * hidden), a state (directions, batch, hidden), states (time,
directions, batch, hidden), outside (time, directions, batch, 1), 1 at a step that leaves the state as it is, else 0.
"""

from funcdl.nn.recurrence.gru import gru_loop
from funcdl.nn.recurrence.lstm import lstm_loop
from funcdl.nn.recurrence.simple import simple_loop
from funcdl.nn.recurrence.steps import Loop

__all__ = ["Loop", "gru_loop", "lstm_loop", "simple_loop"]
