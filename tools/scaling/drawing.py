"""Efficiency over ranks, a line a policy; and over K, a line a number of ranks, with the smallest K that hides the network
marked. Needs matplotlib."""

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from runs.drawing import INK, STYLE, plt, style

INCHES = (9, 4.2)
MARKS = ((0.01, "o", "●"), (0.05, "s", "■"))  # share, marker, and that as a letter


def plain(value, _=None):
    return f"{value:g}"


def over_ranks(axes, rows):
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    for number, policy in enumerate(policies):
        own = [row for row in rows if row["policy"] == policy]
        axes.plot([row["ranks"] for row in own], [100 * row["efficiency"] for row in own], label=policy, **style(number))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted({row["ranks"] for row in rows}))
    axes.set_xlabel("ranks")
    return axes.get_legend_handles_labels()[0]


def over_periods(axes, curves, marks):
    """curves: {ranks: [(K, efficiency)]}; marks: {ranks: {share: K}}, each K on its curve. The legend has them as numbers:
    marks lie on each other where a network hardly feels more ranks."""
    for number, (ranks, points) in enumerate(curves.items()):
        look = {**style(number), "marker": ""}
        periods = ", ".join(f"{sign} {marks[ranks][share]:,}" for share, _, sign in MARKS)
        axes.plot([period for period, _ in points], [100 * efficiency for _, efficiency in points],
                  label=f"{ranks} ranks: {periods}", **look)
        known = dict(points)
        for share, marker, _ in MARKS:
            period = marks[ranks][share]
            axes.plot([period], [100 * known[period]], marker=marker, color=look["color"], markersize=6, linestyle="")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("K, steps between averages of the weights (every:K)")
    return axes.get_legend_handles_labels()[0] + [
        Line2D([], [], marker=marker, color=INK, linestyle="", markersize=5, label=f"smallest K: network ≤ {share:.0%}")
        for share, marker, _ in MARKS]


def figure_of(rows, curves, marks, title):
    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=INCHES, layout="constrained")
        handles = [over_ranks(left, rows), over_periods(right, curves, marks)]
        for axes, found, columns in zip((left, right), handles, (3, 2)):
            axes.set_title("scaling efficiency (%)", loc="left")
            axes.xaxis.set_major_formatter(FuncFormatter(plain))
            axes.yaxis.set_major_locator(MaxNLocator(6))
            top = axes.get_ylim()[1]
            axes.set_ylim(top=max(top, 101))
            axes.legend(handles=found, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns)
        figure.suptitle(title, fontsize=9, x=0.01, horizontalalignment="left")
        return figure
