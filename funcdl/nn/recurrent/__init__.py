"""Recurrent layers over sequences (`rnn`, `gru`, `lstm`), and their cells, which take one step."""

from funcdl.nn.recurrent.cells import gru_cell, lstm_cell, rnn_cell
from funcdl.nn.recurrent.layers import gru, lstm, rnn

__all__ = ["gru", "gru_cell", "lstm", "lstm_cell", "rnn", "rnn_cell"]
