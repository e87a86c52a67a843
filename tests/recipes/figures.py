"""What is wrong with a picture, by the places where matplotlib draws its texts."""

import itertools
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.text import Text

WORDS = 4  # of a title that says what to see
COUNTED = ("epoch", "step", "update", "window", "batch")  # axes with these names have whole numbers
SLACK = 0.5  # pixels


def faults(figure):
    """Returns a sentence for each fault of a figure."""
    texts = drawn_texts(figure)
    return [
        *_title(figure),
        *_outside(figure, texts),
        *_overlapping(texts),
        *_across_frames(figure, texts),
        *_under_legends(figure),
        *_ticks(figure),
    ]


def drawn_texts(figure):
    """Returns the texts that are drawn, each with the box that it takes."""
    canvas, found, draw = FigureCanvasAgg(figure), {}, Text.draw

    def record(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            found[self] = self.get_window_extent(renderer)
        return draw(self, renderer, *args, **kwargs)

    with mock.patch.object(Text, "draw", record):
        canvas.draw()
    return found


def _title(figure):
    drawn = [axes for axes in figure.axes if axes.get_title()]
    title = figure.get_suptitle() or (drawn[0].get_title() if len(drawn) == 1 else "")
    return [] if len(title.split()) >= WORDS else [f"the title '{title}' does not say what to see"]


def _outside(figure, texts):
    for text, box in texts.items():
        page = figure.bbox
        if min(box.x0, box.y0, page.x1 - box.x1, page.y1 - box.y1) < -SLACK:
            yield f"'{text.get_text()}' is cut off"


def _overlapping(texts):
    for (one, a), (other, b) in itertools.combinations(texts.items(), 2):
        if _overlap(a, b):
            yield f"'{one.get_text()}' and '{other.get_text()}' overlap"


def _overlap(a, b):
    return min(a.x1, b.x1) - max(a.x0, b.x0) > SLACK and min(a.y1, b.y1) - max(a.y0, b.y0) > SLACK


def _across_frames(figure, texts):
    for axes in figure.axes:
        frame = axes.get_window_extent()
        for text in axes.texts:
            box = texts.get(text)
            if box and _overlap(box, frame) and not (frame.x0 <= box.x0 and box.x1 <= frame.x1):
                yield f"'{text.get_text()}' is written over the frame"


def _under_legends(figure):
    for axes in figure.axes:
        legend = axes.get_legend()
        if legend is None or not hasattr(axes, "transData") or axes.name == "3d":
            continue
        box = legend.get_window_extent()
        for line in axes.lines:
            path = line.get_transform().transform_path(line.get_path())
            if len(path.vertices) and path.intersects_bbox(box, filled=False):
                yield f"the legend covers the line '{line.get_label()}'"
        for collection in axes.collections:
            if len(collection.get_offsets()) and any(
                box.contains(*point) for point in collection.get_offset_transform().transform(collection.get_offsets())
            ):
                yield f"the legend covers the points '{collection.get_label()}'"
            filled = [collection.get_transform().transform_path(path) for path in collection.get_paths()]
            if isinstance(collection, PolyCollection) and any(path.intersects_bbox(box) for path in filled):
                yield f"the legend covers the band '{collection.get_label()}'"
        for patch in axes.patches:
            if _overlap(patch.get_window_extent(), box):
                yield "the legend covers a bar"


def _ticks(figure):
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            shown = [
                tick.label1.get_text()
                for tick in axis.get_major_ticks() + axis.get_minor_ticks()
                if tick.label1.get_text()
            ]
            if any("times" in label for label in shown):
                yield f"ticks such as {shown[0]} are no plain numbers"
            if axis.get_label_text().split(" ")[0].rstrip("s") in COUNTED:
                ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
                if any(tick % 1 for tick in ticks):
                    yield f"'{axis.get_label_text()}' has the ticks {ticks}"
