"""A content pack: all that is made of one document, and the stages in which it is made."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from examples.content_app.app.services.content.article import make_article
from examples.content_app.app.services.content.chart import bar_chart
from examples.content_app.app.services.content.language import (
    guess_language,
    sentences,
    stems,
    stop_set,
    words,
)

Report = Callable[[float, str], None]
"""Told the fraction that is done, 0 to 1, and the stage; what it raises ends the making."""

WORDS_PER_MINUTE = 238  # silent reading of English: Brysbaert 2019, a meta-analysis
SECONDS_BETWEEN_REPORTS = 0.1  # each is written into the row
_TERMS = 12
_LONGEST_TERM = 40
_SUMMARY_SENTENCES = 4
_LONGEST_QUOTE = 500


@dataclass(frozen=True, slots=True)
class Term:
    """A key term as the document writes it most often, and how often it and its kin occur."""

    term: str
    count: int


@dataclass(frozen=True, slots=True)
class ContentPack:
    """What a document becomes."""

    article_html: str
    chart_svg: str
    terms: Sequence[Term]
    summary: Sequence[str]
    language: str
    words: int
    sentences: int
    reading_minutes: int


class Watch:
    """Passes on a step's progress, ten times a second at most.

    `check` is called many times a second, so that a job ends soon that was cancelled or has run
    out of time; a document of one single 1 MB paragraph can keep a library busy for some seconds
    in between.
    """

    def __init__(self, report: Report, check: Callable[[], None]) -> None:
        self._report = report
        self._check = check
        self._calls = 0
        self._percent = -1
        self._report_after = 0.0

    def stage(self, start: float, end: float, name: str) -> Callable[[float], None]:
        """A callable that takes a stage's own fraction, 0 to 1."""

        def step(fraction: float) -> None:
            self._calls += 1
            if self._calls % 64 == 0:
                self._check()
            percent = int(100 * (start + (end - start) * min(fraction, 1.0)))
            if percent > self._percent and monotonic() >= self._report_after:
                self._percent = percent
                self._report_after = monotonic() + SECONDS_BETWEEN_REPORTS
                self._report(percent / 100, name)

        self._check()
        step(0.0)
        return step


def make_pack(source: str, kind: str, report: Report, check: Callable[[], None]) -> ContentPack:
    """Make a content pack of a document of `kind` "markdown" or "text".

    `report` hears of the progress; `check` is called often, and may raise to end the work.
    Raises `DocumentTooComplex` for what is written to become far larger than it is.
    """
    watch = Watch(report, check)

    article = make_article(source, kind, watch.stage(0.0, 0.6, "writing the article"))

    step = watch.stage(0.6, 0.75, "counting words")
    paragraphs = article.paragraphs or article.headings
    counts: Counter[str] = Counter()
    for number, text in enumerate((*article.headings, *article.paragraphs)):
        counts.update(words(text))
        step(number / (len(article.headings) + len(article.paragraphs)))
    by_frequency = [word.casefold() for word, _ in counts.most_common(5000)]
    language = guess_language(by_frequency)
    terms, weights = _key_terms(counts, language)

    step = watch.stage(0.75, 0.95, "choosing the summary")
    quotes: list[tuple[float, int, str]] = []
    total = 0
    for number, paragraph in enumerate(paragraphs):
        for sentence in sentences(paragraph, language):
            quotes.append((_weight(sentence, weights), total, sentence))
            total += 1
            step(number / len(paragraphs))

    watch.stage(0.95, 1.0, "drawing the chart")
    word_count = counts.total()
    return ContentPack(
        article_html=article.html,
        chart_svg=bar_chart([(term.term, term.count) for term in terms]),
        terms=terms,
        summary=_best(quotes),
        language=language,
        words=word_count,
        sentences=total,
        reading_minutes=math.ceil(word_count / WORDS_PER_MINUTE),
    )


def _key_terms(counts: Counter[str], language: str) -> tuple[list[Term], dict[str, float]]:
    """The most frequent stems that are no stop words, and each spelling's weight, 0 to 1."""
    ignored = stop_set(language)
    candidates = [
        word
        for word, _ in islice(counts.most_common(), 20_000)
        if 2 < len(word) <= _LONGEST_TERM
        and word.casefold().replace("\u2019", "'") not in ignored
        and not word.replace("_", "").isdigit()
    ]
    by_stem: dict[str, Counter[str]] = {}
    for word, stem in zip(
        candidates, stems([w.casefold() for w in candidates], language), strict=True
    ):
        by_stem.setdefault(stem, Counter())[word] += counts[word]
    families = sorted(by_stem.values(), key=lambda family: -family.total())
    highest = families[0].total() if families else 1
    weights = {word: family.total() / highest for family in families[:200] for word in family}
    terms = [Term(family.most_common(1)[0][0], family.total()) for family in families[:_TERMS]]
    return terms, weights


def _weight(sentence: str, weights: dict[str, float]) -> float:
    """How much of what the document is about a sentence says; long ones gain little by length."""
    found = words(sentence)
    if not 5 <= len(found) <= 60 or len(sentence) > _LONGEST_QUOTE:
        return 0.0
    return sum(weights.get(word, 0.0) for word in set(found)) / math.sqrt(len(found))


def _best(quotes: Sequence[tuple[float, int, str]]) -> list[str]:
    """The weightiest sentences, none twice, in the document's order; else how it begins."""
    chosen: dict[str, int] = {}
    for weight, place, sentence in sorted(quotes, key=lambda quote: (-quote[0], quote[1])):
        if weight == 0.0 or len(chosen) == _SUMMARY_SENTENCES:
            break
        chosen.setdefault(sentence, place)
    if chosen:
        return sorted(chosen, key=lambda sentence: chosen[sentence])
    return [_shortened(quotes[0][2])] if quotes else []


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
