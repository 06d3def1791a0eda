"""A page about runs, complete in itself: warnings, table, curves, configuration, provenance. Looks nothing up."""

import html
import shlex

from runs import drawing
from runs.columns import is_of_target, table_of
from runs.formats import cells
from runs.groups import differences, of_distinct_settings, text_of
from runs.messages import count
from runs.warnings import warnings


def colours(names):
    return " ".join(f"--group-{number}: {colour};" for number, colour in enumerate(names))


STYLE = """
:root { LIGHT color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #d5dae0; --shade: #f4f6f8;
        --mark: #fff1c2; --alarm: #8a2c0d; }
@media (prefers-color-scheme: dark) {
  :root { DARK --paper: #15181c; --ink: #e4e7ea; --soft: #9aa4ae; --line: #363d45; --shade: #1e2328; --mark: #4a3d12;
          --alarm: #ff9d76; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(0.8rem, 3vw, 2.5rem) 3rem; max-width: 80rem; background: var(--paper);
       color: var(--ink); font: 15px/1.45 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 0.2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 0.6rem; padding-bottom: 0.2rem; border-bottom: 1px solid var(--line); }
p { margin: 0.3rem 0; }
.soft { color: var(--soft); }
.warnings { margin: 1rem 0; padding: 0.5rem 0.5rem 0.5rem 1.8rem; border-left: 4px solid var(--alarm);
            background: var(--shade); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
.wide + .wide, .commands { margin-top: 1rem; }
.commands dt { margin-top: 0.5rem; color: var(--soft); }
.commands dd { margin: 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { vertical-align: bottom; }
tbody th { white-space: nowrap; }
td:first-child { min-width: 8rem; }
td.figure, th.figure { text-align: right; white-space: nowrap; }
th.figure { white-space: normal; }
.differs { background: var(--mark); }
.key { display: flex; flex-wrap: wrap; gap: 0.3rem 1.4rem; list-style: none; margin: 0 0 0.6rem; padding: 0; }
.key li { display: flex; align-items: center; gap: 0.5rem; }
.key svg { width: 3rem; height: 1rem; flex: none; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.panels svg { width: 100%; height: auto; max-width: 40rem; }
.settings { columns: 17rem auto; column-gap: 2rem; margin: 0.5rem 0; }
.settings div { display: flex; justify-content: space-between; gap: 1rem; break-inside: avoid;
                border-bottom: 1px solid var(--line); padding: 0.1rem 0; font-size: 0.9rem; }
.settings dt { color: var(--soft); }
.settings dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
code { font: 0.85rem/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
summary { cursor: pointer; }
figure { margin: 0; }
@media print { body { max-width: none; } }
""".replace("LIGHT", colours(drawing.COLOURS)).replace("DARK", colours(drawing.ON_DARK))
# What each run's part of the provenance says: heading, and the text of the summary.
PROVENANCE = (
    ("state", lambda run: run.state),
    ("seed", lambda run: str(run.configuration.get("seed", ""))),
    ("started", lambda run: run.summary.get("started", "")),
    ("host", lambda run: run.summary.get("host", "")),
    ("device", lambda run: run.summary.get("device", "")),
    ("precision", lambda run: run.summary.get("precision", "")),
    ("ranks", lambda run: str(run.summary.get("world_size", ""))),
    ("version", lambda run: f"{run.summary.get('version', '')} ({run.summary.get('commit', 'no commit')}"
                            f"{', with changes' if run.summary.get('dirty') else ''})"),
    ("build", lambda run: ", ".join(filter(None, (run.summary.get("compiler"), run.summary.get("build_type"))))),
    ("libraries", lambda run: ", ".join(f"{name} {text}" for name, text in (run.summary.get("versions") or {}).items())),
    ("data", lambda run: f"{run.summary.get('data', '')}, {run.summary.get('data_origin', '')}"),
    ("checksum of the data", lambda run: run.summary.get("data_checksum", "")),
)


def escape(text):
    return html.escape(str(text))


def page(groups, found, axis, title, target=None, baseline=None):
    """The whole page; `found` are the panels' curves."""
    runs = [run for group in groups for run in group.runs]
    parts = [heading(title, groups, runs), warning_list(groups), results(groups, target, baseline),
             curve_panels(groups, found, axis), configuration(groups), provenance(runs)]
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(filter(None, parts)) + "\n</body>\n</html>\n")


def heading(title, groups, runs):
    data = sorted({run.summary["data"] for run in runs if run.summary.get("data")})
    models = sorted({run.summary["model"] for run in runs if run.summary.get("model")})
    text = f"{count(len(runs), 'run')} of {count(len(groups), 'configuration')}"
    return (f"<h1>{escape(title)}</h1>\n"
            f'<p class="soft">{escape(", ".join([text, *("network " + name for name in models), *data]))}</p>')


def warning_list(groups):
    lines = warnings(groups)
    return '<ul class="warnings">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""


def results(groups, target, baseline):
    headings, rows = table_of(groups, target, baseline)
    extra = [heading for heading in headings if is_of_target(heading)]
    text = table([heading for heading in headings if heading not in extra], rows)
    if extra:
        text += "\n" + table(["run", "n", *extra], [row for row in rows if extra[0] in row])
    return (f"<h2>Results</h2>\n{text}\n"
            '<p class="soft">Mean ± standard deviation over runs that differ only by their seed; n is their number.</p>')


def table(headings, rows):
    kinds = ['' if heading in ("run", "state") else ' class="figure"' for heading in headings]
    head = "".join(f"<th{kind}>{escape(heading)}</th>" for heading, kind in zip(headings, kinds))
    body = "".join("<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(cells(headings, row), kinds)) +
                   "</tr>\n" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>'


def curve_panels(groups, found, axis):
    if not found:
        return ""
    handles = drawing.group_entries(groups) + drawing.reading_entries(found)
    keys = "".join(f"<li>{drawing.svg_key(handle, f'key-{number}')}<span>{escape(handle.get_label())}</span></li>"
                   for number, handle in enumerate(handles))
    panels = "".join(f"<figure>{drawing.svg_panel(name, curves, axis, drawing.last_x(found))}</figure>\n"
                     for name, curves in found.items())
    return f'<h2>Curves</h2>\n<ul class="key">{keys}</ul>\n<div class="panels">\n{panels}</div>'


def configuration(groups):
    """Where groups are compared: in what they differ, side by side; what they share below, folded."""
    configured = [group for group in of_distinct_settings(groups) if group.runs[0].configuration]
    if not configured:
        return ""
    different = differences(configured)
    shared = {name: value for name, value in configured[0].settings.items() if name not in different}
    table = ""
    if different:
        head = "".join(f"<th>{escape(group.label)}</th>" for group in configured)
        lines = "".join(setting_row(name, [text_of(group.settings.get(name)) for group in configured]) for name in different)
        table = (f'<div class="wide"><table><thead><tr><th>setting</th>{head}</tr></thead>\n<tbody>\n{lines}</tbody></table>'
                 "</div>\n")
    same = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text_of(value))}</dd></div>" for name, value in shared.items())
    opened = "" if different else " open"
    return (f"<h2>Configuration</h2>\n{table}<details{opened}><summary>{len(shared)} settings"
            f'{" that all runs share" if different else ""}</summary>\n<dl class="settings">{same}</dl></details>')


def setting_row(name, values):
    """Marked where a value is not the first group's."""
    kinds = ["" if value == values[0] else ' class="differs"' for value in values]
    texts = "".join(f"<td{kind}>{escape(value)}</td>" for value, kind in zip(values, kinds))
    return f"<tr><th>{escape(name)}</th>{texts}</tr>\n"


def provenance(runs):
    """What all runs share stands once; the rest, and the command lines, run by run."""
    texts = {heading: [text(run) for run in runs] for heading, text in PROVENANCE}
    shared = {heading: found[0] for heading, found in texts.items() if len(set(found)) == 1 and found[0].strip(", ")}
    own = [heading for heading, found in texts.items() if len(set(found)) > 1]
    common = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>\n" for name, text in shared.items())
    parts = [f'<div class="wide"><table><tbody>\n{common}</tbody></table></div>']
    if own:
        head = "".join(f"<th>{escape(name)}</th>" for name in ["run", *own])
        rows = "".join(f"<tr><td>{escape(run.name)}</td>" + "".join(f"<td>{escape(texts[name][at])}</td>" for name in own) +
                       "</tr>\n" for at, run in enumerate(runs))
        parts.append(f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>')
    commands = "".join(f"<dt>{escape(run.name)}</dt><dd><code>{escape(command_of(run))}</code></dd>\n" for run in runs)
    return "<h2>Provenance</h2>\n" + "\n".join(parts) + f'\n<dl class="commands">{commands}</dl>'


def command_of(run):
    return shlex.join(map(str, run.summary.get("command_line") or [])) or "no command line in its summary.json"
