"""What is made of a document: as it should be, and safe."""

from xml.etree import ElementTree

import pytest

from examples.content_app.app.services.content import pack as pack_module
from examples.content_app.app.services.content.article import DocumentTooComplex
from examples.content_app.app.services.content.chart import bar_chart
from examples.content_app.app.services.content.pack import ContentPack, make_pack


def made(source: str, kind: str = "markdown") -> ContentPack:
    return make_pack(source, kind, lambda fraction, stage: None, lambda: None)


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](https://example.org/spy.png)",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](</x> onclick=alert(1))",
    "`<script>alert(1)</script>`",
    "    <script>alert(1)</script>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>@import 'https://example.org/x.css'</style>",
    "</title></style></textarea><script>alert(1)</script>",
    '[a]: https://example.org "onmouseover=alert(1)"\n\n[a]',
]


@pytest.mark.parametrize("kind", ["markdown", "text"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_a_document_says_becomes_more_than_text_and_safe_links(
    attack: str, kind: str
) -> None:
    html = made(attack, kind).article_html
    tree = ElementTree.fromstring(f"<div>{html.replace('&nbsp;', ' ')}</div>")
    for element in tree.iter():
        assert element.tag in {"div", "p", "a", "code", "pre"}
        assert set(element.attrib) <= {"href", "rel", "target"}
        assert element.get("href", "https:").startswith("https:")


def test_html_in_a_document_is_shown_as_text() -> None:
    html = made("Use <b>this</b>.\n\n<script>x</script>").article_html
    assert "Use &lt;b&gt;this&lt;/b&gt;." in html
    assert "&lt;script&gt;x&lt;/script&gt;" in html


def test_a_link_opens_elsewhere_and_tells_nothing() -> None:
    html = made("[home](https://example.org/)").article_html
    assert 'href="https://example.org/"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert 'target="_blank"' in html


def test_the_chart_holds_names_as_text_whatever_they_are() -> None:
    name = "</text><a>&'\""
    tree = ElementTree.fromstring(bar_chart([(name, 3), ("plain", 1)]))
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [name, "3", "plain", "1"]
    assert not list(tree.iter("{http://www.w3.org/2000/svg}a"))


def test_plain_text_is_not_read_as_markdown() -> None:
    assert made("# Not *a* heading", "text").article_html.strip() == "<p># Not *a* heading</p>"
    assert "<h1>A heading</h1>" in made("# A heading").article_html


def test_key_terms_count_a_word_with_its_kin_and_leave_stop_words_out() -> None:
    terms = made("The job waits. Two jobs wait, and the jobs are waiting for the runner.").terms
    assert [(term.term, term.count) for term in terms][:2] == [("jobs", 3), ("waits", 3)]
    assert "the" not in {term.term.casefold() for term in terms}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Es war einmal ein König, der hatte eine Tochter, und die war schön.", "de"),
        ("Il était une fois un roi qui avait une fille, et elle était belle.", "fr"),
        ("Había una vez un rey que tenía una hija, y ella era muy hermosa.", "es"),
        ("هذا نص عربي قصير للاختبار.", "und"),
        ("Once there was a king who had a daughter, and she was fair.", "en"),
    ],
)
def test_the_language_is_told_by_its_stop_words(text: str, language: str) -> None:
    assert made(text).language == language


def test_the_summary_quotes_whole_sentences_in_the_order_of_the_document() -> None:
    source = " ".join(f"Sentence number {n} is about bees and honey. Yes." for n in range(9))
    summary = made(source).summary
    assert len(summary) == 4
    assert summary == sorted(summary)
    assert all(sentence in source for sentence in summary)


def test_progress_only_grows_and_names_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_module, "SECONDS_BETWEEN_REPORTS", 0)
    reports: list[tuple[float, str]] = []
    make_pack(
        "A sentence of some words, to be read.\n\n" * 500,
        "markdown",
        lambda fraction, stage: reports.append((fraction, stage)),
        lambda: None,
    )
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(set(fractions))
    assert len(fractions) > 50
    assert list(dict.fromkeys(stage for _, stage in reports)) == [
        "writing the article",
        "counting words",
        "choosing the summary",
        "drawing the chart",
    ]


class StoppedError(Exception):
    """What a check raises to end the work."""


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("[" * 100_000, id="open brackets"),
        pytest.param("![" * 100_000, id="open images"),
        pytest.param(">" * 50 + "\n" + "a\n" * 100_000, id="lazy quote"),
        pytest.param("*a_ " * 100_000, id="emphasis"),
        pytest.param("a paragraph\n\n" * 20_000, id="paragraphs"),
    ],
)
def test_a_check_that_raises_ends_the_work_in_the_midst_of_a_stage(source: str) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise StoppedError

    with pytest.raises(StoppedError):
        make_pack(source, "markdown", lambda fraction, stage: None, check)


def test_link_references_cannot_blow_an_article_up() -> None:
    source = f"[a]: https://example.org/{'z' * 1500}\n\n" + "[a] " * 2000
    with pytest.raises(DocumentTooComplex, match=r"^the addresses of the document's links"):
        made(source)
