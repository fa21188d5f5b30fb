from odoo.tests import tagged

from .common_approval import PNG, ApprovalHttpCommon

MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40


@tagged("post_install", "-at_install")
class TestProofRoutes(ApprovalHttpCommon):
    """Files: parts of them, and files that pretend to be something else."""

    def open_files(self, *proof):
        approval = self.create_submitted(proof=proof)
        self.enter(approval)
        by_name = {item["name"]: item["file_uuid"] for item in approval._get_snapshot()["files"]}
        return {name: f"/my/milestones/{approval.uuid}/file/{key}" for name, key in by_name.items()}

    def test_parts_of_a_video(self):
        url = self.open_files(("walk.mp4", MP4))["walk.mp4"]
        size = len(MP4)
        cases = {
            "bytes=0-": (206, MP4),
            "bytes=0-0": (206, MP4[:1]),
            "bytes=10-19": (206, MP4[10:20]),
            f"bytes=10-{size + 99}": (206, MP4[10:]),
            "bytes=-5": (206, MP4[-5:]),
            f"bytes={size}-": (416, None),
            f"bytes={size + 5}-{size + 9}": (416, None),
            "bytes=9-3": (200, MP4),
            "bytes=a-b": (200, MP4),
            "items=0-5": (200, MP4),
            "bytes=0-1,5-6": (416, None),
            "bytes=": (200, MP4),
            "é": (200, MP4),
        }
        for asked, (status, content) in cases.items():
            with self.subTest(asked):
                response = self.url_open(url, headers={"Range": asked.encode()})
                self.assertLess(response.status_code, 500)
                if content is None:
                    self.assertIn(response.status_code, (200, 206, 416))
                    self.assertIn(
                        response.content, (b"", MP4) if response.status_code != 416 else (response.content,)
                    )
                else:
                    self.assertIn(response.status_code, {status, 416 if status == 200 else status})
                    if response.status_code != 416:
                        self.assertEqual(response.content, content)
                self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")

    def test_unchanged_file_is_not_sent_again(self):
        url = self.open_files(("walk.mp4", MP4))["walk.mp4"]
        first = self.url_open(url)
        self.assertEqual(first.headers["Accept-Ranges"], "bytes")
        again = self.url_open(url, headers={"If-None-Match": first.headers["ETag"]})
        self.assertEqual((again.status_code, again.content), (304, b""))
        part = self.url_open(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
        self.assertEqual((part.status_code, part.content), (200, MP4))

    def test_what_pretends_to_be_something_else_is_a_download(self):
        html, svg = b"<html><script>alert(1)</script></html>", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
        harmless = "application/octet-stream"
        cases = {
            "page.png": (html, harmless),
            "page.mp4": (b"\xef\xbb\xbf" + html, harmless),
            "drawing.svg": (svg, harmless),
            "drawing.jpg": (b"<?xml version='1.0'?>" + svg, harmless),
            "program.pdf": (b"MZ\x90\x00", harmless),
            "empty.png": (b"", harmless),
            "photo.exe": (PNG, "image/png"),
            "both.html": (b"GIF89a/*" + html, "image/gif"),
            "letter.txt": (b"%PDF-1.4\n", "application/pdf"),
        }
        urls = self.open_files(*((name, raw) for name, (raw, _type) in cases.items()))
        for name, (raw, mimetype) in cases.items():
            with self.subTest(name):
                response = self.url_open(urls[name])
                self.assertEqual((response.status_code, response.content), (200, raw))
                self.assertEqual(response.headers["Content-Type"].split(";")[0], mimetype)
                self.assertEqual(response.headers["X-Content-Type-Options"], "nosniff")
                self.assertIn("default-src 'none'", response.headers["Content-Security-Policy"])
                if mimetype == harmless:
                    self.assertIn("attachment", response.headers["Content-Disposition"])

    def test_names_of_files_break_out_of_nothing(self):
        names = [
            'a"; filename="b.exe',
            "a\r\nSet-Cookie: x=1",
            "../../etc/passwd",
            "été €.png",
            "<img src=x>",
            "\u202egnp.exe",
        ]
        urls = self.open_files(*((name, PNG) for name in names))
        for name, url in urls.items():
            with self.subTest(name):
                response = self.url_open(url, params={"download": "1"})
                self.assertEqual((response.status_code, response.content), (200, PNG))
                self.assertNotIn("Set-Cookie", response.headers)
                self.assertTrue(response.headers["Content-Disposition"].startswith("attachment"))
        page = self.url_open(url.partition("/file/")[0])
        self.assertNotIn("<img src=x>", page.text)
