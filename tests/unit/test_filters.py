"""What a filter may say, and what it is told where it says something else."""

import pytest

from duragraph_worker.vectors.filters import (
    ALL,
    NOTHING,
    Among,
    Compare,
    Every,
    FilterError,
    Some,
    parse,
)


@pytest.mark.parametrize(
    ("where", "parsed"),
    [
        (None, ALL),
        ({}, ALL),
        ({"a": 1}, Compare("a", "$eq", 1)),
        ({"a": {"$in": [1]}, "$and": [{}]}, Among("a", (1,))),
        ({"a": {"$in": []}}, NOTHING),
        ({"a": {"$nin": []}}, ALL),
        ({"a": {"$in": []}, "b": 1}, NOTHING),
        ({"$or": [{"a": {"$in": []}}, {"b": 1}]}, Compare("b", "$eq", 1)),
        ({"$or": [{}, {"b": 1}]}, ALL),
        (
            {"$and": [{"a": 1, "b": 2}, {"c": 3}]},
            Every((Compare("a", "$eq", 1), Compare("b", "$eq", 2), Compare("c", "$eq", 3))),
        ),
        ({"a": {"$in": ["x", 1]}}, Some((Among("a", ("x",)), Among("a", (1,))))),
    ],
)
def test_what_decides_nothing_is_left_out(where, parsed):
    assert parse(where) == parsed


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("lang", "a filter is a dict"),
        ({"$nor": [{}]}, r"\$nor is no operator; known: \$eq, \$ne"),
        ({"a": {"$regex": "x"}}, r"'\$regex' of 'a' is no operator"),
        ({"a": {}}, "the filter of 'a' is empty"),
        ({"a": None}, "the filter of 'a': None is neither a text, a number nor a boolean"),
        ({"a": ["x"]}, "the filter of 'a'"),
        ({"a": {"$in": "xy"}}, r"\$in of 'a' takes a list"),
        ({"a": {"$in": [None]}}, "the filter of 'a'"),
        ({"a": {"$gt": "x"}}, r"\$gt of 'a' takes a number, not 'x'"),
        ({"a": {"$lt": True}}, r"\$lt of 'a' takes a number"),
        ({"$or": []}, r"\$or takes a list of filters, at least one"),
        ({"$and": {"a": 1}}, r"\$and takes a list"),
        ({"$and": ["a"]}, "a filter is a dict"),
    ],
)
def test_what_can_not_be_read_is_told(where, told):
    with pytest.raises(FilterError, match=told):
        parse(where)
