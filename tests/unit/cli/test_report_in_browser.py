"""The page of `objcache report` in Chromium: it renders, without a complaint, a request, or a lie.

Without Chromium these tests are skipped; under CI it must be there.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

from objcache import Store
from objcache.cli import main
from objcache.cli._keys import ratio_text, size_text
from tests.unit.cli.conftest import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Nothing that a browser does of its own accord: a closed network refuses it.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium here: apt install chromium"
)


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened(browser, file, *, viewport=DESKTOP, scheme="light"):
    """Open the page; afterwards, it has complained of nothing and asked nobody for anything."""
    asked, complaints = [], []
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-drawn]")
    yield page
    context.close()

    assert [file.as_uri()] == asked
    assert [] == complaints


@pytest.fixture
def page_file(market, tmp_path):
    """The page of the market."""
    target = tmp_path / "page.html"

    assert 0 == main(["report", market, "-o", str(target)])
    return target


@pytest.fixture
def told(market, page_file, capsys):
    """What `stats --json` says of the market."""
    capsys.readouterr()
    main(["stats", market, "--json"])
    return json.loads(capsys.readouterr().out)


def drawn(page, name):
    """The data that the browser has drawn in a chart."""
    return page.evaluate(f"document.getElementById('{name}').data")


def tiles(page):
    """The numbers at the top, as they are shown, by what they are called."""
    return dict(
        page.evaluate(
            "[...document.querySelectorAll('.tile b')].map(b => [b.dataset.name, b.innerText])"
        )
    )


def rows(page, table):
    """The texts of a table's rows below its headings, shown or folded."""
    return page.evaluate(
        f"[...document.querySelectorAll('{table} tr')].slice(1)"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )


def test_numbers_equal_stats(browser, page_file, told):
    """What is drawn and written are the numbers of `stats --json`."""
    with opened(browser, page_file) as page:
        shown, areas = tiles(page), drawn(page, "areas")[0]
        ratios, functions = drawn(page, "hit_ratios")[0], rows(page, "#functions")
        kept = json.loads(page.inner_text("#numbers"))["stats"]
        caches = rows(page, "#caches")
    sizes = dict(zip(areas["labels"], areas["values"], strict=True))
    whole = told["caches"][0]

    assert told == kept
    assert size_text(told["used_bytes"]) == shown["in use"]
    assert ratio_text(whole["hits"] / (whole["hits"] + whole["misses"])) == shown["cache hits"]
    assert sum(one["size_bytes"] for one in told["functions"]) == sizes["memoized functions"]
    assert sorted(one["hit_ratio"] for one in told["functions"]) == sorted(ratios["x"])
    assert [
        [f"{one['entries']:,}", size_text(one["size_bytes"]), f"{one['hits']:,}"]
        for one in told["functions"]
    ] == [row[1:4] for row in functions]
    assert [[f"{one['entries']:,}", size_text(one["size_bytes"])] for one in told["caches"]] == [
        row[1:3] for row in caches
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_chart_is_drawn_within_the_window(browser, page_file, viewport, scheme):
    """Each chart has marks and fills its place; nothing but tables is wider than the window."""
    with opened(browser, page_file, viewport=viewport, scheme=scheme) as page:
        boxes = page.evaluate(
            "[...document.querySelectorAll('.chart')].map(chart => ["
            "chart.id, chart.querySelectorAll('.point, .slice').length,"
            "chart.querySelector('.main-svg').getBoundingClientRect().width,"
            "chart.getBoundingClientRect().width])"
        )
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        ink, paper = page.evaluate(
            "[getComputedStyle(document.querySelector('#sizes text')).fill,"
            " getComputedStyle(document.body).backgroundColor]"
        )

    assert {"areas", "hit_ratios", "saved", "ages", "sizes", "deadlines"} == {
        box[0] for box in boxes
    }
    for name, marks, width, place in boxes:
        assert marks, name
        assert abs(width - place) < 2, name
    assert 0 == overflow
    assert (scheme == "dark") == (brightness(ink) > brightness(paper))


def brightness(colour):
    """The sum of the three parts of a colour."""
    return sum(float(part) for part in colour.strip("rgba()").split(",")[:3])


def test_entries_or_bytes(browser, page_file):
    """A choice above the bars changes all of them from entries to bytes."""
    with opened(browser, page_file) as page:
        before = [trace["meta"] for trace in drawn(page, "sizes") if trace["visible"]]
        page.check("#unit input[value=size_bytes]")
        page.wait_for_selector("html[data-drawn=size_bytes]")
        after = [trace["meta"] for trace in drawn(page, "sizes") if trace["visible"]]

    assert {"entries"} == set(before)
    assert {"size_bytes"} == set(after)


def test_a_click_goes_into_an_area(browser, page_file):
    """Clicking an area of the treemap shows that part alone."""
    with opened(browser, page_file) as page:
        before = page.locator("#areas .slice").count()
        page.locator("#areas .slice", has_text="caches").first.click(position={"x": 12, "y": 8})
        page.wait_for_selector("#areas .slice:has-text('memoized')", state="detached")
        after = page.locator("#areas .slice").count()

    assert after < before


def test_hostile_keys_are_text(browser, page_file):
    """A key or tag that looks like a page is shown as it is, and is no page."""
    with opened(browser, page_file) as page:
        shown = [row for row in rows(page, ".evictions") if row[0] == HOSTILE]
        images = page.evaluate("document.images.length")
        names = page.locator("#hit_ratios .ytick").all_text_contents()
        whole = page.locator("#areas").inner_html()

    assert [HOSTILE] == [row[4] for row in shown]
    assert 0 == images
    assert "…<b>repeated</b>" in {name[:1] + name[-15:] for name in names}
    assert "<img" not in whole


def test_an_empty_store_has_a_page(browser, path, tmp_path):
    """Where nothing is there is nothing to draw, and the page says so."""
    Store(path).close()
    target = tmp_path / "page.html"
    main(["report", path, "-o", str(target)])
    with opened(browser, target) as page:
        text = page.inner_text("main")
        charts = page.locator(".chart").count()

    assert 0 == charts
    assert "There is nothing in the store." in text
    assert "No memoized function was called here." in text
