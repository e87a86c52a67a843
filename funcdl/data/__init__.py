"""Data in memory: sources that return tensors, batches drawn by a key, and pictures for a trained model to read."""

from funcdl.data.batching import (
    batch_indices,
    epoch_indices,
    length,
    padded_batches,
    padded_indices,
    shuffled_batches,
    stacked_batches,
    steps_per_epoch,
    take,
)
from funcdl.data.credit import credit, malignant_tumours
from funcdl.data.diabetes import diabetes, tumours
from funcdl.data.digits import digits
from funcdl.data.download import download, locate
from funcdl.data.images import load_digit, load_image
from funcdl.data.kaggle import kaggle_file
from funcdl.data.lengths import Sequences, choose_widths, cut, epoch_indices_by_width, pad, stacked_batches_by_width
from funcdl.data.mnist import mnist, read_idx
from funcdl.data.names import invented_names, names
from funcdl.data.otto import otto
from funcdl.data.photographs import Photographs, photographs
from funcdl.data.sentiment import Phrases, ruled_phrases, sentiment
from funcdl.data.source import DataError, Split, data_dir
from funcdl.data.splitting import hold_out, standardise
from funcdl.data.tables import Conversion, Table, TextTable, read_table, read_text, read_text_table
from funcdl.data.text import (
    LabelledText,
    TextSplit,
    fold_to_ascii,
    letter_numbers,
    split_words,
    vocabulary,
    word_numbers,
)
from funcdl.data.thermometer import thermometer
from funcdl.data.titanic import Passengers, drawn_passengers, titanic

__all__ = [
    "Conversion",
    "DataError",
    "LabelledText",
    "Passengers",
    "Photographs",
    "Phrases",
    "Sequences",
    "Split",
    "Table",
    "TextSplit",
    "TextTable",
    "batch_indices",
    "choose_widths",
    "credit",
    "cut",
    "data_dir",
    "diabetes",
    "digits",
    "download",
    "drawn_passengers",
    "epoch_indices",
    "epoch_indices_by_width",
    "fold_to_ascii",
    "hold_out",
    "invented_names",
    "kaggle_file",
    "length",
    "letter_numbers",
    "load_digit",
    "load_image",
    "locate",
    "malignant_tumours",
    "mnist",
    "names",
    "otto",
    "pad",
    "padded_batches",
    "padded_indices",
    "photographs",
    "read_idx",
    "read_table",
    "read_text",
    "read_text_table",
    "ruled_phrases",
    "sentiment",
    "shuffled_batches",
    "split_words",
    "stacked_batches",
    "stacked_batches_by_width",
    "standardise",
    "steps_per_epoch",
    "take",
    "thermometer",
    "titanic",
    "tumours",
    "vocabulary",
    "word_numbers",
]
