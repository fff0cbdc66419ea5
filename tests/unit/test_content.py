import pytest

from duragraph_worker import AIMessageChunk, HumanMessage
from duragraph_worker.llm import content
from duragraph_worker.llm.content import Image, Reasoning


@pytest.mark.parametrize(
    ("block", "image"),
    [
        (
            {"type": "image", "base64": "aa", "mime_type": "image/png"},
            Image(None, "aa", "image/png"),
        ),
        (
            {"type": "image", "source_type": "base64", "data": "aa", "mime_type": "image/png"},
            Image(None, "aa", "image/png"),
        ),
        (
            {"type": "image_url", "image_url": "data:image/gif;base64,aa"},
            Image(None, "aa", "image/gif"),
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://a.example"}},
            Image("http://a.example"),
        ),
        ({"type": "image", "url": "http://a.example"}, Image("http://a.example")),
        (
            {"type": "image", "source": {"type": "url", "url": "http://a.example"}},
            Image("http://a.example"),
        ),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, None),
        ({"type": "text", "text": "image"}, None),
    ],
)
def test_images_are_read_in_every_dialect(block, image):
    assert content.image(block) == image


def test_an_image_without_its_type_says_what_is_missing():
    with pytest.raises(ValueError, match="mime_type"):
        content.image({"type": "image", "base64": "aa"})


def test_reasoning_is_read_in_both_dialects():
    ours = {"type": "reasoning", "reasoning": "Hm.", "extras": {"signature": "s"}}
    theirs = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    assert content.reasoning(ours) == content.reasoning(theirs) == Reasoning("Hm.", "s")
    assert content.reasoning({"type": "text", "text": "Hm."}) is None


def test_empty_texts_are_left_out():
    message = HumanMessage(["", "a", {"type": "text", "text": ""}])
    assert list(content.blocks(message)) == [{"type": "text", "text": "a"}]


def test_pieces_of_blocks_add_up_by_their_index():
    def piece(**block):
        return AIMessageChunk([block])

    whole = sum(
        [
            piece(type="reasoning", reasoning="H", index=0),
            piece(type="reasoning", reasoning="m.", index=0),
            piece(type="reasoning", reasoning="", index=0, extras={"signature": "s"}),
            AIMessageChunk("Hel"),
            AIMessageChunk("lo"),
            piece(type="text", citations=[1]),
            piece(type="text", citations=[2]),
            piece(type="text", text="!", index=2),
        ],
        start=AIMessageChunk(),
    )
    assert whole.message().content == [
        {"type": "reasoning", "reasoning": "Hm.", "index": 0, "extras": {"signature": "s"}},
        {"type": "text", "text": "Hello", "citations": [1, 2]},
        {"type": "text", "text": "!", "index": 2},
    ]


def test_what_is_said_beside_the_content_adds_up():
    whole = AIMessageChunk(additional_kwargs={"refusal": "I ", "citations": [1]}) + AIMessageChunk(
        additional_kwargs={"refusal": "can't.", "citations": [2]}
    )
    assert whole.additional_kwargs == {"refusal": "I can't.", "citations": [1, 2]}
