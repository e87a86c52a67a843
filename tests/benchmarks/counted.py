"""A recipe epoch by epoch: `python -m tests.benchmarks.counted ID [flags]`.

The last line of stdout is JSON, `{"rows": [{"seconds", "accuracy", "graphs"}, ...]}`: the seconds from one row to the
next, so training, test and checkpoint; the accuracy on the data held out; and how many graphs were compiled so far.
"""

import json
import sys
import time

from torch._dynamo.utils import counters

from funcdl import train
from funcdl.transforms.engine import backend
from recipes import cli
from tests.compile_with import counted


def main():
    rows, times, row = [], [time.perf_counter()], train.Report.row

    def counting_row(report, values):
        row(report, values)
        times.append(time.perf_counter())
        accuracy = next(value for name, value in values.items() if name.endswith("_accuracy"))
        graphs = counters["stats"]["unique_graphs"]
        rows.append({"seconds": times[-1] - times[-2], "accuracy": accuracy, "graphs": graphs})

    train.Report.row = counting_row
    backend.compile_graph = counted(backend.compile_graph)
    code = cli.main(["run", *sys.argv[1:]])
    print(json.dumps({"rows": rows}))
    sys.exit(code)


if __name__ == "__main__":
    main()
