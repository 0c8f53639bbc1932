"""The page as Chromium shows it: no complaint, no request, nothing wider than the window."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agentscope_analyzer.document import Report
from agentscope_analyzer.reporters import html

if TYPE_CHECKING:
    from conftest import Browser


@pytest.fixture(scope="module")
def page_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report, on a disk."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    html.write(report, file)
    return file


def overflowing(browser: "Browser") -> list[str]:
    """Elements that stick out of the window, but those within something that scrolls."""
    found: list[str] = browser.says(
        """[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, .skip') &&
           e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
           .map(e => e.tagName + '.' + e.className)"""
    )
    return found


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1600])
def test_the_page_is_quiet_and_fits(
    browser: "Browser", page_file: Path, width: int, dark: bool
) -> None:
    """No error, no broken policy, no request but for the file itself, and no sideways scrolling."""
    browser.open(page_file, width=width, dark=dark)
    assert browser.complaints == []
    assert browser.requests == [page_file.as_uri()]
    assert overflowing(browser) == []
    shown = browser.says(
        "[...document.querySelectorAll('figure svg.wide')].map(e => getComputedStyle(e).display)"
    )
    assert set(shown) == {"none" if width == 360 else "block"}


def test_words_on_pictures_do_not_leave_them(browser: "Browser", page_file: Path) -> None:
    """Every word stands within its picture, at both sizes."""
    for width in (360, 1600):
        browser.open(page_file, width=width)
        outside = browser.says(
            """[...document.querySelectorAll('figure svg')].flatMap(s => {
                 const box = s.getBoundingClientRect();
                 return [...s.querySelectorAll('text')].filter(t => t.getClientRects().length)
                   .filter(t => { const b = t.getBoundingClientRect();
                     return b.left < box.left - 2 || b.right > box.right + 2 || b.top < box.top - 2 })
                   .map(t => s.id + s.getAttribute('aria-labelledby') + ': ' + t.textContent)})"""
        )
        assert outside == []


def test_the_style_and_the_stripes_are_applied(browser: "Browser", page_file: Path) -> None:
    """The policy lets the page's own style through: colours, patterns and the dark paper."""
    browser.open(page_file, dark=True)
    assert browser.says("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    fill = "getComputedStyle(document.querySelector('.c-llm-rate-limit')).fill"
    assert browser.says(fill) == 'url("#p-llm-rate-limit")'
    browser.open(page_file)
    assert browser.says("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_hostile_names_do_nothing(
    browser: "Browser", hostile_report: Report, tmp_path: Path
) -> None:
    """Nothing is run, nothing asked for, nothing sticks out."""
    file = tmp_path / "hostile.html"
    html.write(hostile_report, file)
    browser.open(file, width=360)
    assert (browser.complaints, browser.requests) == ([], [file.as_uri()])
    assert browser.says("document.scripts.length") == 0
    assert overflowing(browser) == []


def test_the_verdict_is_there_without_scripts(
    browser: "Browser", report: Report, page_file: Path
) -> None:
    """A browser that runs nothing shows the verdict in its first screen, and prints it."""
    browser.without_scripts()
    browser.open(page_file)
    where = browser.says("document.querySelector('h1').getBoundingClientRect().bottom")
    assert 0 < where < 900
    assert browser.says("document.querySelector('h1').innerText") == "The provider's quota binds"
    assert browser.pdf().startswith(b"%PDF")
