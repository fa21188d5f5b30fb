"""QR codes as inline SVG, by the ``qrcode`` library: nothing leaves the page, no address in a log."""

import qrcode
import qrcode.image.svg

#: Quiet zone around a code in modules, as the standard asks.
_BORDER = 4


def svg(text: str, label: str) -> str:
    """Return a black on white SVG that scales with its container.

    Browsers that darken pages by themselves are told to leave it: black on black is read by no camera.

    :param str label: what the code holds, for people who do not see it; escaped by the XML writer.
    """
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, border=_BORDER)
    code.add_data(text)
    code.make(fit=True)
    image = code.make_image(image_factory=qrcode.image.svg.SvgPathFillImage)
    root = image.get_image()
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", "color-scheme:only light;background:#fff;width:100%;height:auto;display:block")
    return image.to_string(encoding="unicode")
