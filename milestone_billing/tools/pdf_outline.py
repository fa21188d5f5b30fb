"""Join PDF files so that Odoo can part them again.

Odoo prints many records in one go and then cuts the file at its outline: it wants one entry at the top level for each
record, whose destination is a name, which in turn leads to the number of the page (that is how wkhtmltopdf writes it).
"""

import io

from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    NameObject,
    NullObject,
    NumberObject,
    TextStringObject,
)


def merge(files):
    """Return one PDF file with all pages, and an outline entry at the first page of each file.

    :param list files: PDF files as bytes, one or more
    :rtype: bytes
    """
    writer, first_pages, count = PdfWriter(), [], 0
    for content in files:
        reader = PdfReader(io.BytesIO(content))
        first_pages.append(count)
        count += len(reader.pages)
        for page in reader.pages:
            writer.add_page(page)
    _add_outline(writer, first_pages)
    output = io.BytesIO()
    writer.write(output)
    return output.getvalue()


def _add_outline(writer, first_pages):
    """Write one entry at the top level for each first page, with a named destination."""
    names = [NameObject(f"/document_{number}") for number in range(len(first_pages))]
    outline = DictionaryObject({NameObject("/Type"): NameObject("/Outlines")})
    outline_ref = writer._add_object(outline)
    items = [
        DictionaryObject(
            {
                NameObject("/Title"): TextStringObject(str(number + 1)),
                NameObject("/Parent"): outline_ref,
                NameObject("/Dest"): name,
            }
        )
        for number, name in enumerate(names)
    ]
    refs = [writer._add_object(item) for item in items]
    for item, before, after in zip(items, [None, *refs[:-1]], [*refs[1:], None], strict=True):
        if before:
            item[NameObject("/Prev")] = before
        if after:
            item[NameObject("/Next")] = after
    outline.update(
        {
            NameObject("/First"): refs[0],
            NameObject("/Last"): refs[-1],
            NameObject("/Count"): NumberObject(len(refs)),
        }
    )
    fit = [NameObject("/XYZ"), NullObject(), NullObject(), NullObject()]
    writer.root_object[NameObject("/Outlines")] = outline_ref
    writer.root_object[NameObject("/Dests")] = DictionaryObject(
        {name: ArrayObject([NumberObject(page), *fit]) for name, page in zip(names, first_pages, strict=True)}
    )
