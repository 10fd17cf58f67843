"""Pages as a browser would take them apart."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "line", "rect", "circle", "polyline", "polygon"}


class Page(HTMLParser):
    """Tags, sources, scripts and text of a page; refuses tags that do not nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.sources, self.text, self.scripts = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)


def without_scripts(html):
    """A page without what stands in its scripts and its style."""
    return re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", html, flags=re.DOTALL)
