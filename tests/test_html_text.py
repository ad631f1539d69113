"""Rich text as lines: what is kept of the markup, and that no word of a text is lost."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector_resources.html_text import text_of

CASES = {
    "paragraphs are apart": ("<p>One</p>\n<p>Two</p>", "One\n\nTwo"),
    "a line break is one": ("<p>One<br>two<br/><br />three</p>", "One\ntwo\n\nthree"),
    "entities are characters": ("<p>40&nbsp;seats &amp; &lt;more&gt; &#8364; &eacute;</p>", "40 seats & <more> € é"),
    "white space is a space": ("<p> a\n\t b </p>", "a b"),
    "words in marks stay together": ("<p>un<b>believ</b>able <i>x</i></p>", "unbelievable x"),
    "a list has an item a line": ("<ul><li>One</li><li><p>Two</p></li></ul>", "- One\n- Two"),
    "a list is numbered from its start": ('<ol start="3"><li>c<li>d</ol>', "3. c\n4. d"),
    "a list in a list is set in": ("<ul><li>a<ol><li>b</li></ol></li><li>c</li></ul>", "- a\n  1. b\n- c"),
    "text goes on behind a list": ("<ul><li>a</li></ul>b", "- a\n\nb"),
    "an item without a text is none": ("<ul><li>a</li><li></li></ul>b", "- a\n\nb"),
    "a link has its address": ('<a target=_blank href="https://e.x/?a=1&amp;b=2">the <b>page</b></a>.', "[the page](https://e.x/?a=1&b=2)."),
    "an address that is its own text is there once": ('<a href="https://e.x">https://e.x</a>', "https://e.x"),
    "an address of mail is there once": ('<a href="mailto:a@e.x">a@e.x</a>', "a@e.x"),
    "a link to a script is its text": ('<a href="javascript:x()">go</a>', "go"),
    "a link within the page is its text": ('<a href="#below">below</a>', "below"),
    "a link without a text is none": ('a <a href="https://e.x"></a>b', "a b"),
    "a link that is left open ends with the text": ('<a href="https://e.x">a', "[a](https://e.x)"),
    "a heading is one": ("<h2>Why</h2><p>So</p>", "### Why\n\nSo"),
    "cells of a row are apart": ("<table><tr><th>a<th>b</tr><tr><td></td><td>2</td></tr></table>", "a | b\n| 2"),
    "a picture is what it shows": ('a<img src="x.png" alt="A &quot;plan&quot;">b<img src="y.png">', 'a A "plan" b'),
    "lines stay as they are where they are to": ("<pre>  if a:\n    b</pre>c", "  if a:\n    b\n\nc"),
    "what is no text is left out": ("<style>p {a: b}</style>a<script>if (a<b) c</script><!-- d > e -->", "a"),
    "a comment that is left open hides the rest": ("a<!-- b <p>c", "a"),
    "what is no tag is text": ("a < b and c<d, e > f", "a < b and c<d, e > f"),
    "an angle in an attribute ends no tag": ('<p title="a > b">c</p>', "c"),
    "tags have any case": ("<P>a</P><UL><LI>b</UL>", "a\n\n- b"),
    "a text without a tag keeps its lines": ("a &amp; b\r\n\r\n\r\n\r\nc\nd ", "a & b\n\nc\nd"),
    "nothing is nothing": ("<p>&nbsp;</p><br>", ""),
}  # fmt: skip


@pytest.mark.parametrize(("html", "text"), CASES.values(), ids=CASES)
def test_rich_text_becomes_lines_that_people_read(html: str, text: str) -> None:
    assert text_of(html) == text


class Words(HTMLParser):
    """The words of a text as the standard library's parser finds them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.found.append(data)


WORDS = st.text("abcxyzé世 \n\u00a0", max_size=8)
ATTRIBUTES = st.sampled_from(["", ' class="q > w"', " id='<'", ' href="https://1.2/"', " hidden", ' alt=""'])
BLOCKS = st.sampled_from(
    ["p", "div", "ul", "ol", "li", "table", "tr", "td", "h1", "pre", "blockquote", "b", "a", "span"]
)
HTML = st.recursive(
    WORDS,
    lambda inner: st.builds(
        lambda tag, attributes, parts, end: f"<{tag}{attributes}>{''.join(parts)}{f'</{tag}>' if end else ''}",
        BLOCKS,
        ATTRIBUTES,
        st.lists(st.one_of(inner, st.sampled_from(["<br>", "<!-- q -->", "&amp;"])), max_size=4),
        st.booleans(),
    ),
    max_leaves=20,
)


@given(HTML)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_no_letter_of_a_text_is_lost_or_moved(html: str) -> None:
    expected = re.sub(r"[^a-zé世&]", "", "".join(Words(html).found))
    told = re.sub(r"\]\(https://1\.2/\)", "", text_of(html))
    assert re.sub(r"[^a-zé世&]", "", told) == expected


@pytest.mark.parametrize(
    "left_open", ["<a ", "<a '", "<!", "<!--", "<a \"<b '", "<script>", "<ul><li>x", "&#", "<a href=http://x>y"]
)
def test_what_is_left_open_a_hundred_thousand_times_is_read_once(left_open: str) -> None:
    # Were the rest of the text looked at for each of them, this would take minutes, and lists set in without end
    # gigabytes.
    assert len(text_of(left_open * 100_000)) < 3_000_000
