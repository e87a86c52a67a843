"""Interleaved measurements and their table."""

import statistics


def interleaved(measurements, rounds):
    """Runs every `name -> function returning seconds` in turn, `rounds` times; returns the lists of seconds."""
    seconds = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, measure in measurements.items():
            seconds[name].append(measure())
    return seconds


def table(title, seconds, unit=1.0, suffix="s"):
    """Prints medians, the spread, and the ratio to the first one."""
    first = statistics.median(next(iter(seconds.values())))
    width = max(map(len, seconds))
    print(f"\n{title}")
    print(f"{'':{width}}  {'median':>10}  {'lowest':>10}  {'highest':>10}  {'ratio':>6}")
    for name, values in seconds.items():
        median = statistics.median(values)
        cells = "  ".join(f"{value * unit:8.2f} {suffix}" for value in (median, min(values), max(values)))
        print(f"{name:{width}}  {cells}  {median / first:6.2f}")
