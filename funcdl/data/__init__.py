"""Data in memory: sources that return tensors, batches shuffled by a key, and image files."""

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
from funcdl.data.breast_cancer import benign_tumors, malignant_tumors
from funcdl.data.bucketing import (
    Sequences,
    bucketed_epoch_indices,
    bucketed_stacked_batches,
    choose_bucket_widths,
    pad_sequences,
    trim_padding,
)
from funcdl.data.credit import credit
from funcdl.data.diabetes import diabetes
from funcdl.data.digit_images import load_digit
from funcdl.data.digits import digits
from funcdl.data.download import download, find_or_download
from funcdl.data.errors import DataError
from funcdl.data.files import data_dir
from funcdl.data.images import load_image
from funcdl.data.kaggle import kaggle_file
from funcdl.data.mnist import mnist, read_idx
from funcdl.data.names import names, synthetic_names
from funcdl.data.otto import otto
from funcdl.data.photographs import Photographs, photographs
from funcdl.data.sentiment import Phrases, sentiment, synthetic_phrases
from funcdl.data.splits import Split, hold_out
from funcdl.data.standardization import standardize
from funcdl.data.tables import Conversion, Table, TextTable, read_table, read_text, read_text_table
from funcdl.data.text import (
    LabeledText,
    TextSplit,
    encode_letters,
    encode_words,
    fold_to_ascii,
    split_words,
    vocabulary,
)
from funcdl.data.thermometer import thermometer
from funcdl.data.titanic import Passengers, synthetic_passengers, titanic

__all__ = [
    "Conversion",
    "DataError",
    "LabeledText",
    "Passengers",
    "Photographs",
    "Phrases",
    "Sequences",
    "Split",
    "Table",
    "TextSplit",
    "TextTable",
    "batch_indices",
    "benign_tumors",
    "bucketed_epoch_indices",
    "bucketed_stacked_batches",
    "choose_bucket_widths",
    "credit",
    "data_dir",
    "diabetes",
    "digits",
    "download",
    "encode_letters",
    "encode_words",
    "epoch_indices",
    "find_or_download",
    "fold_to_ascii",
    "hold_out",
    "kaggle_file",
    "length",
    "load_digit",
    "load_image",
    "malignant_tumors",
    "mnist",
    "names",
    "otto",
    "pad_sequences",
    "padded_batches",
    "padded_indices",
    "photographs",
    "read_idx",
    "read_table",
    "read_text",
    "read_text_table",
    "sentiment",
    "shuffled_batches",
    "split_words",
    "stacked_batches",
    "standardize",
    "steps_per_epoch",
    "synthetic_names",
    "synthetic_passengers",
    "synthetic_phrases",
    "take",
    "thermometer",
    "titanic",
    "trim_padding",
    "vocabulary",
]
