"""One printable document out of a report's header, body and footer."""

import io

import conftest  # noqa: F401 - makes the tools importable
import lxml.html
import pytest
from milestone_billing_tools import pdf_html, pdf_outline
from pypdf import PdfReader, PdfWriter

LAYOUT = "<!DOCTYPE html><html><head><base href='https://example.com'/>{head}</head><body class='o_body_pdf overflow-hidden'>{body}</body></html>"
PICTURE = b"\x89PNG picture"


def layout(body, head=""):
    return LAYOUT.format(head=head, body=body)


def headers(*texts):
    parts = "".join(f"<div class='header'>{text}</div>" for text in texts)
    return layout(f"<div id='minimal_layout_report_headers'>{parts}</div>")


def footers(*texts):
    parts = "".join(f"<div class='footer'>{text}</div>" for text in texts)
    return layout(f"<div id='minimal_layout_report_footers'>{parts}</div>")


def parse(document):
    return lxml.html.document_fromstring(document)


def test_header_and_footer_of_the_right_number_repeat_around_the_body():
    document = parse(
        pdf_html.build_document(layout("Body"), headers("First", "Second"), footers("Foot 1", "Foot 2"), 1)
    )
    assert document.xpath("string(//thead)") == "Second"
    assert document.xpath("string(//tbody)").strip() == "Body"
    assert document.xpath("string(//tfoot)") == "Foot 2"
    assert document.xpath("string(//div[@class='o_print_footer'])") == "Foot 2"
    assert "First" not in document.text_content()


def test_one_header_serves_several_bodies():
    document = parse(pdf_html.build_document(layout("Body"), headers("Only"), None, 4))
    assert document.xpath("string(//thead)") == "Only"
    assert not document.xpath("//tfoot")


@pytest.mark.parametrize(
    ("footer", "content", "align"),
    [
        (
            "<div class='text-end'>Page <span class='page'/> / <span class='topage'/></div>",
            '"Page " counter(page) " / " counter(pages)',
            "right",
        ),
        (
            "<div class='text-center'>Seite <span class='page'/> von <span class='topage'/></div>",
            '"Seite " counter(page) " von " counter(pages)',
            "center",
        ),
        ("<p class='text-start'>«<span class='page'/>»</p>", '"\\ab " counter(page) "\\bb "', "left"),
    ],
)
def test_page_numbers_keep_their_words_and_their_place(footer, content, align):
    document = pdf_html.build_document(layout("Body"), None, footers("<b>Acme</b>" + footer))
    assert f"@bottom-{align} {{ content: {content};" in document
    tree = parse(document)
    assert tree.xpath("string(//tfoot)") == "Acme"
    assert not tree.xpath("//span[@class='page']")


def test_words_of_a_footer_cannot_leave_their_string():
    footer = """<div>"; } body { display:none } <span class='page'/></div>"""
    document = pdf_html.build_document(layout("Body"), None, footers(footer))
    rules = parse(document).xpath("//style")[-1].text
    assert 'content: "\\22 \\3b  \\7d  body \\7b  display:none \\7d  " counter(page);' in rules


def test_nothing_runs_and_nothing_is_asked_from_outside():
    body = """<script>alert(1)</script><p onclick="alert(2)">Text</p><iframe src="https://example.com"></iframe>
        <img src="https://example.com/pixel.png" srcset="https://example.com/2.png 2x"/>
        <div style="background: url(https://example.com/b.png)">x</div>
        <meta http-equiv="refresh" content="0; url=https://example.com"/>"""
    head = "<link rel='stylesheet' href='https://example.com/a.css'/><link rel='prefetch' href='https://example.com/p'/>"
    document = pdf_html.build_document(layout(body, head), load=lambda _url: None)
    assert "example.com" not in document
    assert "alert" not in document
    policy = parse(document).xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy == [pdf_html.POLICY]
    assert "default-src 'none'" in policy[0]


def test_stylesheets_and_pictures_are_put_in():
    found = {
        "/a.css": (
            "text/css",
            b".x { background: url('/b.png') } .y { background: url(\"data:image/png;base64,AA\") }",
        ),
        "/b.png": ("image/png", PICTURE),
        "/c.png": ("image/png", PICTURE),
    }
    body = "<img src='/c.png'/><img src='data:image/png;base64,AA'/>"
    document = pdf_html.build_document(layout(body, "<link rel='stylesheet' href='/a.css'/>"), load=found.get)
    picture = pdf_html.data_url("image/png", PICTURE)
    assert f'.x {{ background: url("{picture}") }}' in document
    assert 'url("data:image/png;base64,AA")' in document
    assert parse(document).xpath("//img/@src") == [picture, "data:image/png;base64,AA"]


def test_only_fonts_in_use_are_put_in_and_in_one_format():
    css = """
    @font-face{font-family:'Used';src:url('/used.eot');src:url('/used.woff') format('woff'), url('/used.ttf') format('truetype');}
    @font-face{font-family:'Other';src:url('/other.woff') format('woff');}
    @font-face{font-family:'Used';src:url('/greek.woff2') format('woff2');unicode-range:U+0370-03FF;}
    @font-face{font-family:'Used';src:url('/cyrillic.woff2') format('woff2');unicode-range:U+04??, U+1C80;}
    body{font-family: Used, sans-serif;}"""
    asked = []

    def load(url):
        asked.append(url)
        return ("text/css", css.encode()) if url == "/a.css" else ("font/woff", url.encode())

    pdf_html.build_document(layout("Ж", "<link rel='stylesheet' href='/a.css'/>"), load=load)
    assert asked == ["/a.css", "/used.woff", "/cyrillic.woff2"]


def test_the_body_is_not_cut_after_its_first_page():
    document = parse(pdf_html.build_document(layout("Body")))
    assert document.find("body").get("class") == "o_body_pdf"


def test_paper_is_written_into_the_page_rule():
    page = pdf_html.Page(width=297, height=210, top=10, right=5, bottom=12.5, left=5)
    document = pdf_html.build_document(layout("Body"), page=page)
    assert "size: 297mm 210mm; margin: 10mm 5mm 12.5mm 5mm;" in document


def pdf(pages):
    writer, output = PdfWriter(), io.BytesIO()
    for _page in range(pages):
        writer.add_blank_page(100, 100)
    writer.write(output)
    return output.getvalue()


def test_joined_files_tell_where_each_one_begins():
    reader = PdfReader(io.BytesIO(pdf_outline.merge([pdf(2), pdf(1), pdf(3)])))
    assert len(reader.pages) == 6
    root, pages = reader.trailer["/Root"], []
    node = root["/Outlines"]["/First"]
    while node:
        pages.append(root["/Dests"][node["/Dest"]][0])
        node = node.get("/Next") and node["/Next"].get_object()
    assert pages == [0, 2, 3]
