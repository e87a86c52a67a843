"""Digits as a program draws them: three ways to write each, in pens, sizes and on papers that differ."""

import itertools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

# Strokes in a unit square, y downward: the corners of a line, or ("arc", x, y, rx, ry, from, to) in degrees.
STROKES = {
    0: ([("arc", 0.5, 0.5, 0.32, 0.5, -90, 270)], [("arc", 0.5, 0.5, 0.42, 0.48, -110, 260)],
        [("arc", 0.5, 0.5, 0.27, 0.5, -60, 310)]),
    1: ([[(0.5, 0), (0.5, 1)]], [[(0.3, 0.25), (0.55, 0), (0.52, 1)]], [[(0.6, 0), (0.42, 1)]]),
    2: ([("arc", 0.5, 0.28, 0.32, 0.28, -170, 40), [(0.74, 0.46), (0.18, 1), (0.85, 1)]],
        [("arc", 0.48, 0.3, 0.35, 0.3, -190, 30), [(0.78, 0.45), (0.5, 0.75), (0.12, 0.98), (0.88, 0.95)]],
        [[(0.2, 0.2), (0.35, 0.03), (0.6, 0), (0.76, 0.15), (0.74, 0.38), (0.45, 0.7), (0.15, 1), (0.82, 1)]]),
    3: ([("arc", 0.45, 0.25, 0.33, 0.25, -150, 90), ("arc", 0.45, 0.74, 0.38, 0.26, -90, 150)],
        [("arc", 0.42, 0.24, 0.3, 0.24, -140, 80), ("arc", 0.42, 0.73, 0.35, 0.27, -80, 140)],
        [[(0.18, 0.05), (0.78, 0.03), (0.45, 0.4)], ("arc", 0.42, 0.7, 0.38, 0.3, -85, 150)]),
    4: ([[(0.3, 0), (0.15, 0.55), (0.85, 0.55)], [(0.65, 0.2), (0.62, 1)]],
        [[(0.62, 0), (0.1, 0.65), (0.9, 0.65)], [(0.64, 0), (0.62, 1)]],
        [[(0.2, 0.05), (0.22, 0.48), (0.75, 0.45)], [(0.75, 0.02), (0.7, 1)]]),
    5: ([[(0.78, 0), (0.3, 0), (0.24, 0.42)], ("arc", 0.45, 0.68, 0.36, 0.32, -125, 145)],
        [[(0.82, 0.03), (0.28, 0.03), (0.27, 0.4)], ("arc", 0.44, 0.67, 0.32, 0.3, -115, 150)],
        [[(0.3, 0.05), (0.25, 0.45)], ("arc", 0.43, 0.7, 0.33, 0.28, -120, 140), [(0.3, 0.05), (0.8, 0.02)]]),
    6: ([[(0.68, 0), (0.42, 0.2), (0.25, 0.48), (0.2, 0.7)], ("arc", 0.48, 0.72, 0.29, 0.28, -180, 180)],
        [[(0.6, 0), (0.35, 0.3), (0.24, 0.6)], ("arc", 0.48, 0.74, 0.26, 0.25, -200, 170)],
        [[(0.42, 0), (0.26, 0.35), (0.22, 0.7)], ("arc", 0.46, 0.75, 0.24, 0.24, -190, 160)]),
    7: ([[(0.15, 0.02), (0.82, 0.02), (0.4, 1)]], [[(0.18, 0.05), (0.85, 0), (0.5, 0.5), (0.35, 1)]],
        [[(0.15, 0.03), (0.8, 0.03), (0.38, 1)], [(0.32, 0.5), (0.75, 0.48)]]),
    8: ([("arc", 0.5, 0.25, 0.26, 0.25, 90, 450), ("arc", 0.5, 0.75, 0.32, 0.25, -90, 270)],
        [("arc", 0.52, 0.24, 0.3, 0.24, 60, 440), ("arc", 0.48, 0.74, 0.3, 0.26, -80, 280)],
        [[(0.78, 0.12), (0.5, 0), (0.25, 0.15), (0.32, 0.35), (0.7, 0.62), (0.74, 0.85), (0.5, 1), (0.25, 0.86),
          (0.3, 0.62), (0.68, 0.36), (0.78, 0.12)]]),
    9: ([("arc", 0.5, 0.27, 0.28, 0.27, 0, 360), [(0.78, 0.27), (0.74, 0.65), (0.62, 1)]],
        [("arc", 0.48, 0.28, 0.3, 0.28, -20, 330), [(0.78, 0.15), (0.76, 0.6), (0.7, 1)]],
        [("arc", 0.48, 0.26, 0.26, 0.26, -10, 350), [(0.75, 0.25), (0.72, 0.7), (0.55, 0.97), (0.3, 0.95)]]),
}  # fmt: skip
PAPERS = {"white": (255, 255, 255), "ivory": (250, 243, 224), "gray": (190, 192, 196), "board": (38, 62, 50)}
PENS = {"ballpoint": 0.035, "pen": 0.06, "felt tip": 0.1, "marker": 0.15}  # widths, as shares of the digit's height


def drawings(seed=0):
    """Draws 30 digits; yields (digit, picture): each in three ways, with a pen, a size and a paper by chance."""
    numbers = np.random.default_rng(seed)
    for digit, ways in STROKES.items():
        for way in ways:
            yield digit, drawn(way, numbers)


def drawn(way, numbers):
    height = int(numbers.integers(40, 500))
    pen = height * numbers.choice(list(PENS.values())) * numbers.uniform(0.9, 1.1)
    paper = numbers.choice(list(PAPERS))
    light = paper == "board"
    ink = tuple(int(part) for part in numbers.integers(200, 256, 3) if light) or tuple(
        int(part) for part in numbers.integers(0, 90, 3)
    )
    margin = numbers.uniform(0.25, 0.8, 4) * height
    size = int(height + margin[0] + margin[1]), int(height + margin[2] + margin[3])
    picture = Image.new("RGB", size, PAPERS[paper])
    canvas = ImageDraw.Draw(picture)
    slant, lean, width = numbers.uniform(-0.2, 0.25), numbers.uniform(-6, 6), numbers.uniform(0.75, 1.0)
    for stroke in way:
        points = wobbled(np.array(corners(stroke)), numbers)
        x, y = (points[:, 0] - 0.5) * width - slant * (points[:, 1] - 0.5), points[:, 1] - 0.5
        turned = np.radians(lean)
        x, y = x * np.cos(turned) - y * np.sin(turned), x * np.sin(turned) + y * np.cos(turned)
        places = np.stack([margin[0] + height * (x + 0.5), margin[2] + height * (y + 0.5)], 1)
        for place in places:  # round ends and corners
            canvas.ellipse([*(place - pen / 2), *(place + pen / 2)], fill=ink)
        canvas.line([tuple(place) for place in places], fill=ink, width=max(1, round(pen)))
    picture = picture.filter(ImageFilter.GaussianBlur(height * numbers.uniform(0.002, 0.012)))
    grain = numbers.normal(0, numbers.uniform(0, 4), (size[1], size[0], 1))
    shade = np.linspace(0, numbers.uniform(-8, 8), size[0])[None, :, None]
    return Image.fromarray((np.asarray(picture) + grain + shade).clip(0, 255).astype(np.uint8))


def corners(stroke):
    """The points of a stroke, close to one another."""
    if stroke[0] == "arc":
        _, x, y, rx, ry, start, end = stroke
        angles = np.radians(np.linspace(start, end, 60))
        return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)
    points = np.array(stroke, dtype=float)
    steps = np.linspace(0, 1, 20)[:, None]
    return np.concatenate([a + (b - a) * steps for a, b in itertools.pairwise(points)])


def wobbled(points, numbers):
    """The hand is not steady: slow waves in both directions."""
    along = np.linspace(0, 2 * np.pi, len(points))
    phases, sizes = numbers.uniform(0, 2 * np.pi, (2, 2)), numbers.normal(0, 0.015, (2, 2))
    waves = [sum(sizes[k, i] * np.sin((k + 1) * along + phases[k, i]) for k in range(2)) for i in range(2)]
    return points + np.stack(waves, 1)
