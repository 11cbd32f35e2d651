"""The accuracy page: sections of markdown between markers, each written by the code that computed it."""

from __future__ import annotations

from collections.abc import Sequence

from executor.estimate.accuracy import RULE, GroupScore, Setting
from executor.estimate.measured_points import Cleaned
from executor.estimate.published_points import Compared, compared
from executor.model.cost import USABLE_SHARE, Layout, memory_fit
from executor.model.spec import model_spec
from executor.reference.accelerators import accelerator

TITLE = "# Accuracy\n\nEvery section below is written by a command; its numbers are not edited by hand.\n"

MEMORY_CASES = (
    ("DeepSeek-R1", "fp8", "H20-96GB", Layout(8)),
    ("DeepSeek-R1", "fp8", "H20-141GB", Layout(8)),
    ("DeepSeek-R1", "fp8", "H100-SXM", Layout(8)),
    ("DeepSeek-R1", "fp8", "H200-SXM", Layout(8)),
    ("DeepSeek-R1", "int8", "Ascend-910C", Layout(8)),
    ("Qwen3-32B", "bf16", "H100-SXM", Layout(1)),
    ("Qwen3-32B", "fp8", "H20-96GB", Layout(1)),
    ("Qwen3-235B-A22B", "fp8", "H100-SXM", Layout(4)),
    ("Kimi-K2.5", "int4", "H200-SXM", Layout(8)),
    ("Llama-3.3-70B", "bf16", "H100-SXM", Layout(2)),
)

MISSED = """### What is not known, and what misses

- TTFT stays near 30 % with four rows: it depends on how a benchmark was run (how many waves of requests, equal or
  jittered lengths) more than on the GPU. The fit weighs several readings; a plan uses none of them, but open arrivals.
- Replicas whose weights nearly fill the memory err most: one hundredth of the memory share is thousands of tokens
  of KV cache. Rows where requests wait for the cache have one-sided, larger errors.
- No row of H20 or of a domestic card calibrates anything. Their figures are carried over term by term, labelled
  extrapolated or estimated, and their intervals are assumptions until somebody measures.
- Pipeline stages, drafted tokens (MTP) and prefix hits are modelled and have no measured row here; what leaves a
  node has three published figures of prefill, which the model underrates by about 30 %, and one of decode.
- The 80 % intervals were made wider by 1.2 with rows and 1.4 without, factors found on the same public file. Without
  rows they are then scaled, metric by metric, so that they hold 80 % of the shipped calibration rows, each group
  predicted from the others (split conformal). A set-up never seen is one draw of a group, so the share of groups is
  the one to hold against 80 %; the rows of three large groups, 381 of 501, lie inside together.
- Other forms were tried on the same file (note of 2026-11-24): affine in the concurrency, with context and prefill
  share, err by 13 to 50 % with four rows; dropping collectives, the host's cost per sequence, the KV limit or the
  benchmark's reading costs 1 to 5 points of TPOT each."""


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
    held = " --held-out" if any(setting.held_out for setting in settings) else ""
    parts = [
        "## Serving throughput",
        f"`waferlag score --cases {source}{held}`: {len(cleaned.cases)} measured rows in"
        f" {len(settings[0].groups) + len(settings[0].uncalibrated)} groups of one (GPU, engine, version, model,"
        f" precision); {len(cleaned.rejected)} rows left out by rules that look at no prediction (below)."
        " Error: mean absolute difference of predicted and measured, in % of measured; bias: mean difference;"
        " coverage: share of measured rows inside the interval named 80 %. Means over groups, each group counting"
        " once.",
        _summary_table(settings),
        f"Calibration rows: {RULE} They are never scored. Groups with fewer than two calibration rows are listed,"
        " not averaged, where rows are used. The priors of the engines that ship were fitted to the public file"
        " throughput_measured.csv as a whole: a score of that file without rows is kind. Where a setting is called"
        " held out, each group's prior was made from the other groups alone.",
        *(_group_table(setting) for setting in settings),
        _rejected(cleaned),
        _published_table(compared()),
        _memory_table(),
        MISSED,
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
            f"{setting.rows_at_most}{', held out' if setting.held_out else ''}",
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
    title += ", prior of the other groups alone" if setting.held_out else ""
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


def _published_table(found: Sequence[Compared]) -> str:
    held = sum(point.inside for point in found)
    lines = [
        "### Single published figures",
        "",
        "Figures of blogs, vendors' tables and repositories (executor/reference/published_points.csv). None of them"
        " calibrates anything. The terms for attention DP, expert dispatch and overlap follow from how engines work,"
        " but were written with the rows of DP layouts in view; the others were not looked at."
        f" {held} of {len(found)} lie inside the interval named 80 %.",
        "",
        "| set-up | metric | published | predicted (80 %) | error | label | source |",
        "|" + "---|" * 7,
    ]
    for point in found:
        note = f" ({point.note})" if point.note else ""
        lines.append(
            f"| {point.set_up}{note} | {point.metric} | {point.published:g} | {point.predicted} |"
            f" {_signed(point.error)} % | {point.label} | {point.source} |"
        )
    return "\n".join(lines)


def _memory_table() -> str:
    lines = [
        "### What fits",
        "",
        f"Weights and KV cache may fill {USABLE_SHARE:.0%} of the memory as sold. An engine's own start-up log says"
        " how many tokens of KV cache it got: give it with --kv-tokens, it is worth more than any measured row.",
        "",
        "| set-up | weights, GB per GPU | left for KV, GB (GiB) per GPU | tokens of KV per replica | fits |",
        "|" + "---|" * 5,
    ]
    for model, precision, gpu, layout in MEMORY_CASES:
        fit = memory_fit(model_spec(model), layout, precision, accelerator(gpu))
        left = f"{fit.free_gb:.1f} ({fit.free_gb * 1e9 / 2**30:.1f})"
        cells = [
            f"{model} {precision} on {layout.gpus} x {gpu}",
            f"{fit.weights_gb:.1f}",
            left,
            f"{fit.kv_tokens:,.0f}",
            "yes" if fit.fits else f"no, {-fit.free_gb:.1f} GB per GPU are missing",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
        held = ", prior of the other groups alone" if setting.held_out else ""
        lines += [
            "",
            f"at most {setting.rows_at_most} calibration rows per group{held}: {total.calibration_rows} calibrate,"
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
