"""What a benchmark and a tuning look like on a terminal, in Markdown and as a page, whatever the names in them are."""

import functools
import re
import subprocess
import sys
import warnings
from html.parser import HTMLParser

import pytest
from bench_reports import (
    LOST,
    NO_LEVEL,
    make_benchmark,
    make_figure,
    make_floor,
    make_limits,
    make_model,
    make_other,
    make_peer,
    make_reference,
    make_trial,
    make_tuning,
)
from markdown_it import MarkdownIt
from msgspec.structs import replace

from truewheel.measure.metrics import make_workload, share_of_limit
from truewheel.measure.result import Cut, Interval
from truewheel.pages import html, markdown, markup, terminal
from truewheel.pages.benchmark import describe_benchmark, describe_tuning
from truewheel.pages.benchmark_figures import (
    bar_facets,
    depth_series,
    find_roofline,
    goal_floor,
    scored_trials,
    spread_trials,
)
from truewheel.pages.benchmark_plots import plot_bars, plot_depths, plot_path, plot_roofline
from truewheel.pages.benchmark_tables import figure_sections, trial_table
from truewheel.pages.benchmark_words import interval_words, key_words, rate_words, ratio_words, round_number, unit_for
from truewheel.pages.document import Table, plain
from truewheel.pages.svg import draw
from truewheel.text import clean, cut

VOID = {"meta"}
HOSTILE = [
    "<script>alert(1)</script>",
    "| pipes | `code` |",
    "$x^2$ \\alpha $y$",
    "_under the legend",
    '"><img src=x onerror=alert(1)>',
    "</title></svg></style>]]>--><b>",
    "{{ 7 * 7 }}{% raw %}",
    "https://example.org/x.js www.example.org",
    "one\ntwo\n\n# three",
    "\u202egnp.exe\x1b[2J\x00",
    "日本語 🦙 \ud800",
    "long " * 60,
]
VERDICT = re.compile(r"\b(faster|slower)\b", re.IGNORECASE)


class Page(HTMLParser):
    """Collects elements, attributes and text, and sees that every element is closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.attributes, self.words, self.drawn = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "svg" in self.open:
            self.drawn.append(data)
        elif "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


def to_html(benchmark, tuning=None):
    return html.to_html(describe_benchmark(benchmark, tuning))


def to_markdown(benchmark):
    return markdown.to_markdown(describe_benchmark(benchmark))


def to_lines(benchmark):
    return terminal.to_lines(describe_benchmark(benchmark))


def tuning_to_html(tuning):
    return html.to_html(describe_tuning(tuning))


def tuning_to_markdown(tuning):
    return markdown.to_markdown(describe_tuning(tuning))


def tuning_to_lines(tuning):
    return terminal.to_lines(describe_tuning(tuning))


def table_of(section):
    """Return the rows of a section's table, without style."""
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    return [tuple(map(plain, row)) for row in table.rows]


def svg_of(plot):
    return markup.write(draw(plot.chart, plot.name, plot.title, plot.words))


@functools.cache
def whole():
    """Return the page of a benchmark with a tuning; drawing it takes most of a second."""
    return to_html(make_benchmark(), make_tuning())


@functools.cache
def alone():
    """Return the page of a benchmark alone."""
    return to_html(make_benchmark())


def rendered(text):
    """Return the words of Markdown by kind of element, as a reader renders them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    return tokens, [leaf for token in tokens if token.type == "inline" for leaf in token.children]


def without_verdicts(benchmark):
    subjects = (
        replace(subject, figures=tuple(replace(figure, verdict="none: so") for figure in subject.figures))
        for subject in benchmark.subjects
    )
    return replace(benchmark, subjects=tuple(subjects))


def named(*names):
    """Return a benchmark and a tuning in which every text of a stranger is one of these."""
    first, second, third = names
    model = make_model(name=first, architecture=second, quantization=third)
    limits = (make_limits(int8_kernel=first, f32_kernel=second, others={third: 1e9}),)
    texts = {"asked": f"{third} ", "engine": first, "version": second, "notes": names, "text": third}
    peer = replace(make_peer(), label=f"{first}1", settings={second: third}, took={third: first}, **texts)
    other = replace(make_other(), label=f"{second}2", **texts)
    lost = (make_figure("pp512", reason=second),)
    failed = replace(make_peer(), label=f"{third}3", failure=first, figures=lost, **texts)
    missing = replace(peer.figures[0], reason=second)
    worst = replace(other.figures[0], verdict=f"none: {third}", limit=first)
    subjects = (
        make_reference(),
        replace(peer, figures=(missing, *peer.figures[1:])),
        replace(other, figures=(worst, *other.figures[1:])),
        failed,
    )
    tuning = make_tuning(model=model, goal="decode", engine=first)
    dropped = make_trial(13, 0.0, dropped=second, settings=third)
    return (
        make_benchmark(model=model, limits=limits, subjects=subjects),
        replace(tuning, trials=(*tuning.trials, dropped)),
    )


def test_a_page_asks_for_nothing_and_runs_nothing():
    text = whole()
    page = Page(text)
    assert text.startswith("<!doctype html>")
    (policy,) = (value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert not {"script", "link", "img", "image", "iframe", "object", "base", "form"} & set(page.elements)
    assert not re.search(r"https?:|xmlns|xlink|<!ENTITY|rdf|@import|@font-face", text)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("src", "srcset")]
    assert all(value.startswith("#") for value in page.values("href"))
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_a_page_is_the_same_every_time():
    assert to_html(make_benchmark(), make_tuning()) == whole()


def test_a_page_fits_a_phone_and_both_schemes():
    text = whole()
    page = Page(text)
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text
    boxes = [float(value.split()[2]) / 72 for value in page.values("viewbox")]
    assert len(boxes) == 5
    assert max(boxes) <= 5.5
    # Every colour of a drawing is one of the page's, so that it changes with the scheme.
    assert page.values("style") == []
    painted = page.values("fill") + page.values("stroke")
    assert len(painted) > 100
    assert all(part in {"none", "currentColor"} or part.startswith("var(--") for part in painted)


def test_plots_can_be_read_aloud_and_share_no_identifier():
    page = Page(whole())
    assert page.elements.count("figure") == page.elements.count("figcaption") == page.elements.count("svg") == 5
    assert page.values("role").count("img") == 5
    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    named_by = [each for value in page.values("aria-labelledby") for each in value.split()]
    referred = [value[1:] for value in page.values("href")]
    assert set(named_by) | set(referred) <= set(identifiers)


def test_each_plot_has_its_figures_in_a_table():
    benchmark, tuning = make_benchmark(), make_tuning()
    bars, roof, depths, path = (
        plot_bars(benchmark, "decode"),
        plot_roofline(benchmark),
        plot_depths(benchmark),
        plot_path(tuning),
    )
    assert ("tg64", "native (reference)", "121.4", "[119.0, 123.8]", "198.0") in bars.table.rows
    assert ("answer-decode", "broken 1.0 (peer)", "not measured", "-", "-") in bars.table.rows
    assert len(roof.table.rows) == 10
    assert ("portable", "2048", "84.00", "[82.32, 85.68]") in depths.table.rows
    assert ("9", "3", "1.170", "winner") in path.table.rows
    page = Page(whole()).text
    for plot in (bars, roof, depths, path):
        assert " ".join(plot.table.rows[0]) in page
        assert plot.caption in page


def test_the_noise_floor_stands_first():
    benchmark = make_benchmark()
    assert to_lines(benchmark)[:3] == ["Benchmark of smollm2-135m", "", "Noise floor"]
    text = "\n".join(to_lines(benchmark))
    places = [
        text.index(f"\n{heading}") for heading in ("The machine and its limit", "Prefill", "Decode", "Answer", "Size,")
    ]
    assert places == sorted(places)
    assert Page(alone()).text.index("Noise floor") < Page(alone()).text.index("Prefill")
    headings = [line for line in to_markdown(benchmark).splitlines() if line.startswith("## ")]
    assert headings == [
        "## Noise floor",
        "## The machine and its limit",
        "## How to read the figures",
        "## Prefill",
        "## Decode",
        "## Answer",
        "## Size, start and memory",
        "## What was run",
    ]


def test_what_was_shortened_stands_at_the_top_of_every_account():
    cut = [Cut(key=key, asked=10, done=done) for key, done in (("pp128", 7), ("pp512", 7), ("tg64@2048", 0))]
    benchmark = make_benchmark(budget=300.0, cut=tuple(cut))
    words = (
        "Shortened to end in 5 min: 7 instead of 10 repetitions of pp128, pp512; without tg64@2048; "
        "--thorough measures all."
    )
    assert words in " ".join(" ".join(to_lines(benchmark)).split())
    assert words in Page(to_html(benchmark)).text
    assert "without tg64" in to_markdown(benchmark)
    assert "Shortened" not in "".join(to_lines(make_benchmark()))


def test_a_loud_floor_is_told_at_the_top_and_silences_its_metric():
    benchmark = make_benchmark(floors=(make_floor("pp512", 0.052, quiet=False), make_floor("tg64")))
    words = "No verdict is given for pp512 (5.2 %): native against itself came out that far apart in the same rounds"
    page = Page(to_html(benchmark)).text
    assert page.index(words) < page.index("Noise floor")
    assert to_markdown(benchmark).index(words) < to_markdown(benchmark).index("## Noise floor")
    assert words[:60] in "\n".join(to_lines(benchmark))
    rows = table_of(figure_sections(benchmark)["prefill"])
    assert [row[3] for row in rows if row[0] == "portable"] == ["faster", "none"]
    assert [row[0] for row in rows if len(row) == 1] == [
        "pp128: prefill of 128 tokens, tokens/s",
        "pp512: prefill of 512 tokens, tokens/s",
        "everything",
    ]
    assert "No verdict is given" not in alone()


def test_only_a_verdict_says_faster_or_slower():
    benchmark, tuning = make_benchmark(), make_tuning()
    claimed = [figure.verdict for subject in benchmark.subjects for figure in subject.figures]
    silent = without_verdicts(benchmark)
    for written, nothing in (
        (alone(), to_html(silent)),
        (to_markdown(benchmark), to_markdown(silent)),
        ("\n".join(to_lines(benchmark)), "\n".join(to_lines(silent))),
    ):
        assert not VERDICT.findall(nothing)
        found = VERDICT.findall(written)
        assert (found.count("faster"), found.count("slower")) == (claimed.count("faster"), claimed.count("slower"))
    silent = replace(tuning, final=without_verdicts(tuning.final))
    assert not VERDICT.findall(tuning_to_markdown(silent) + "\n".join(tuning_to_lines(silent)))
    assert not VERDICT.findall(tuning_to_html(silent))


def test_subjects_are_rows_with_value_ratio_verdict_and_share():
    lines = to_lines(make_benchmark())
    assert "    portable                    1690 [1656, 1724]  1.142 [1.119, 1.165]  faster   41 % int8" in lines
    assert "    native (reference)          1480 [1450, 1510]  reference                      36 % int8" in lines
    assert f"    xllamacpp 2026.10.1 (peer)  not measured: {NO_LEVEL}" in lines
    assert "      none for portable: inside the noise floor of 0.8%" in lines
    written = to_markdown(make_benchmark())
    assert "| **`pp128`: prefill of 128 tokens, tokens/s** |  |  |  |  |" in written
    assert "| portable | 1690 \\[1656, 1724\\] | 1.142 \\[1.119, 1.165\\] | faster | 41 % int8 |" in written
    page = Page(alone()).text
    assert "portable 1690 [1656, 1724] 1.142 [1.119, 1.165] faster 41 % int8" in page
    assert f"xllamacpp 2026.10.1 (peer) not measured: {NO_LEVEL}" in page


def test_a_failed_subject_is_a_row_with_its_error_once_a_group():
    benchmark = make_benchmark()
    assert sum(f"failed: {LOST[:30]}" in line for line in to_lines(benchmark)) == 4
    assert to_markdown(benchmark).count(f"| broken 1.0 | failed: {LOST} |") == 4
    assert Page(alone()).text.count(f"broken 1.0 failed : {LOST}") == 4
    rows = table_of(figure_sections(benchmark)["footprint"])
    assert ("broken 1.0 (peer)", "1.10", "4.000", "smaller") in rows
    assert rows[-2][0] == "everything"
    assert rows[-1] == ("broken 1.0", f"failed: {LOST}")


def test_size_start_and_memory_have_a_table_of_their_own():
    footprint = figure_sections(make_benchmark())["footprint"]
    rows = table_of(footprint)
    assert [row[0] for row in rows if len(row) == 1] == [
        "wheel: file of the wheel, MiB",
        "installed: files that are installed, MiB",
        "import: import of the package, ms",
        "load: load of the model, ms",
        "peak: peak memory, MiB",
        "everything",
    ]
    assert rows[2] == ("portable", "9.80", "0.449", "larger")
    assert footprint.blocks[-1].headings == ("subject", "value", "ratio", "verdict")
    assert "| portable | 9.80 | 0.449 | larger |" in to_markdown(make_benchmark())


def test_limits_that_were_not_measured_are_told_with_their_reason():
    benchmark = make_benchmark(limits=(), limits_reason="the compiler is not here")
    assert "  The machine's limit was not measured: the compiler is not here." in to_lines(benchmark)
    assert "The machine's limit was not measured: the compiler is not here." in to_markdown(benchmark)
    page = Page(to_html(benchmark))
    assert "The machine's limit was not measured: the compiler is not here." in page.text
    assert "There is no roofline: the machine's limits were not measured (the compiler is not here)." in page.text
    assert page.elements.count("svg") == 3


def test_a_plot_without_data_is_left_out_with_one_sentence():
    empty = make_benchmark(subjects=(), floors=(), limits=())
    for plot in (
        plot_bars(empty, "prefill"),
        plot_roofline(empty),
        plot_depths(empty),
        plot_path(make_tuning(trials=())),
    ):
        assert plot.chart is None
        assert plot.caption.startswith("There is no ")
    assert "No noise floor was measured." in Page(to_html(empty)).text
    assert to_lines(empty)[2:4] == ["Noise floor", "  No noise floor was measured."]
    unknown = make_benchmark(model=make_model(cost=None))
    assert "header does not say what a token costs" in plot_roofline(unknown).caption
    shallow = make_benchmark(subjects=(replace(make_reference(), figures=make_reference().figures[:3]),))
    assert plot_depths(shallow).chart is None


def test_a_package_without_low_level_alone_is_plotted_with_its_answers():
    peer = make_peer()
    only = replace(peer, figures=peer.figures[5:])
    page = Page(to_html(make_benchmark(subjects=(only,), reference=only.label, floors=())))
    assert page.elements.count("svg") == 2
    assert "answer-prefill: prompt of an answer" in page.drawn


def test_figures_that_cannot_be_drawn_do_not_stop_the_page():
    odd = (Interval(float("nan"), 1.0, 2.0), Interval(0.0, 0.0, 0.0), Interval(5.0, 6.0, float("inf")))
    figures = tuple(replace(make_figure("pp512", 1.0), value=value, key=f"pp{n}") for n, value in enumerate(odd, 1))
    benchmark = make_benchmark(subjects=(replace(make_reference(), figures=figures),))
    assert bar_facets(benchmark, "prefill") == {}
    assert "not finite" in Page(to_html(benchmark)).text
    assert to_markdown(benchmark)
    assert to_lines(benchmark)


def test_the_limit_is_a_line_where_it_fits_and_words_where_not():
    benchmark = make_benchmark()
    assert bar_facets(benchmark, "decode")["tg64"].bars[0].limit == pytest.approx(121.4 / 0.613)
    assert "dashed line" in plot_bars(benchmark, "decode").caption
    assert "beyond the axis" not in plot_bars(benchmark, "decode").caption
    assert "beyond the axis: answer-prefill 4094 tokens/s." in plot_bars(benchmark, "prefill").caption
    plain = [replace(figure, share=None) for figure in make_reference().figures]
    alone = make_benchmark(subjects=(replace(make_reference(), figures=tuple(plain)),))
    assert plot_bars(alone, "decode").caption == "Medians with their 95 % intervals."


def test_the_roofline_agrees_with_the_shares():
    benchmark = make_benchmark()
    found = find_roofline(benchmark)
    assert found.limits.threads == 2
    plan = make_workload([128, 512], [64], [0, 512, 2048], 0, 512, 1)
    for spot in found.spots:
        subject = next(subject for subject in benchmark.subjects if subject.label == spot.name)
        speed = next(figure.value.median for figure in subject.figures if figure.key == spot.key)
        share, limit = share_of_limit(spot.key, speed, plan, benchmark.model.cost, found.limits)
        assert spot.rate.median / spot.attainable == pytest.approx(share)
        assert limit == ("int8" if spot.key.startswith("pp") else "read")
    intensities = {spot.key: spot.intensity for spot in found.spots}
    assert intensities["pp512"] == pytest.approx(270e6 * 512 / 90e6, rel=0.1)
    assert intensities["tg64"] == pytest.approx(3.0, rel=0.1)


def test_speed_over_depth_takes_the_length_with_the_most_depths():
    tokens, series = depth_series(make_benchmark())
    assert tokens == 64
    assert [(each.mark.name, [depth for depth, _ in each.points]) for each in series] == [
        ("native", [0, 512, 2048]),
        ("portable", [0, 512, 2048]),
    ]


def test_a_tuning_marks_winner_runner_up_and_floor():
    tuning = make_tuning()
    plot = plot_path(tuning)
    assert goal_floor(tuning).key == "tg64"
    assert goal_floor(make_tuning(goal="memory")) is None
    for words in ("winner: trial 9", "runner-up: trial 11", "defaults: trial 1", "noise floor of tg64, 2.1 %"):
        assert f">{words}<" in svg_of(plot)
    assert "noise floor of tg64 in the last comparison, 2.1 %" in plot.caption
    assert plot.caption.endswith("Not drawn, because their score is 0: 1 trial.")
    steps = scored_trials(tuning)
    places = spread_trials(steps)
    assert len(set(places)) == len(places) == 11
    assert all(abs(place - step.rung) < 0.5 for place, step in zip(places, steps, strict=True))
    without = make_tuning(final=replace(make_tuning().final, floors=()))
    assert "there is no band" in plot_path(without).caption


def test_a_tuning_says_what_it_came_to():
    text = tuning_to_markdown(make_tuning())
    assert "- 12 settings tried in 4.8 min of 5.0 min; 1 of them did not run." in text
    assert "- Trial 9 won the last comparison: n_ubatch=576, flash_attn=on, own_pool=on." in text
    assert "mean KL divergence of 0.00012 nats a token" in text
    assert (
        "| 6 | 1 | - | - | - | - | 0.000 | n_ubatch=384, flash_attn=on, own_pool=on; no further: killed by SIGKILL |"
        in text
    )
    lines = tuning_to_lines(make_tuning())
    assert lines[0] == "Tuning of llama-cpp-python 0.3.16 for decode"
    assert any(line.endswith("; no further: killed by SIGKILL") for line in lines)
    page = Page(tuning_to_html(make_tuning())).text
    assert "Trial 9 won the last comparison" in page
    assert "The last comparison" not in page
    assert "The last comparison" in Page(whole()).text


def test_a_tuning_that_found_nothing_says_so():
    tuning = make_tuning(winner=1, runner_up=0, divergence=None, trials=(make_trial(1, 1.0, dropped=""),))
    text = tuning_to_markdown(tuning)
    assert "The engine's own defaults won: nothing was better in the last comparison, beyond the noise." in text
    assert "KL" not in text
    assert trial_table(tuning).rows[0][0] == "1 (defaults, winner)"
    harmless = make_tuning(divergence=None)
    assert "Nothing of the winner's settings can change what the engine answers." in tuning_to_markdown(harmless)


@functools.cache
def harmless_page():
    return Page(to_html(*named("x", "x", "x")))


@pytest.mark.parametrize("start", range(0, len(HOSTILE), 3))
def test_hostile_texts_add_nothing_to_a_page(start):
    text = to_html(*named(*HOSTILE[start : start + 3]))
    page = Page(text)
    assert page.elements == harmless_page().elements
    assert [row[:2] for row in page.attributes] == [row[:2] for row in harmless_page().attributes]
    text.encode("utf-8")
    assert all(letter not in text for letter in "\u202e\x1b\x00")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_become_no_markup(name):
    pair, harmless = named(name, name, name), named("x", "x", "x")
    for write in (lambda each: to_markdown(each[0]), lambda each: tuning_to_markdown(each[1])):
        tokens, leaves = rendered(write(pair))
        assert [token.type for token in tokens] == [token.type for token in rendered(write(harmless))[0]]
        assert {leaf.type for leaf in leaves} <= {"text", "strong_open", "strong_close", "text_special", "code_inline"}
    for lines in (to_lines(pair[0]), tuning_to_lines(pair[1])):
        assert all(len(line) <= 100 and line.isprintable() for line in lines)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_plot_shows_the_very_letters_and_warns_of_none(name):
    figures = make_other().figures[2:5]
    benchmark = make_benchmark(subjects=(replace(make_other(), label=name, figures=figures),))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        drawn = Page(svg_of(plot_depths(benchmark))).drawn
    assert seen == []
    assert cut(clean(name), 40) in drawn


def test_many_subjects_have_different_marks():
    subjects = tuple(replace(make_other(), label=f"subject {number}") for number in range(20))
    svg = svg_of(plot_roofline(make_benchmark(subjects=subjects)))
    assert all(f">subject {number}<" in svg for number in range(20))
    assert max(len(line) for line in to_lines(make_benchmark(subjects=subjects))) <= 100


def test_figures_are_rounded_so_that_they_can_be_compared():
    assert [round_number(each) for each in (1612.4, 121.44, 84.2, 9.876, 0.01234, 0.0)] == [
        "1612",
        "121.4",
        "84.20",
        "9.88",
        "0.01234",
        "0",
    ]
    assert interval_words(Interval(99.2, 97.2, 101.2)) == ("99.20", "[97.20, 101.20]")
    assert interval_words(Interval(5.0, 5.0, 5.0)) == ("5.00", "")
    assert ratio_words(Interval(1.1, 1.05, 1.2)) == ("1.100", "[1.050, 1.200]")
    assert [unit_for(size, "bytes")[1] for size in (10, 2048, 3 << 20, 5 << 30)] == ["bytes", "KiB", "MiB", "GiB"]
    assert [unit_for(seconds, "s")[1] for seconds in (0.4, 1.5)] == ["ms", "s"]
    assert [rate_words(each, "B/s") for each in (9e9, 2.2e12, 15.0)] == ["9 GB/s", "2.2 TB/s", "15 B/s"]


def test_metrics_are_named_in_words():
    assert key_words("pp1") == "prefill of 1 token"
    assert key_words("tg64@2048") == "decode of 64 tokens at depth 2048"
    assert key_words("peak") == "peak memory"
    assert key_words("tg64@") == "tg64@"


def test_pages_need_no_heavy_library():
    code = (
        "import sys, truewheel.pages.benchmark, truewheel.pages.html, truewheel.pages.terminal; "
        "sys.exit(bool({'matplotlib', 'jinja2', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
