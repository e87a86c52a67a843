"""Runs notebooks from start to end in a fresh kernel, and keeps what they print and draw.

`python -m tests.notebooks.execute [NAME...]` runs those of these names (all without any) and writes them back. A name
that ends in `.py` is a script of cells marked by `# %%`, as jupytext writes them; it becomes a notebook first.
"""

import base64
import io
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[2] / "notebooks"
SECONDS = 600  # far more than a notebook takes, so that only one that hangs is stopped
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def read(path):
    """The notebook in a file."""
    return nbformat.read(path, as_version=4)


def execute(notebook):
    """Runs a copy of a notebook and returns it, with its new outputs.

    Raises:
        CellExecutionError: a cell fails.
    """
    notebook = nbformat.from_dict(notebook)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": FOLDER}},
        extra_arguments=["--IPKernelApp.log_level=40"],  # no warning that its ports are not encrypted
    )
    client.execute()
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


def shrink_pictures(notebook):
    """Stores each picture of a notebook with 256 colors at most, which looks the same in a third of the bytes."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if stored := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(base64.b64decode(stored))).convert("RGB")
                smaller = io.BytesIO()
                picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
                    smaller, "png", optimize=True
                )
                output.data["image/png"] = base64.b64encode(smaller.getvalue()).decode()


def code_cells(notebook):
    """The cells of a notebook that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def steady_outputs(notebook):
    """For each cell of code, what it prints and draws, without the numbers, which vary with processor and time."""
    return [" ".join(NUMBER.sub("#", "".join(map(_shown, cell.outputs))).split()) for cell in code_cells(notebook)]


def _shown(output):
    if output.output_type == "stream":
        return output.text  # in one piece or in several, as it happens
    return " picture " if "image/png" in output.data else f" {output.data['text/plain']} "


def _from_script(path):
    import jupytext

    notebook = jupytext.read(path)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def main(names):
    """Runs the notebooks of these names, or all."""
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        notebook = execute(_from_script(path) if path.suffix == ".py" else read(path))
        shrink_pictures(notebook)
        written = FOLDER / path.with_suffix(".ipynb").name
        nbformat.write(notebook, written)
        print(f"{written.name}: {len(code_cells(notebook))} cells, {written.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
