"""A table as text, CSV, Markdown or LaTeX: headings, and rows of texts and Figures."""

import csv
import io
import re

from runs.columns import Figure


def words(cell, size, plus_minus=" ± "):
    """A cell as a person reads it; how many values it is of where that is not the row's n."""
    if not isinstance(cell, Figure):
        return cell
    text = f"{cell.mean:,.{cell.digits}f}"
    if cell.deviation is not None and (cell.deviation > 0 or cell.digits > 0):
        text += f"{plus_minus}{cell.deviation:,.{cell.digits}f}"
    return text if str(cell.n) == size or not size else f"{text} (n = {cell.n})"


def cells(headings, row, plus_minus=" ± "):
    return [words(row.get(heading, ""), row.get("n", ""), plus_minus) for heading in headings]


def as_text(headings, rows):
    lines = [headings, *(cells(headings, row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    is_left = [heading in ("run", "state") for heading in headings]
    return "\n".join("  ".join(cell.ljust(width) if left else cell.rjust(width)
                               for cell, width, left in zip(line, widths, is_left)).rstrip() for line in lines) + "\n"


def as_csv(headings, rows):
    """Figures unrounded, each with its deviation in a column beside it where any row has one."""
    columns = []
    for heading in headings:
        columns.append((heading, heading, "mean"))
        if any(isinstance(row.get(heading), Figure) and row[heading].deviation is not None for row in rows):
            columns.append((f"{heading} deviation", heading, "deviation"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([name for name, _, _ in columns])
    writer.writerows([unrounded(row.get(heading, ""), part) for _, heading, part in columns] for row in rows)
    return text.getvalue()


def unrounded(cell, part):
    """A Figure's `mean` or `deviation`; a text as it is."""
    value = getattr(cell, part) if isinstance(cell, Figure) else cell
    return "" if value is None else value if isinstance(value, str) else f"{value:.9g}"


def as_markdown(headings, rows):
    lines = [headings, ["---" if heading in ("run", "state") else "---:" for heading in headings]]
    lines += [[cell.replace("|", "\\|") for cell in cells(headings, row)] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def as_latex(headings, rows):
    """A tabular that needs no package."""
    def line(texts):
        return " & ".join(map(latex_of, texts)) + " \\\\"
    kinds = "".join("l" if heading in ("run", "state") else "r" for heading in headings)
    body = [line(headings), "\\hline", *(line(cells(headings, row)) for row in rows)]
    return "\n".join([f"\\begin{{tabular}}{{{kinds}}}", "\\hline", *body, "\\hline", "\\end{tabular}"]) + "\n"


def latex_of(text):
    for letter in "&%$#_{}":
        text = text.replace(letter, "\\" + letter)
    text = re.sub(r"(?<=\d),(?=\d{3})", "{,}", text)  # no space after a thousand's comma
    return text.replace(" ± ", " $\\pm$ ").replace("×", "$\\times$")


FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "latex": as_latex}
