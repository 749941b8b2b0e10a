"""Sentences, words and stop words, by libraries that ship their data."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

import sentencex  # type: ignore[import-untyped]  # a compiled module without types
import snowballstemmer  # type: ignore[import-untyped]
import stop_words  # type: ignore[import-untyped]

LANGUAGES = {
    "en": "english",
    "de": "german",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
}
"""The languages that are told apart, as codes and as the libraries' names."""

UNKNOWN = "und"
"""The code for a language that is none of these."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_STRETCH = re.compile(r"(?s).{1,4000}(?=\s|\Z)|.{1,4000}")


def words(text: str) -> list[str]:
    """The words of a text, as written."""
    return _WORD.findall(text)


def sentences(paragraph: str, language: str) -> Iterator[str]:
    """The sentences of a paragraph, without space around them.

    A paragraph of more than 4,000 characters is cut at spaces first: the segmenter's time grows
    with the square of what it is given.
    """
    for stretch in _STRETCH.findall(paragraph):
        # The module is compiled: pyright cannot look into it.
        for sentence in sentencex.segment(language, stretch):  # pyright: ignore[reportAttributeAccessIssue]
            if stripped := sentence.strip():
                yield stripped


def guess_language(lower_words: Sequence[str]) -> str:
    """The language whose stop words are the most frequent in a sample; `UNKNOWN` if none is."""
    sample = lower_words[:5000]
    found = {code: sum(word in stop_set(code) for word in sample) for code in LANGUAGES}
    return max(found, key=found.__getitem__) if any(found.values()) else UNKNOWN


@cache
def stop_set(language: str) -> frozenset[str]:
    """The words of a language that say nothing about a text's subject."""
    if language == UNKNOWN:
        return frozenset()
    return frozenset(word.casefold() for word in stop_words.get_stop_words(language))


def stems(distinct_words: Sequence[str], language: str) -> list[str]:
    """The stems of some words, in order: what "job" and "jobs" have in common."""
    if language == UNKNOWN:
        return list(distinct_words)
    stemmer = snowballstemmer.stemmer(LANGUAGES[language])
    return list(stemmer.stemWords(distinct_words))
