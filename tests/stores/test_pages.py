"""The pages on stores say what the tests show."""

import pytest

from tests.stores.matrix import MATRICES


@pytest.fixture(params=MATRICES)
def matrix(request):
    return MATRICES[request.param]


def test_the_table_is_that_of_the_tests(matrix):
    titles, line, against, clients, *rows = matrix.written()
    assert [titles, line, against] == matrix.head()
    assert rows == matrix.rows(), "python -m tests.stores.matrix"
    # Which versions they were is told as of when it was written.
    assert clients.count("|") == titles.count("|")


def test_every_note_is_on_a_case(matrix):
    assert {store for store, _ in matrix.notes} <= matrix.stores.keys()
    assert {name for _, name in matrix.notes} <= matrix.cases().keys()
