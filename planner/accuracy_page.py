"""The accuracy page: sections of markdown between markers, each written by the code that computed it."""

from __future__ import annotations

from collections.abc import Sequence

from planner.measured import Cleaned
from planner.score import RULE, GroupScore, Setting

TITLE = "# Accuracy\n\nEvery section below is written by a command; its numbers are not edited by hand.\n"


def with_section(page: str, name: str, section: str) -> str:
    """The page with the section of that name replaced, or added at its end; other sections stay as they are.

    >>> print(with_section("# Accuracy\\n", "serving", "text"))
    # Accuracy
    <BLANKLINE>
    <!-- section: serving -->
    text
    <!-- end of section: serving -->
    <BLANKLINE>
    """
    first, last = f"<!-- section: {name} -->", f"<!-- end of section: {name} -->"
    block = f"{first}\n{section.strip()}\n{last}\n"
    if first in page and last in page:
        before, rest = page.split(first, 1)
        return before + block + rest.split(last, 1)[1].lstrip("\n")
    return f"{(page or TITLE).rstrip()}\n\n{block}"


def serving_section(settings: Sequence[Setting], cleaned: Cleaned, source: str) -> str:
    """Section "Serving throughput": what was scored, by which rules, with which result, group by group."""
    parts = [
        "## Serving throughput",
        f"`waferlag score --cases {source}`: {len(cleaned.cases)} measured rows in"
        f" {len(settings[0].groups) + len(settings[0].uncalibrated)} groups of one (GPU, engine, version, model,"
        f" precision); {len(cleaned.rejected)} rows left out by rules that look at no prediction (below)."
        " Error: mean absolute difference of predicted and measured, in % of measured; bias: mean difference;"
        " coverage: share of measured rows inside the interval named 80 %. Means over groups, each group counting"
        " once.",
        _summary_table(settings),
        f"Calibration rows: {RULE} They are never scored. Groups with fewer than two calibration rows are listed,"
        " not averaged, where rows are used. The priors of the engines were fitted to this public file as a whole,"
        " so the figures without rows are kind; with every group left out of its own prior they were 22 % for TPOT"
        " and 32 % for throughput.",
        *(_group_table(setting) for setting in settings),
        _rejected(cleaned),
    ]
    return "\n\n".join(parts)


def _summary_table(settings: Sequence[Setting]) -> str:
    head = (
        "| calibration rows at most | groups | rows that calibrate | rows scored | TPOT | throughput | TTFT"
        " | worst group TPOT | coverage TPOT / throughput / TTFT, groups (rows) |"
    )
    lines = [head, "|" + "---|" * 9]
    for setting in settings:
        total = setting.summary
        cover = " / ".join(
            f"{_share(total.coverage[m])} ({_share(total.coverage_by_row[m])})"
            for m in ("tpot", "throughput", "ttft")
        )
        cells = [
            str(setting.rows_at_most),
            str(total.groups),
            str(total.calibration_rows),
            str(total.scored_rows),
            *(f"{_share(total.error[m])} ({_signed(total.bias[m])})" for m in ("tpot", "throughput", "ttft")),
            _share(total.worst["tpot"]),
            cover,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _group_table(setting: Setting) -> str:
    asked = setting.rows_at_most
    title = "Without rows of the group" if asked == 0 else f"At most {asked} rows of the group"
    lines = [
        f"### {title}",
        "",
        "| group | label | rows that calibrate | scored | TPOT | throughput | TTFT | coverage TPOT / thr / TTFT |",
        "|" + "---|" * 8,
        *(_group_line(group, "") for group in setting.groups),
        *(_group_line(group, " (not averaged)") for group in setting.uncalibrated),
    ]
    return "\n".join(lines)


def _group_line(group: GroupScore, mark: str) -> str:
    metrics = [getattr(group, m) for m in ("tpot", "throughput", "ttft")]
    cells = [
        f"{group.group}{mark}",
        group.label,
        str(len(group.calibration_lines)),
        str(group.scored),
        *(f"{_share(m.error)} ({_signed(m.bias)})" for m in metrics),
        " / ".join(_share(m.coverage) for m in metrics),
    ]
    return f"| {' | '.join(cells)} |"


def _rejected(cleaned: Cleaned) -> str:
    if not cleaned.rejected:
        return "No row was left out."
    reasons: dict[str, list[int]] = {}
    for row in cleaned.rejected:
        reasons.setdefault(row.reason, []).append(row.line)
    listed = [f"- {reason}: line(s) {_lines(lines)}" for reason, lines in reasons.items()]
    noted = [f"- line {case.line}: {note}" for case in cleaned.cases for note in case.notes]
    text = "### Rows left out, and rows read with a remark\n\n" + "\n".join(listed)
    return text + ("\n" + "\n".join(noted) if noted else "")


def _lines(lines: Sequence[int]) -> str:
    shown = ", ".join(str(line) for line in lines[:30])
    return shown if len(lines) <= 30 else f"{shown} and {len(lines) - 30} more"


def _share(value: float) -> str:
    return f"{100 * value:.3g} %" if abs(value) < 1 else f"{100 * value:.0f} %"


def _signed(value: float) -> str:
    return f"{100 * value:+.0f}"


def score_text(settings: Sequence[Setting], cleaned: Cleaned) -> str:
    """The score on a terminal: one table per setting, means first."""
    lines = [
        f"{len(cleaned.cases)} rows read, {len(cleaned.rejected)} left out (their reasons: --json or --markdown)"
    ]
    for setting in settings:
        total = setting.summary
        lines += [
            "",
            f"at most {setting.rows_at_most} calibration rows per group: {total.calibration_rows} calibrate,"
            f" {total.scored_rows} scored in {total.groups} groups",
            f"  {'group':<58} {'cal':>3} {'rows':>4} {'TPOT':>14} {'throughput':>14} {'TTFT':>14}  in 80 %: P/thr/F",
        ]
        lines += [_text_line(group, "") for group in setting.groups]
        lines += [_text_line(group, "*") for group in setting.uncalibrated]
        if total.groups:
            errors = " ".join(
                f"{100 * total.error[m]:6.1f} ({100 * total.bias[m]:+5.0f})"
                for m in ("tpot", "throughput", "ttft")
            )
            cover = "/".join(f"{100 * total.coverage[m]:.0f}" for m in ("tpot", "throughput", "ttft"))
            lines.append(f"  {'mean over groups, error in % (bias)':<67} {errors}  {cover}")
        if setting.uncalibrated:
            lines.append("  * fewer than two calibration rows: listed, not averaged")
    return "\n".join(lines)


def _text_line(group: GroupScore, mark: str) -> str:
    metrics = [getattr(group, m) for m in ("tpot", "throughput", "ttft")]
    errors = " ".join(f"{100 * m.error:6.1f} ({100 * m.bias:+5.0f})" for m in metrics)
    cover = "/".join(f"{100 * m.coverage:.0f}" for m in metrics)
    name = f"{group.group}{mark}"
    return f"  {name[:58]:<58} {len(group.calibration_lines):>3} {group.scored:>4} {errors}  {cover}"
