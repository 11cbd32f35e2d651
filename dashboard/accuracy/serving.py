"""Serving on the accuracy pages: estimates against measured rows and published figures, formula and replay."""

from collections.abc import Sequence
from itertools import groupby

from dashboard.accuracy.figures import Figures
from dashboard.accuracy.markdown import bullets, share, signed, table

METRICS = ("tpot", "throughput", "ttft")
_LINES = 30
"""Most line numbers that a reason lists."""


def throughput(found: Figures) -> str:
    """What was scored, by which rules, with which result."""
    return "\n\n".join(
        (
            _scored(found),
            _summary(found["settings"]),
            _rules(found),
            _left_out(found),
            _published(found["published"]),
            _memory(found["memory"]),
            _missed(found),
        )
    )


def throughput_headline(found: Figures) -> str:
    """Error of TPOT without and with the most rows of the group."""
    errors = ", ".join(
        f"{share(setting['tpot']['error'])} ({_setting(setting)})"
        for setting in found["settings"]
        if setting["rows_at_most"] in (0, _most_rows(found)["rows_at_most"])
    )
    return f"{found['rows']} measured rows; mean error of TPOT by the rows that calibrate: {errors}"


def _scored(found: Figures) -> str:
    held = " --held-out" if any(setting["held_out"] for setting in found["settings"]) else ""
    return (
        f"`waferlag score --cases {found['source']}{held}`: {found['rows']} measured rows in"
        f" {len(_first_groups(found))} groups of one (GPU, engine, version, model, precision);"
        f" {sum(len(each['lines']) for each in found['left_out'])} rows left out by rules that look at no prediction"
        " (below). Error: mean absolute difference of predicted and measured, in % of measured; bias: mean"
        " difference; coverage: share of measured rows inside the interval named 80 %. Means over groups, each group"
        " counting once."
    )


def _summary(settings: Sequence[Figures]) -> str:
    head = (
        *("calibration rows at most", "groups", "rows that calibrate", "rows scored", "TPOT", "throughput", "TTFT"),
        *("worst group TPOT", "coverage TPOT / throughput / TTFT, groups (rows)"),
    )  # fmt: skip
    rows = [
        (
            _setting(each),
            each["groups"],
            each["calibration_rows"],
            each["scored_rows"],
            *(_error(each[metric]) for metric in METRICS),
            share(each["worst_tpot"]),
            " / ".join(
                f"{share(each[metric]['coverage'])} ({share(each[metric]['coverage_by_row'])})"
                for metric in METRICS
            ),
        )
        for each in settings
    ]
    return table(head, rows)


def _setting(setting: Figures) -> str:
    return f"{setting['rows_at_most']}{', held out' if setting['held_out'] else ''}"


def _error(metric: Figures) -> str:
    return f"{share(metric['error'])} ({signed(metric['bias'])})"


def _rules(found: Figures) -> str:
    return (
        f"Calibration rows: {found['rule']} They are never scored. Groups with fewer than two calibration rows are"
        " listed, not averaged, where rows are used. The priors of the engines that ship were fitted to the public"
        " file throughput_measured.csv as a whole: a score of that file without rows is kind. Where a setting is"
        " called held out, each group's prior was made from the other groups alone."
    )


_HEAD = (
    "group", "label", "rows that calibrate", "scored", "TPOT", "throughput", "TTFT", "coverage TPOT / thr / TTFT",
)  # fmt: skip


def groups(found: Figures) -> str:
    """Every group under every setting, one table each."""
    tables = groupby(found["groups"], key=lambda group: (group["rows_at_most"], group["held_out"]))
    return "\n\n".join(
        f"### {_title(*setting)}\n\n{table(_HEAD, map(_group, members))}" for setting, members in tables
    )


def _title(rows_at_most: int, held_out: bool) -> str:
    title = f"At most {rows_at_most} rows of the group" if rows_at_most else "Without rows of the group"
    return title + (", prior of the other groups alone" if held_out else "")


def _group(group: Figures) -> tuple[object, ...]:
    return (
        f"{group['group']}{'' if group['averaged'] else ' (not averaged)'}",
        group["label"],
        group["calibration_rows"],
        group["scored"],
        *(_error(group[metric]) for metric in METRICS),
        " / ".join(share(group[metric]["coverage"]) for metric in METRICS),
    )


def _first_groups(found: Figures) -> list[Figures]:
    """The groups under the first setting, the largest first."""
    first = found["settings"][0]
    keys = ("rows_at_most", "held_out")
    mine = [each for each in found["groups"] if all(each[key] == first[key] for key in keys)]
    return sorted(mine, key=lambda group: -group["scored"])


def _left_out(found: Figures) -> str:
    if not found["left_out"]:
        return "No row was left out."
    reasons = [f"{each['reason']}: line(s) {_lines(each['lines'])}" for each in found["left_out"]]
    remarks = [f"line {each['line']}: {each['note']}" for each in found["remarks"]]
    return f"### Rows left out, and rows read with a remark\n\n{bullets([*reasons, *remarks])}"


def _lines(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:_LINES]))
    return shown if len(lines) <= _LINES else f"{shown} and {len(lines) - _LINES} more"


def _published(points: Sequence[Figures]) -> str:
    held = sum(point["low"] <= point["published"] <= point["high"] for point in points)
    head = ("set-up", "metric", "published", "predicted (80 %)", "error", "label", "source")
    rows = [
        (
            f"{each['set_up']}{' (' + each['note'] + ')' if each['note'] else ''}",
            each["metric"],
            f"{each['published']:g}",
            f"{each['predicted']:.4g} ({each['low']:.4g}-{each['high']:.4g})",
            f"{signed(each['error'])} %",
            each["label"],
            each["source"],
        )
        for each in points
    ]
    return (
        "### Single published figures\n\n"
        "Figures of blogs, vendors' tables and repositories (executor/reference/published_points.csv). None of them"
        " calibrates anything. The terms for attention DP, expert dispatch and overlap follow from how engines work,"
        " but were written with the rows of DP layouts in view; the others were not looked at."
        f" {held} of {len(points)} lie inside the interval named 80 %.\n\n{table(head, rows)}"
    )


def _memory(memory: Figures) -> str:
    head = (
        "set-up",
        "weights, GB per GPU",
        "left for KV, GB (GiB) per GPU",
        "tokens of KV per replica",
        "fits",
    )
    rows = [
        (
            each["set_up"],
            f"{each['weights_gb']:.1f}",
            f"{each['free_gb']:.1f} ({each['free_gib']:.1f})",
            f"{each['kv_tokens']:,.0f}",
            "yes" if each["fits"] else f"no, {-each['free_gb']:.1f} GB per GPU are missing",
        )
        for each in memory["set_ups"]
    ]
    return (
        f"### What fits\n\nWeights and KV cache may fill {memory['usable_share']:.0%} of the memory as sold. An"
        " engine's own start-up log says how many tokens of KV cache it got: give it with --kv-tokens, it is worth"
        f" more than any measured row.\n\n{table(head, rows)}"
    )


def _most_rows(found: Figures) -> Figures:
    """The setting with the most calibration rows, on the priors that ship."""
    most: Figures = max(
        found["settings"], key=lambda setting: (not setting["held_out"], setting["rows_at_most"])
    )
    return most


def _missed(found: Figures) -> str:
    most, largest = _most_rows(found), _first_groups(found)[:3]
    prefill = [each["error"] for each in found["published"] if each["phase"] == "prefill"]
    decode = sum(each["phase"] == "decode" for each in found["published"])
    lines = (
        f"TTFT is off by {share(most['ttft']['error'])} with at most {most['rows_at_most']} rows of a group: it"
        " depends on how a benchmark was run (how many waves of requests, equal or jittered lengths) more than on"
        " the GPU. The fit weighs several readings; a plan uses none of them, but open arrivals.",
        "Replicas whose weights nearly fill the memory err most: one hundredth of the memory share is thousands of"
        " tokens of KV cache. Rows where requests wait for the cache have one-sided, larger errors.",
        "No row of H20 or of a domestic card calibrates anything. Their figures are carried over term by term,"
        " labelled extrapolated or estimated, and their intervals are assumptions until somebody measures.",
        "Pipeline stages, drafted tokens (MTP) and prefix hits are modelled and have no measured row here; what"
        f" leaves a node has {len(prefill)} published figures of prefill, which the model misses by"
        f" {signed(min(prefill))} to {signed(max(prefill))} %, and {decode} of decode.",
        f"The 80 % intervals were made wider by {found['widened']['with_rows']:g} with rows and"
        f" {found['widened']['without_rows']:g} without, factors found on the same public file. Without rows they are"
        " then scaled, metric by metric, so that they hold 80 % of the shipped calibration rows, each group predicted"
        " from the others (split conformal). A set-up never seen is one draw of a group, so the share of groups is"
        f" the one to hold against 80 %; the rows of the {len(largest)} largest groups,"
        f" {sum(each['scored'] for each in largest)} of {sum(each['scored'] for each in _first_groups(found))}, are"
        " not independent draws.",
    )
    return f"### What is not known, and what misses\n\n{bullets(lines)}"


def goodput(found: Figures) -> str:
    """The closed form of the goodput against the replay, set-up by set-up."""
    return f"{_compared(found)}\n\n{_goodputs(found)}"


def goodput_headline(found: Figures) -> str:
    """The range of formula over replay."""
    ratios = [each["ratio"] for each in found["set_ups"] if each["ratio"]]
    return f"The closed form gives {min(ratios):.2f} to {max(ratios):.2f} of the replay's rate"


def _compared(found: Figures) -> str:
    ratios = [each["ratio"] for each in found["set_ups"] if each["ratio"]]
    return (
        f"`python benchmarks/goodput.py --requests {found['requests']}`: highest Poisson rate of one replica at which"
        " 90 % of the requests meet the TTFT bound and 90 % the TPOT bound. Formula:"
        " `executor.estimate.open_loop.goodput`, median with its 80 % interval. Replay: the executor's scheduler on a"
        f" modelled clock at the most likely parameters, {found['requests']:,} requests of which the first fifth and"
        " the last tenth are not counted, bisected to 1 %. Fleets are sized on the replay"
        " (`executor.estimate.replayed_goodput`, executor/reference/replayed_goodput.csv), there with the joint"
        " lengths of the pool's trace. Same step times, same lengths (margins of the trace, independent), no prefix"
        f" reuse. The formula gives {min(ratios):.2f} to {max(ratios):.2f} of the replay's rate (geometric mean"
        f" {found['geometric_mean']:.2f}); above 1 it promises too much. With a batch of {found['bounded_batch']} at"
        " most, the default of engines, the replay's rate stands in the last column."
    )


def _goodputs(found: Figures) -> str:
    head = (
        *(
            "set-up",
            "lengths of",
            "bounds TTFT / TPOT, ms",
            "formula, requests/s",
            "replay",
            "formula / replay",
        ),
        *("what ends the replay", f"replay, batch <= {found['bounded_batch']}"),
    )
    rows = [
        (
            each["set_up"],
            each["lengths"],
            f"{each['ttft_ms']:g} / {each['tpot_ms']:g}",
            f"{each['formula']:.3g} ({each['low']:.3g}-{each['high']:.3g})",
            f"{each['replay']:.3g}",
            f"{each['ratio']:.2f}" if each["ratio"] else "-",
            each["ends"],
            f"{each['replay_bounded']:.3g}",
        )
        for each in found["set_ups"]
    ]
    return table(head, rows)


def engine(found: Figures) -> str:
    """The replay against the built-in engine on a CPU."""
    head = ("requests/s", "metric", "measured", "replayed", "error")
    rows = [
        (
            f"{each['rate']:.2f}",
            f"{each['metric']}, {each['unit']}",
            f"{each['measured']:.4g}",
            f"{each['replayed']:.4g}",
            f"{each['error']:+.1%} ({each['least']:+.1%} to {each['most']:+.1%})",
        )
        for each in found["rows"]
    ]
    return f"{_driven(found)}\n\n{table(head, rows)}"


def engine_headline(found: Figures) -> str:
    """The worst median error of each metric, with the error that is aimed at."""
    worst = ", ".join(
        f"{metric} {max(abs(each['error']) for each in found['rows'] if each['metric'] == metric):.1%} (aim {aim:.0%})"
        for metric, aim in found["aims"].items()
    )
    return f"Worst of the medians: {worst}"


def _driven(found: Figures) -> str:
    rates = len({each["rate"] for each in found["rows"]})
    return (
        f"`python benchmarks/replay_engine.py --requests {found['requests']} --rounds {found['rounds']}`: the built-in"
        f" engine on one thread of a CPU, a dense model of {found['layers']} layers and width {found['width']},"
        f" Poisson arrivals at {rates} rates, processor time as the clock. Step times fitted to {found['steps']:,}"
        " steps of runs with other lengths, rates and random numbers, taken before and after each "
        "measurement, since the"
        f" machine's speed drifts; median error of {found['rounds']} measurements a rate, each with requests of its"
        f" own, least and largest in brackets. {engine_headline(found)}. Scheduling itself adds nothing: with one"
        " second a step, engine and replay give the same token times, preemptions included"
        " (tests/executor/measure/test_drive.py)."
    )
