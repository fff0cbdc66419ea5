"""Documents of files and pages, and their parts."""

import pytest
from aiohttp import ClientResponseError, web
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from duragraph_worker.vectors.documents import load, split
from duragraph_worker.vectors.store import Document, DocumentError

PAGE = """<html><head><title> Tea </title><style>p {}</style></head>
<body><h1>Green tea</h1><p>Brew it at <b>80</b> degrees.</p><script>track()</script></body>
</html>"""


def pdf(*pages):
    """A PDF with a text on each page."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(200, 200)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    return writer


async def test_a_file_is_a_document(tmp_path):
    path = tmp_path / "tea.txt"
    path.write_text("\ufeffBrew it.\0")
    (tea,) = await load(path)
    assert tea.text == "Brew it."
    assert tea.metadata == {"source": str(path), "format": "text"}
    assert await load(path) == [tea]


async def test_html_becomes_markdown(tmp_path):
    (tmp_path / "tea.html").write_text(PAGE)
    (tea,) = await load(tmp_path / "tea.html")
    assert tea.text.split("\n\n")[0] == "# Green tea"
    assert "Brew it at **80** degrees." in tea.text
    assert "track" not in tea.text
    assert (tea.metadata["title"], tea.metadata["format"]) == ("Tea", "markdown")


async def test_a_pdf_is_a_document_a_page(tmp_path):
    pdf("Green tea", "", "Black tea").write(tmp_path / "tea.pdf")
    found = await load(tmp_path / "tea.pdf")
    assert [(each.text, each.metadata["page"]) for each in found] == [
        ("Green tea", 1),
        ("Black tea", 3),
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.csv",
            'name,note\r\nUlm,"old, big"\r\nBonn,\r\n',
            ["name: Ulm\nnote: old, big", "name: Bonn"],
        ),
        ("a.json", '["one", {"two": 2}]', ["one", '{"two":2}']),
        ("a.json", '{"two": [2]}', ['{"two":[2]}']),
        ("a.jsonl", '"one"\n{"two": 2}\n', ["one", '{"two":2}']),
    ],
)
async def test_tables_and_lists_are_a_document_an_item(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, newline="")
    assert [each.text for each in await load(tmp_path / name)] == expected


async def test_a_folder_is_read_in_order_and_depth(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.md").write_text("# B")
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert [each.text for each in await load(tmp_path)] == ["A", "# B"]
    assert [each.text for each in await load(tmp_path, pattern="**/*.md")] == ["# B"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pdf", b"no pdf"),
        ("a.txt", b"\xff\xfe\x00"),
        ("a.json", b"{"),
        ("a.bin", b"\x80"),
        ("deep.json", b"[" * 100_000),
        ("deep.html", b"<div>" * 20_000),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_what_can_not_be_read_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DocumentError, match=name):
        await load(tmp_path / name)


async def test_pages_are_fetched(aiohttp_server):
    app = web.Application()

    async def tea(request):
        return web.Response(text=PAGE, content_type="text/html")

    app.router.add_get("/tea", tea)
    server = await aiohttp_server(app)
    url = str(server.make_url("/tea"))
    (found,) = await load(url)
    assert (found.metadata["source"], found.metadata["title"]) == (url, "Tea")
    with pytest.raises(ClientResponseError):
        await load(str(server.make_url("/coffee")))


def test_parts_end_where_sections_do():
    text = "# One\n\n" + "Some words. " * 10 + "\n\n# Two\n\n" + "Others. " * 10
    parts = split(Document(text, metadata={"format": "markdown"}, id="d"), size=150, overlap=0)
    assert [part.text[:5] for part in parts] == ["# One", "# Two"]
    assert [(part.id, part.metadata["part"]) for part in parts] == [("d#0", 0), ("d#1", 1)]


def test_parts_overlap_and_are_no_longer_than_asked():
    text = " ".join(str(number) for number in range(200))
    parts = [part.text for part in split(Document(text), size=60, overlap=20)]
    assert max(map(len, parts)) <= 60
    first, second = parts[0].split(), parts[1].split()
    assert second[0] in first
    assert {word for part in parts for word in part.split()} == set(text.split())


def test_length_may_be_counted_otherwise():
    parts = split(
        [Document("one two three four five")], size=2, overlap=0, length=lambda t: len(t.split())
    )
    assert [part.text for part in parts] == ["one two", "three four", "five"]
