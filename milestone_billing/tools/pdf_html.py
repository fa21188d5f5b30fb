"""Make one printable HTML document out of a report's header, body and footer.

Odoo hands a report to its PDF program as separate documents: all headers, all footers, one body per record. A browser
prints one document; what stands on every page has to be in it in a form that repeats:

* the header is the head of a table around the body: a browser repeats it on each page;
* the footer stands fixed at the bottom of each page, and an invisible copy of it is the foot of that table, so that the
  body always leaves room for it;
* page numbers are only known to the page's margin boxes, so the footer's own "Page x / y", in its own language, moves there.

Nothing in the document asks the network for anything: stylesheets and pictures are put in by the function `load` of the
caller, scripts are taken out, and a content policy in the document forbids the rest.
"""

import base64
import functools
import re
from dataclasses import dataclass, field

import lxml.html
from lxml import etree

POLICY = "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'"
PAGE_SIZES_MM = {
    "A0": (841, 1189),
    "A1": (594, 841),
    "A2": (420, 594),
    "A3": (297, 420),
    "A4": (210, 297),
    "A5": (148, 210),
    "A6": (105, 148),
    "B4": (250, 353),
    "B5": (176, 250),
    "Letter": (215.9, 279.4),
    "Legal": (215.9, 355.6),
    "Tabloid": (279.4, 431.8),
    "Ledger": (431.8, 279.4),
    "Executive": (190.5, 254),
    "Folio": (210, 330),
}
NUMBER_BOX_MM = 11  # the height of the box with the page number below the footer
_URL = re.compile(r"""url\(\s*(?:"(?!data:)([^"]+)"|'(?!data:)([^']+)'|(?!["']|data:)([^)\s]+))\s*\)""")
_FONT_FACE = re.compile(r"@font-face\s*{[^}]*}")
_FONT_FORMATS = ("woff2", "woff", "truetype", "opentype")  # best first; browsers know no other


@dataclass(frozen=True)
class Page:
    """The sheet of paper, in millimetres."""

    width: float = 210
    height: float = 297
    top: float = 0
    right: float = 0
    bottom: float = 0
    left: float = 0
    zoom: float = 1.0

    def css(self):
        size = f"{self.width:g}mm {self.height:g}mm"
        margin = " ".join(f"{side:g}mm" for side in (self.top, self.right, self.bottom, self.left))
        return size, margin


@dataclass
class Numbering:
    """How the footer writes page numbers: texts and the marks `page` and `topage`, in the footer's order and language."""

    parts: list = field(default_factory=list)
    align: str = "right"

    def css_content(self):
        """Return the value of the CSS property `content`."""
        counters = {"page": "counter(page)", "topage": "counter(pages)"}
        return " ".join(
            counters[value] if kind == "mark" else _css_string(value) for kind, value in self.parts
        )


def build_document(body, header=None, footer=None, index=0, page=None, load=None):
    """Return the HTML document that prints as one report.

    :param str body: the document of one record, as the report engine makes it
    :param header: the document with all headers, None when the report has none
    :param footer: the document with all footers, None when the report has none
    :param int index: which of the headers and footers belongs to this body
    :param Page page: the paper
    :param load: function from an address to ``(mimetype, bytes)``, or None when there is nothing to put in
    :return: the document, with all that it needs inside
    :rtype: str
    """
    page = page or Page()
    root = _parse(body)
    head_part = _pick(header, "minimal_layout_report_headers", index)
    foot_part = _pick(footer, "minimal_layout_report_footers", index)
    numbering = _take_numbering(foot_part) if foot_part is not None else None
    _frame(root, head_part, foot_part)
    _clean(root)
    _put_in(root, load or (lambda _url: None))
    _write_head(root, page, numbering)
    return "<!DOCTYPE html>\n" + lxml.html.tostring(root, encoding="unicode")


def _parse(document):
    return lxml.html.document_fromstring(document.strip(), parser=lxml.html.HTMLParser(encoding="utf-8"))


def _pick(document, holder_id, index):
    """Return the header or footer number `index`; the only one there is when it is meant for all bodies."""
    if not document:
        return None
    holders = _parse(document.encode()).xpath("//*[@id=$holder]", holder=holder_id)
    children = [child for child in holders[0] if isinstance(child.tag, str)] if holders else []
    if not children:
        return None
    return children[index if index < len(children) else -1]


def _take_numbering(footer):
    """Take the page number out of a footer; return how it was written, or None when the footer has none."""
    marks = footer.xpath(".//span[@class='page' or @class='topage']")
    if not marks:
        return None
    holder = _common_parent(marks)
    numbering = Numbering(list(_texts(holder)), _alignment(holder))
    parent = holder.getparent()
    if parent is None:
        for mark in marks:
            mark.getparent().remove(mark)
    else:
        holder.drop_tree()
    return numbering


def _common_parent(marks):
    holder = marks[0].getparent()
    while not all(holder in mark.iterancestors() for mark in marks):
        holder = holder.getparent()
    return holder


def _texts(node):
    """Yield the texts and marks of a node in reading order, white space made one blank."""
    if node.get("class") in ("page", "topage"):
        yield "mark", node.get("class")
        return
    if node.text and (text := re.sub(r"\s+", " ", node.text)):
        yield "text", text
    for child in node:
        yield from _texts(child)
        if child.tail and (text := re.sub(r"\s+", " ", child.tail)):
            yield "text", text


def _alignment(node):
    for ancestor in [node, *node.iterancestors()]:
        classes = (ancestor.get("class") or "").split()
        for name, align in (("text-end", "right"), ("text-center", "center"), ("text-start", "left")):
            if name in classes:
                return align
    return "right"


def _frame(root, header, footer):
    """Put the body into a table whose head and foot a browser repeats on each page."""
    body = root.find("body")
    body.classes.discard("overflow-hidden")  # it would cut the document after its first page
    content = lxml.html.Element("td")
    content.text, body.text = body.text, None
    content.extend(list(body))
    table = lxml.html.Element("table", {"class": "o_print_frame"})
    if header is not None:
        _add_row(table, "thead", header)
    if footer is not None:
        # A copy that takes the room, and is not seen; the visible one is fixed at the foot of the page.
        _add_row(table, "tfoot", _copy(footer)).set("class", "o_print_room")
        fixed = etree.SubElement(body, "div", {"class": "o_print_footer"})
        fixed.append(footer)
    row = etree.SubElement(etree.SubElement(table, "tbody"), "tr")
    row.append(content)
    body.insert(0, table)


def _add_row(table, tag, part):
    cell = etree.SubElement(etree.SubElement(etree.SubElement(table, tag), "tr"), "td")
    cell.append(part)
    return cell


def _copy(node):
    return lxml.html.fragment_fromstring(lxml.html.tostring(node, encoding="unicode", with_tail=False))


def _clean(root):
    """Take out all that could run or ask the network."""
    for node in root.xpath("//script | //base | //iframe | //object | //embed | //meta[@http-equiv]"):
        node.drop_tree()
    for node in root.iter(etree.Element):
        for name in [name for name in node.attrib if name.lower().startswith("on")]:
            del node.attrib[name]


def _put_in(root, load):
    """Put stylesheets and pictures into the document; what cannot be loaded is left out."""
    for link in root.xpath("//link"):
        found = load(link.get("href")) if link.get("rel") == "stylesheet" and link.get("href") else None
        if found:
            style = lxml.html.Element("style")
            style.text = found[1].decode("utf-8")
            link.addprevious(style)
        link.drop_tree()
    styles = root.xpath("//style")
    fonts = FontChooser(root, [style.text or "" for style in styles])
    for style in styles:
        style.text = _fill_urls(fonts.slim(style.text or ""), load)
    for image in root.xpath("//img[@src]"):
        if not image.get("src").startswith("data:"):
            found = load(image.get("src"))
            image.set("src", data_url(*found) if found else "data:,")
        image.attrib.pop("srcset", None)
    for node in root.xpath("//*[@style]"):
        node.set("style", _fill_urls(node.get("style"), load))


class FontChooser:
    """Leaves in a stylesheet only the fonts that the document uses, each in one format: they are large."""

    def __init__(self, root, stylesheets):
        rules = [_FONT_FACE.sub("", text) for text in stylesheets] + root.xpath("//@style")
        named = " ".join(
            match for text in rules for match in re.findall(r"font(?:-family)?\s*:\s*([^;}]+)", text)
        )
        self.named = named.lower()
        self.codes = {ord(char) for char in root.text_content()}

    def slim(self, css):
        return _FONT_FACE.sub(self._slim_face, css)

    def _slim_face(self, match):
        rule = match[0]
        family = re.search(r"""font-family\s*:\s*['"]?([^;'"}]+)""", rule)
        if not family or family[1].strip().lower() not in self.named or not self._writes_with(rule):
            return ""
        sources = re.findall(r"""url\([^)]*\)\s*format\(\s*['"]?([\w-]+)['"]?\s*\)""", rule)
        best = next((name for name in _FONT_FORMATS if name in sources), None)
        if best is None:
            return rule
        chosen = re.search(rf"""url\([^)]*\)\s*format\(\s*['"]?{best}['"]?\s*\)""", rule)[0]
        return re.sub(r"src\s*:[^;}]*;?", "", rule).rstrip("}") + f";src:{chosen}}}"

    def _writes_with(self, rule):
        """Tell whether the document holds a letter of the face's range."""
        ranges = re.search(r"unicode-range\s*:\s*([^;}]+)", rule)
        if not ranges:
            return True
        for part in ranges[1].split(","):
            first, _, last = part.strip().upper().removeprefix("U+").partition("-")
            low, high = int(first.replace("?", "0"), 16), int((last or first).replace("?", "F"), 16)
            if any(low <= code <= high for code in self.codes):
                return True
        return False


def _fill_urls(css, load):
    once = functools.cache(load)

    def fill(match):
        found = once(match[1] or match[2] or match[3])
        return f'url("{data_url(*found)}")' if found else 'url("data:,")'

    return _URL.sub(fill, css)


def data_url(mimetype, content):
    return f"data:{mimetype};base64,{base64.b64encode(content).decode()}"


def _css_string(text):
    escaped = "".join(char if char.isalnum() or char in " /.,:-" else f"\\{ord(char):x} " for char in text)
    return f'"{escaped}"'


def _write_head(root, page, numbering):
    """Write the content policy first and the rules of the page last."""
    head = root.find("head")
    if head is None:
        head = lxml.html.Element("head")
        root.insert(0, head)
    policy = lxml.html.Element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    head.insert(0, lxml.html.Element("meta", {"charset": "utf-8"}))
    head.insert(1, policy)
    style = etree.SubElement(head, "style")
    style.text = _page_rules(page, numbering)


def _page_rules(page, numbering):
    """Return the style sheet of the printed page: size, margins, numbering, and what must not break."""
    size, margin = page.css()
    number_box = ""
    if numbering:
        number_box = (
            f"@bottom-{numbering.align} {{ content: {numbering.css_content()}; vertical-align: top;"
            " font: 8pt sans-serif; color: #666; padding: 1mm 11mm 0; white-space: nowrap; }"
        )
    return f"""
@page {{ size: {size}; margin: {margin}; {number_box} }}
html, body {{ height: auto !important; min-height: 0 !important; overflow: visible !important; }}
body {{ margin: 0; max-width: none !important; width: auto !important; zoom: {page.zoom:g};
  -webkit-print-color-adjust: exact; print-color-adjust: exact; }}
table.o_print_frame {{ width: 100%; border: 0; border-collapse: collapse; }}
table.o_print_frame > * > tr > td {{ padding: 0; border: 0; vertical-align: top; }}
.o_print_room {{ visibility: hidden; }}
.o_print_footer {{ position: fixed; bottom: 0; left: 0; right: 0; padding: inherit; }}
.footer > .o_footer_content {{ padding-bottom: 0 !important; }}
.o_table_boxed table:not(.o_ignore_layout_styling)::before,
.o_table_boxed-rounded table:not(.o_ignore_layout_styling)::before {{ content: none !important; }}
.o_table_boxed table:not(.o_ignore_layout_styling),
.o_table_boxed-rounded table:not(.o_ignore_layout_styling) {{ border: 1px solid #495057; }}
tr, img, .o_no_break {{ break-inside: avoid; }}
h1, h2, h3, h4 {{ break-after: avoid; }}
"""
