"""The benchmark's page in a real browser: it fits, it can be read in both schemes, and it asks for nothing."""

from __future__ import annotations

import html
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from bench_reports import make_benchmark, make_floor, make_other, make_peer, make_tuning
from msgspec.structs import replace

from truewheel.pages import html as page_writer
from truewheel.pages.benchmark import describe_benchmark, describe_tuning


def to_html(benchmark, tuning=None):
    return page_writer.to_html(describe_benchmark(benchmark, tuning))


BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is here")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--log-level=0",
)
SCHEMES = {"dark": "0", "light": "1"}
PLANTED = '<img src="https://planted.example/x.png" alt="">'

# The page itself stands unchanged in a frame of the width that is wanted: the browser's own window cannot be so narrow.
WRAPPER = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="border:0;width:{width}px;height:3000px" srcdoc="{page}"></iframe><pre id="out"></pre>
<script>
const box = element => {{
  const b = element.getBoundingClientRect();
  return {{left: b.left, top: b.top, right: b.right, bottom: b.bottom}};
}};
onload = () => {{
  const view = frame.contentWindow, page = frame.contentDocument;
  const style = element => view.getComputedStyle(element);
  const plots = [...page.querySelectorAll("svg.plot")].map(svg => ({{
    title: svg.querySelector("title").textContent,
    box: box(svg),
    texts: [...svg.querySelectorAll("text")].map(text => ({{
      words: text.textContent, box: box(text), turned: /rotate/.test(text.getAttribute("transform") || ""),
      size: parseFloat(style(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width,
      colour: style(text).fill,
    }})),
    paints: [...svg.querySelectorAll("path, rect")].map(
      mark => style(mark).fill != "none" ? style(mark).fill : style(mark).stroke
    ),
  }}));
  const outside = [...page.querySelectorAll("main *")].filter(
    element => element.getClientRects().length && !element.closest(".box") && !element.closest("thead")
      && element.getBoundingClientRect().right > view.innerWidth + 1
  ).map(element => element.outerHTML.slice(0, 200));
  out.textContent = JSON.stringify({{
    inner: view.innerWidth, scroll: page.documentElement.scrollWidth, plots, outside,
    figures: [...page.querySelectorAll("figure")].map(figure => figure.getBoundingClientRect().height),
    card: style(page.querySelector("main > section")).backgroundColor,
  }});
}};
</script>
"""


def browse(folder, text, *more):
    """Open a page in a fresh browser; return its document, what its console said, and what it asked the network for."""
    page, log, profile = folder / "page.html", folder / "net.json", folder / "profile"
    page.write_text(text, encoding="utf-8")
    shutil.rmtree(profile, ignore_errors=True)
    command = [
        BROWSER,
        *FLAGS,
        *more,
        f"--user-data-dir={profile}",
        f"--log-net-log={log}",
        "--dump-dom",
        page.as_uri(),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    return result.stdout, console, requests(json.loads(log.read_text(encoding="utf-8")))


def requests(log):
    """Return the addresses that a document asked for; the browser's own requests have no origin."""
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = (event["params"] for event in log["events"] if event["type"] == start and "url" in event.get("params", {}))
    return [each["url"] for each in asked if each.get("initiator") != "not an origin"]


def measure(folder, text, width, scheme="light"):
    """Return what a page of some width measures."""
    wrapped = WRAPPER.format(width=width, page=html.escape(text))
    seen, console, asked = browse(folder, wrapped, f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}")
    assert (console, asked) == ([], [])
    return json.loads(html.unescape(re.search(r'<pre id="out">(.*?)</pre>', seen, re.DOTALL)[1]))


def opened(text):
    """Return a page with everything unfolded that is folded."""
    return text.replace("<details>", "<details open>")


def overlap(one, other):
    """Return whether two boxes share more than a seam."""
    wide = min(one["right"], other["right"]) - max(one["left"], other["left"])
    high = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    # The box of a text is a line high; letters are lower.
    return wide > 1 and high > 0.3 * (one["bottom"] - one["top"])


def luminance(colour):
    """Return the relative luminance of `rgb(…)`, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def crowded():
    """Return a benchmark of many subjects with long names, and a loud floor."""
    names = ["llama-cpp-python 0.3.16 of somebody else's index", "x" * 80, "日本語のなまえ", "<b>bold</b>", *"efgh"]
    subjects = [replace(make_other(), label=name) for name in names]
    floors = (make_floor("pp512", 0.052, quiet=False), make_floor("tg64"))
    return make_benchmark(subjects=(*make_benchmark().subjects, *subjects), floors=floors)


@pytest.fixture(scope="module")
def pages():
    return {
        "usual": to_html(make_benchmark(), make_tuning()),
        "tuning": page_writer.to_html(describe_tuning(make_tuning())),
        "crowded": to_html(crowded(), make_tuning()),
        "bare": to_html(make_benchmark(subjects=(make_peer(),), reference=make_peer().label, limits=(), floors=())),
    }


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("kind", ["usual", "tuning", "crowded", "bare"])
def test_a_page_fits_and_asks_for_nothing(pages, tmp_path, kind, width):
    found = measure(tmp_path, opened(pages[kind]), width)
    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["outside"] == []
    assert len(found["figures"]) == pages[kind].count("<figure") > 0
    assert min(found["figures"]) > 50
    for plot in found["plots"]:
        edge = plot["box"]
        assert edge["right"] - edge["left"] <= 5.5 * 96
        for text in plot["texts"]:
            assert text["size"] >= 9.5, (plot["title"], text)
            assert text["box"]["left"] >= edge["left"] - 1, (plot["title"], text)
            assert text["box"]["right"] <= edge["right"] + 1, (plot["title"], text)


@pytest.mark.parametrize("kind", ["usual", "crowded"])
def test_no_text_of_a_plot_covers_another(pages, tmp_path, kind):
    found = measure(tmp_path, pages[kind], 360)
    for plot in found["plots"]:
        upright = [text for text in plot["texts"] if not text["turned"]]
        for one, other in itertools.combinations(upright, 2):
            assert not overlap(one["box"], other["box"]), (plot["title"], one["words"], other["words"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_plot_can_be_read_in_both_schemes(pages, tmp_path, scheme):
    found = measure(tmp_path, pages["crowded"], 360, scheme)
    assert (luminance(found["card"]) > 0.5) == (scheme == "light")
    assert len(found["plots"]) == 5
    for plot in found["plots"]:
        assert all(contrast(text["colour"], found["card"]) >= 7 for text in plot["texts"])
        assert plot["paints"]
        faint = {paint for paint in plot["paints"] if contrast(paint, found["card"]) < 3}
        assert not faint, plot["title"]


def test_what_a_page_would_ask_for_is_seen_and_its_policy_forbids_it(pages, tmp_path):
    planted = pages["bare"].replace("</main>", f"{PLANTED}</main>")
    _, console, asked = browse(tmp_path, planted)
    assert asked == []
    assert any("planted.example" in line and "Content Security Policy" in line for line in console)
    open_to_all = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", planted)
    _, _, asked = browse(tmp_path, open_to_all)
    assert asked == ["https://planted.example/x.png"]
