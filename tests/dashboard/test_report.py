"""The report: one content for page and paper, self-contained, repeatable, and deaf to hostile names."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dashboard.report import html_report, pdf_report
from dashboard.report.content import report_data
from dashboard.report.paper import FontMissingError
from planner.record.models import PlanRecord
from planner.report import sentences
from planner.report.language import Wording

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """Tags, attributes and visible text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.skipping = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.skipping = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.skipping = False

    def handle_data(self, data: str) -> None:
        if not self.skipping:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"[\s\u00a0]+", " ", "".join(self.words))


@pytest.fixture(scope="module")
def html(record: PlanRecord) -> str:
    return html_report(record)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture(scope="module")
def paper(record: PlanRecord) -> bytes:
    return pdf_report(record)


@pytest.fixture(scope="module")
def chinese_page(record: PlanRecord) -> Page:
    return Page(html_report(record, "zh"))


def text_of(pdf: bytes, folder: Path) -> str:
    """Text of a PDF on one line; skips where poppler's pdftotext is missing."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    (folder / "report.pdf").write_bytes(pdf)
    done = subprocess.run(["pdftotext", folder / "report.pdf", "-"], capture_output=True, check=True)
    return re.sub(r"[\s\u00a0\u200b]+", " ", done.stdout.decode())


def test_the_page_opens_with_the_answer_sentence(page: Page, record: PlanRecord):
    assert record.answer.sentence in page.text
    assert record.answer.waiting in page.text
    assert all(sentence in page.text for sentence in record.answer.rests_on)


def test_the_page_has_every_section(page: Page):
    sections = ["The odds", "Orders", "Money", "Supply risk", "Serving figures", "Why this plan", "Assumptions"]
    sections += ["Other ways to act, on the same futures", "Where the figures come from", "How to reproduce this"]
    assert all(section in page.text for section in sections)
    assert page.tags.count("svg") == 15  # strip, two fans, two on orders, two on money, three gates, five more


def test_the_page_tells_what_the_study_found_as_the_screen_does(page: Page, record: PlanRecord):
    for told in (
        "If-then calendar, where nobody plans again",
        "while H20 new wafers is closed",
        "What planning again is likely to order",
        "A perfect forecast would save 11.8 M CNY at most",
        "The cost swings most with need of chat: 52 M CNY to 109 M CNY",
        "2026 Q4 takes most cash",
        "One GPU more in the monthly cap of H20 finished stock in Aug 2025 would save 31.5 k CNY.",
    ):
        assert told in page.text


def test_a_plan_of_an_older_version_without_its_study_makes_a_report(older: PlanRecord):
    told = Page(html_report(older)).text
    assert "What knowing more would be worth" not in told
    assert "spending, sum of monthly medians" in told
    assert pdf_report(older).startswith(b"%PDF")


def test_what_changed_is_told_where_there_was_a_run_before(record: PlanRecord):
    told = Page(html_report(record, changed=["The weakest month fell from 95 % to 91 %."])).text
    assert "What changed since the run before" in told
    assert "fell from 95 % to 91 %" in told


def test_the_page_fetches_nothing(page: Page):
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "script" not in page.tags
    assert "link" not in page.tags


def test_clip_paths_of_different_drawings_do_not_share_an_id(page: Page):
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_hostile_names_are_shown_and_not_obeyed(hostile: PlanRecord, hostile_names: tuple[str, str, str]):
    page = Page(html_report(hostile))
    assert {"script", "img", "iframe", "b"} & set(page.tags) == set()
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert hostile_names[0] in page.text


def test_twice_the_same_record_gives_the_same_bytes(record: PlanRecord, html: str, paper: bytes, charts_anew):
    charts_anew()
    assert html_report(record) == html
    assert pdf_report(record) == paper


def test_the_paper_is_tagged_and_claims_pdf_ua(paper: bytes, tmp_path: Path):
    assert paper.startswith(b"%PDF-1.7")
    assert b"/StructTreeRoot" in paper or b"/MarkInfo" in paper
    if shutil.which("pdfinfo") is None:
        pytest.skip("pdfinfo (poppler-utils) is not installed")
    (tmp_path / "report.pdf").write_bytes(paper)
    info = subprocess.run(["pdfinfo", tmp_path / "report.pdf"], capture_output=True, check=True).stdout.decode()
    assert re.search(r"Tagged:\s+yes", info)
    meta = subprocess.run(
        ["pdfinfo", "-meta", tmp_path / "report.pdf"], capture_output=True, check=True
    ).stdout.decode()
    assert "pdfuaid" in meta


def test_the_answer_can_be_extracted_from_the_paper(paper: bytes, record: PlanRecord, tmp_path: Path):
    text = text_of(paper, tmp_path)
    assert record.answer.sentence in text
    assert "How to reproduce this" in text


def test_hostile_names_are_plain_text_on_paper(hostile: PlanRecord, tmp_path: Path):
    text = text_of(pdf_report(hostile), tmp_path)
    assert '<script>document.title="owned"</script>' in text
    assert "#panic(1) @ref *x* <b>b</b>" in text


def test_page_and_paper_are_told_from_the_same_content(record: PlanRecord, page: Page, paper: bytes, tmp_path: Path):
    text = text_of(paper, tmp_path)
    for section in report_data(record).sections:
        assert section.title in page.text
        assert section.title in text


def test_a_plan_with_nothing_in_it_still_makes_a_report(older: PlanRecord):
    bare = older.model_copy(
        update={"orders": [], "reservations": [], "rivals": [], "sizing": [], "lead_times": [], "sources": []}
        | {"months": [month.model_copy(update={"gates": {}}) for month in older.months]}
    )
    assert "The plan orders nothing." in Page(html_report(bare)).text
    assert pdf_report(bare).startswith(b"%PDF")


def test_the_chinese_report_tells_the_same_figures(record: PlanRecord, chinese_page: Page, tmp_path: Path):
    page = chinese_page.text
    assert "结论的依据" in page
    assert "2025 年 8 月 14 日" in page or "2025年8月14日" in page
    assert "91 %" in page
    try:
        text = text_of(pdf_report(record, "zh"), tmp_path)
    except FontMissingError as error:
        pytest.skip(str(error))
    assert "供应风险" in text


def test_the_chinese_report_tells_the_plans_sentences_in_chinese(record: PlanRecord, chinese_page: Page):
    say = Wording("zh")
    told = [sentences.answer(record, say), sentences.waiting(record, say), *sentences.rests_on(record, say)]
    for sentence in [*told, *sentences.reasons(record, say)]:
        assert sentences.in_plain(sentence) in chinese_page.text
