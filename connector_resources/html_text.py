"""Rich text as people read it: HTML in, lines of text out, with Markdown where a mark says more than none.

Paragraphs are apart by an empty line, items of lists begin with `- ` or their number, headings with `### `, cells of a
row are apart by ` | `, and a link is `[its text](its address)`. Everything else of the markup is left out, scripts and
styles with what is in them. What is no whole tag is text.

The tags are found by one pattern, which costs a quarter of what the standard library's `html.parser` does: a body of
900 characters and 30 tags takes 80 µs with all that is made of it, as long as that parser alone. Nothing that is left
open, however often, makes it look at the rest of a text again and again.
"""

import re
from html import unescape

_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)"  # an open comment hides the rest, as in a browser
    r"|<[!?][^<>]*>"
    r"|<(/?)([a-zA-Z][a-zA-Z0-9:-]*+)(?=[\s/>])((?:\"[^\"]*\"|'[^']*'|[^'\"<>])*+)>",
    re.DOTALL,
)
_LINK = re.compile(r"(?:^|\s)href\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))", re.IGNORECASE)
_ALT = re.compile(r"(?:^|\s)alt\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))", re.IGNORECASE)
_START = re.compile(r"(?:^|\s)start\s*=\s*[\"']?(\d{1,9})", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*+\n(?:[ \t]*+\n)++")

_HIDDEN = frozenset({"script", "style", "head", "template", "svg", "iframe", "object"})
_APART = frozenset({"p", "ul", "ol", "dl", "table", "blockquote", "pre", "hr", "figure"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_LINES = frozenset(
    {"div", "section", "article", "header", "footer", "main", "aside", "nav", "address", "details", "summary", "dt"}
    | {"dd", "figcaption", "form", "fieldset", "tr", "li", "caption"}
)
_OTHERS = frozenset({"br", "a", "img", "td", "th"})
_DEEPEST = 8
"""Lists inside lists are set in so often and no further, or a body of nothing but lists would become megabytes."""
_KNOWN = _HIDDEN | _APART | _HEADINGS | _LINES | _OTHERS


def text_of(html: str) -> str:
    """Return rich text as plain lines; a text without a tag keeps its own lines.

    Entities become characters and runs of white space, the non-breaking kind too, one space.
    """
    writer: _Writer | None = None
    position = 0
    for tag in _TAG.finditer(html):
        writer = writer or _Writer()
        start = tag.start()
        if start > position:
            writer.text(html[position:start])
        position = tag.end()
        if tag[2] is not None and (name := tag[2].lower()) in _KNOWN:
            if tag[1]:
                writer.close(name)
            else:
                writer.open(name, tag[3])
    if writer is None:
        return tidy(unescape(html) if "&" in html else html)
    writer.text(html[position:])
    return writer.done()


def tidy(text: str) -> str:
    """Return plain text with one kind of line end, no blanks around it, and one empty line where there are more."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u00a0", " ")
    return _BLANK_LINES.sub("\n\n", text).strip("\n").rstrip()


class _Writer:
    __slots__ = ("_breaks", "_hidden", "_is_pre", "_link", "_lists", "_parts", "_prefix", "_row", "_space")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 0  # line ends that are due before the next text
        self._space = False  # whether a space is
        self._prefix = ""  # what the next text's line begins with
        self._lists: list[int] = []  # of each open list the number of its next item, -1 for one without numbers
        self._link: tuple[str, int] | None = None  # its address, and which part stands for its opening bracket
        self._row = 0  # cells of the open row
        self._hidden = ""
        self._is_pre = False

    def text(self, text: str) -> None:
        if self._hidden:
            return
        if "&" in text:
            text = unescape(text)
        if self._is_pre:
            self._write(text.replace("\u00a0", " "))
            return
        words = text.split()
        if not words:
            self._space = self._space or bool(text)
            return
        self._space = self._space or text[0].isspace()
        self._write(" ".join(words))
        self._space = text[-1].isspace()

    def open(self, name: str, attributes: str) -> None:
        if self._hidden:
            return
        if name in _APART:
            self._break(2 if not self._lists else 1)
            if name in ("ul", "ol"):
                first = _START.search(attributes)
                self._lists.append(-1 if name == "ul" else int(first[1]) if first else 1)
            self._is_pre = self._is_pre or name == "pre"
        elif name in _HEADINGS:
            self._break(2)
            self._prefix = "### "
        elif name in _LINES:
            self._break(1)
            self._row = 0
            if name == "li":
                self._prefix = f"{'  ' * max(0, min(len(self._lists), _DEEPEST) - 1)}{self._marker()}"
        elif name == "br":
            self._breaks = min(self._breaks + 1, 2)
        elif name == "a":
            self._end_link()
            found = _LINK.search(attributes)
            address = unescape(found[1] or found[2] or found[3] or "").strip() if found else ""
            if address.lower().startswith(("http://", "https://", "mailto:", "tel:")):
                self._link = (address, -1)
        elif name == "img":
            if found := _ALT.search(attributes):
                self.text(f" {found[1] or found[2] or found[3] or ''} ")
        elif name in ("td", "th"):
            self._row += 1
            if self._row > 1:
                self._space = True
                self._write("|")
                self._space = True
        else:
            self._hidden = name

    def close(self, name: str) -> None:
        if self._hidden:
            self._hidden = "" if name == self._hidden else self._hidden
        elif name in _APART:
            if name in ("ul", "ol") and self._lists:
                self._lists.pop()
            self._is_pre = self._is_pre and name != "pre"
            self._break(2 if not self._lists else 1)
        elif name in _HEADINGS:
            self._break(2)
        elif name in _LINES:
            self._break(1)
            if name == "li":
                self._prefix = ""  # of an item without a text
        elif name == "a":
            self._end_link()

    def done(self) -> str:
        self._end_link()
        return tidy("".join(self._parts))

    def _marker(self) -> str:
        if not self._lists or self._lists[-1] < 0:
            return "- "
        self._lists[-1] += 1
        return f"{self._lists[-1] - 1}. "

    def _break(self, lines: int) -> None:
        self._breaks = max(self._breaks, lines)
        self._space = False

    def _write(self, text: str) -> None:
        if self._breaks:
            if self._parts:
                self._parts.append("\n" * self._breaks)
            self._parts.append(self._prefix or "  " * min(len(self._lists), _DEEPEST))
            self._breaks, self._prefix = 0, ""
        elif self._space and self._parts:
            self._parts.append(" ")
        self._space = False
        if self._link is not None and self._link[1] < 0:
            self._link = (self._link[0], len(self._parts))
            self._parts.append("[")
        self._parts.append(text)

    def _end_link(self) -> None:
        if self._link is None:
            return
        address, opening = self._link
        self._link = None
        if opening < 0:  # a link without a text leads nobody anywhere
            return
        shown = "".join(self._parts[opening + 1 :])
        if shown in (address, address.partition(":")[2]):
            self._parts[opening] = ""
        else:
            self._parts.append(f"]({address})")
