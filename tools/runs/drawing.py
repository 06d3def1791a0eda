"""Pictures of curves, with matplotlib: panels beside each other, one style a group of runs, a legend outside the data.

A group is told by colour (Okabe and Ito's, for every kind of colour vision), dashes and marker together; in a panel
training is thin and without markers, validation has hollow ones, test full ones."""

import io
import os
import re

from python_packages import cache

# Its list of fonts lies with the rest of what is fetched or made; a user's own settings would change the pictures.
os.environ.setdefault("MPLCONFIGDIR", str(cache() / "matplotlib"))
import matplotlib  # noqa: E402

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.patches import Patch  # noqa: E402
from matplotlib.ticker import (  # noqa: E402
    EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, SymmetricalLogLocator)

from runs.curves import AXES, QUANTITIES  # noqa: E402

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
ON_DARK = ("#4BA8E0", "#FF8A50", "#2EC79B", "#E3A1C6", "#F2B632", "#8AD0F5", "#A8A8A8")  # the same, lighter
DASHES = ((None, None), (5, 1.6), (1.4, 1.4), (6, 1.5, 1.4, 1.5))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_MARKERS = 12  # of a line
INK = "#1a1a1a"    # text and axes; in a page it becomes the page's own colour
GRID = "#b0b0b0"
STYLE = {
    "font.size": 8, "axes.labelsize": 8, "axes.titlesize": 8.5, "legend.fontsize": 8, "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.7,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GRID, "grid.alpha": 0.35, "grid.linewidth": 0.5,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "lines.linewidth": 1.4, "lines.markersize": 3.6, "lines.markeredgewidth": 0.9, "lines.solid_capstyle": "round",
    "savefig.dpi": 220, "pdf.fonttype": 42, "ps.fonttype": 42,
    "legend.frameon": False, "legend.handlelength": 3.2,
}
PANEL_HEIGHT = 2.3  # inches
BAND = 0.18         # opacity


def style(number):
    """Of the group of that number: 28 that differ in dashes or marker, whatever their colours."""
    return {"color": COLOURS[number % len(COLOURS)], "dashes": DASHES[number % len(DASHES)],
            "marker": MARKERS[number % len(MARKERS)]}


def line_look(name):
    """Of a line that is called so."""
    if name == "training":
        return {"marker": "", "linewidth": 0.9}
    return {"markerfacecolor": "none"} if name == "validation" else {}


def last_x(found):
    """Where the longest curve of all panels ends."""
    return max(points[-1].x for curves in found.values() for points in curves.values())


def x_axis(axis, last):
    """(label, scale) of the axis; seconds become minutes or hours where they are many."""
    if axis != "time":
        return AXES[axis], 1
    unit, seconds = ("s", 1) if last < 300 else ("min", 60) if last < 3 * 3600 else ("h", 3600)
    return f"{AXES[axis]} ({unit})", 1 / seconds


def draw_panel(axes, name, curves, axis, last):
    """The curves of a quantity, {(group's number, line): points}, over the x axis up to `last`."""
    quantity = QUANTITIES[name]
    label, scale = x_axis(axis, last)
    groups = 1 + max(number for number, _ in curves)
    for (number, line), points in curves.items():
        x = [point.x * scale for point in points]
        look = {**style(number), **(line_look(line.name) if len(quantity.lines) > 1 else {})}
        if len(points) > MOST_MARKERS:  # staggered, so that lines which lie on each other all show theirs
            every = len(points) // (MOST_MARKERS // 2)
            look["markevery"] = (number * every // groups, every)
        axes.plot(x, [point.mean for point in points], **look)
        if points[0].deviation is not None:
            axes.fill_between(x, [point.mean - point.deviation for point in points],
                              [point.mean + point.deviation for point in points], color=look["color"], alpha=BAND,
                              linewidth=0)
    axes.set_title(quantity.title + (f" ({quantity.unit})" if quantity.unit else ""), loc="left")
    axes.set_xlabel(label)
    axes.set_xlim(0, 1.03 * last * scale)
    if axis == "images":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    elif axis == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    scale_y(axes, name, [point.mean for points in curves.values() for point in points])


def scale_y(axes, name, values):
    """Rates and speeds from zero; loss and distance in logarithms where they span much."""
    if name in ("learning-rate", "speed"):
        axes.set_ylim(bottom=0)
    elif name in ("loss", "distance") and min(values) > 0 and max(values) > 4 * min(values):
        axes.set_yscale("log")
        if max(values) < 200 * min(values):  # few decades: plain numbers, at 1, 2, 3 and 5 of each
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def group_label(group):
    size = len(group.samples)
    return group.label + (f", n = {size}" if size > 1 else "")


def group_entries(groups):
    """Handles that carry their labels."""
    return [Line2D([], [], label=group_label(group), **style(number)) for number, group in enumerate(groups)]


def reading_entries(found):
    """What thin, hollow and shaded mean, where that occurs."""
    names = {line.name for name, curves in found.items() if len(QUANTITIES[name].lines) > 1 for _, line in curves}
    handles = [Line2D([], [], label=name, **{"color": INK, "marker": "o", **line_look(name)})
               for name in ("training", "validation", "test") if name in names and len(names) > 1]
    if any(points[0].deviation is not None for curves in found.values() for points in curves.values()):
        handles.append(Patch(facecolor=INK, alpha=BAND, label="± standard deviation"))
    return handles


def legend_table(groups, found, width):
    """(handles, columns): the groups in the first columns, as many as `width` inches hold, what the lines mean in the
    last."""
    entries, reading = group_entries(groups), reading_entries(found)
    if len(entries) == 1 and len(entries[0].get_label()) < 30:
        return entries + reading, 1 + len(reading)
    inches = max(len(entry.get_label()) for entry in entries) / 15 + 0.6  # 15 letters an inch, and the line beside them
    columns = max(1, min(int((width - 1.8) / inches), -(-len(entries) // max(1, len(reading)))))
    rows = max(-(-len(entries) // columns), len(reading))
    nothing = Line2D([], [], linestyle="", label=" ")
    entries += [nothing] * (rows * columns - len(entries))
    reading += [nothing] * (rows - len(reading)) if reading else []
    return entries + reading, columns + bool(reading)


def figure_of(groups, found, axis, title=None):
    """All panels, over the same part of the x axis, and their legend."""
    with plt.rc_context(STYLE):
        columns = 1 if len(found) == 1 else 2 if len(found) in (2, 4) else 3
        rows = -(-len(found) // columns)
        width = {1: 4.8, 2: 7, 3: 9}[columns]
        handles, legend_columns = legend_table(groups, found, width)
        legend_rows = -(-len(handles) // legend_columns)
        figure, axes = plt.subplots(rows, columns, squeeze=False, layout="constrained",
                                    figsize=(width, PANEL_HEIGHT * rows + 0.17 * legend_rows + 0.1))
        places = list(axes.flat)
        for place, (name, curves) in zip(places, found.items()):
            draw_panel(place, name, curves, axis, last_x(found))
        for place in places[len(found):]:
            place.set_axis_off()
        figure.legend(handles=handles, loc="outside lower left", ncols=legend_columns)
        if title:
            figure.suptitle(title, fontsize=9, x=0.01, horizontalalignment="left")
        return figure


def figure_of_intervals(names, series, label, title):
    """{series: [(mean, half of its interval) of each name]} as points beside each other, in a style each. Where values are
    too far apart, logarithmic from 1 on."""
    with plt.rc_context({**STYLE, "axes.grid.axis": "y"}):
        figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
        for number, points in enumerate(series.values()):
            shift = 0.4 * ((number + 0.5) / len(series) - 0.5)
            look = style(number)
            axes.errorbar([at + shift for at in range(len(names))], [mean for mean, _ in points],
                          [half for _, half in points], linestyle="", marker=look["marker"], color=look["color"],
                          markersize=5, capsize=2.5, elinewidth=1)
        axes.axhline(0, color=INK, linewidth=0.7)
        if max(abs(mean) + half for points in series.values() for mean, half in points) > 10:
            axes.set_yscale("symlog", linthresh=1)
            axes.margins(y=0.1)  # the outermost whole
            axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xticks(range(len(names)), names)
        axes.set_ylabel(label)
        axes.set_title(title, loc="left")
        handles = [Line2D([], [], linestyle="", marker=style(number)["marker"], color=style(number)["color"], label=name)
                   for number, name in enumerate(series)]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
        return figure


def save(figure, path):
    """As its name says: .png, .pdf, .svg. Without the date, so that the same runs give the same file."""
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with plt.rc_context({**STYLE, "svg.hashsalt": "convoy"}):
        figure.savefig(path, metadata=metadata.get(path.suffix[1:].lower()))
    plt.close(figure)


def page_style(salt):
    """Text as text, not as shapes."""
    return {**STYLE, "svg.fonttype": "none", "svg.hashsalt": salt}


def svg_panel(name, curves, axis, last):
    """A panel alone as an <svg> for a page: no ids that another one on it could have, text in the page's own font and
    colour, the groups' colours as the page's --group-N."""
    salt = f"convoy-{name}"
    with plt.rc_context(page_style(salt)):
        figure, axes = plt.subplots(layout="constrained", figsize=(4.2, 2.7))
        draw_panel(axes, name, curves, axis, last)
        return inline(figure, salt)


def svg_key(handle, salt):
    """A legend's handle as a small <svg>."""
    with plt.rc_context(page_style(salt)):
        figure = plt.figure(figsize=(0.5, 0.16))
        axes = figure.add_axes((0, 0, 1, 1), frameon=False)
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        if isinstance(handle, Patch):
            axes.axhspan(0, 1, color=handle.get_facecolor(), linewidth=0)
        else:
            handle.set_data([0.06, 0.5, 0.94], [0.5, 0.5, 0.5])
            handle.set_markevery([1])
            handle.set_transform(axes.transData)
            axes.add_line(handle)
        return inline(figure, salt)


def inline(figure, salt):
    """The figure as an <svg>; no other on the page with another salt has the same ids."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    plt.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg"):]
    prefix = re.sub(r"\W", "-", salt)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(xlink:href="|url\()#', rf"\1#{prefix}-", svg)
    svg = svg.replace(INK, "currentColor")
    for number, colour in enumerate(COLOURS):
        svg = svg.replace(colour.lower(), f"var(--group-{number})")
    # The text's size only: the family is the page's.
    return re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
