"""A document as clean HTML, and as the plain text that the other parts count and quote."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt
from markdown_it.ruler import RuleOptionsType
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

Step = Callable[[float], None]
"""Told now and then how far a stage is, from 0 to 1; what it raises ends the stage."""

MAX_EXPANSION = 100_000
"""Bytes of link addresses that an article may have beyond the document's own length."""

_TEXT_TAGS = {
    "a",
    "blockquote",
    "br",
    "code",
    "em",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "strong",
    "ul",
}
_HEADING_TAGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_TABLE_TAGS = {"table", "tbody", "td", "th", "thead", "tr"}
_CLEANER = nh3.Cleaner(
    tags=_TEXT_TAGS | _HEADING_TAGS | _TABLE_TAGS,
    attributes={"a": {"href"}, "ol": {"start"}},
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",  # it would lead to the app's own pages
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
)


class DocumentTooComplex(ValueError):
    """The document would become far larger than its size suggests."""


@dataclass(frozen=True, slots=True)
class Article:
    """The article and its text, block by block."""

    html: str
    paragraphs: Sequence[str]
    """Running text: what a summary may quote."""
    headings: Sequence[str]


def make_article(source: str, kind: str, step: Step) -> Article:
    """Turn a document of `kind` "markdown" or "text" into an article.

    HTML in the document is shown as text: nothing of it reaches the article as markup. What the
    renderer makes is cleaned all the same, by an allow-list of tags. `step` is called often enough
    for a cancellation to be noticed soon, also in text that is meant to keep a parser busy.

    Raises `DocumentTooComplex` if link references would blow the article up.
    """
    parser = _parser(kind, step)
    tokens = parser.parse(source)
    _refuse_expansion(tokens, len(source))
    html: list[str] = []
    blocks = list(_top_level(tokens))
    for number, block in enumerate(blocks):
        # Block by block, so that cleaning a large article can be cancelled as well.
        html.append(_CLEANER.clean(parser.renderer.render(block, parser.options, {})))
        step(0.7 + 0.3 * (number + 1) / len(blocks))
    paragraphs, headings = _texts(tokens)
    return Article("".join(html), paragraphs, headings)


def _parser(kind: str, step: Step) -> MarkdownIt:
    if kind == "markdown":
        parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
        parser.disable("image")  # it would be fetched from wherever the document says
    else:
        parser = MarkdownIt("zero")  # paragraphs, and nothing else
    # These two rules match nothing: they are where the parser can be watched and stopped.
    everywhere: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    first_block = parser.get_active_rules()["block"][0]
    first_inline = parser.get_active_rules()["inline"][0]

    def watch_block(state: StateBlock, line: int, _end: int, _silent: bool) -> bool:
        step(0.3 * line / max(state.lineMax, 1))
        return False

    parsed, length = 0, 1  # characters: of the blocks before this one, and of all

    def watch_inline(state: StateInline, _silent: bool) -> bool:
        step(0.3 + 0.4 * (parsed + state.pos) / length)
        return False

    def parse_inline(state: StateCore) -> None:
        nonlocal parsed, length
        blocks = [token for token in state.tokens if token.type == "inline"]
        length = sum(len(block.content) for block in blocks)
        for block in blocks:
            block.children = []
            state.md.inline.parse(block.content, state.md, state.env, block.children)
            parsed += len(block.content)

    parser.block.ruler.before(first_block, "watch", watch_block, everywhere)
    parser.inline.ruler.before(first_inline, "watch", watch_inline)
    parser.core.ruler.at("inline", parse_inline)
    return parser


def _refuse_expansion(tokens: Sequence[Token], length: int) -> None:
    """Each use of a link reference repeats its address: a 1 MB document could become gigabytes."""
    allowed = MAX_EXPANSION + length
    for token in tokens:
        for child in token.children or ():
            child.attrs.pop("title", None)
            allowed -= sum(len(str(value)) for value in child.attrs.values())
    if allowed < 0:
        raise DocumentTooComplex(
            "the addresses of the document's links, written out, must not be longer than the "
            f"document by more than {MAX_EXPANSION:,} characters"
        )


def _top_level(tokens: Sequence[Token]) -> list[list[Token]]:
    blocks: list[list[Token]] = []
    depth = 0
    for token in tokens:
        if depth == 0:
            blocks.append([])
        blocks[-1].append(token)
        depth += token.nesting
    return blocks


def _texts(tokens: Sequence[Token]) -> tuple[list[str], list[str]]:
    paragraphs: list[str] = []
    headings: list[str] = []
    for before, token in pairwise(tokens):
        if token.type == "inline":
            into = {"paragraph_open": paragraphs, "heading_open": headings}.get(before.type)
            if into is not None:
                into.append(" ".join(_plain(token).split()))
    return paragraphs, headings


def _plain(token: Token) -> str:
    return "".join(
        child.content if child.type in {"text", "code_inline"} else " "
        for child in token.children or ()
        if child.type in {"text", "code_inline", "softbreak", "hardbreak"}
    )
