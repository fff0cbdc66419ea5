"""`docs/models.md` says what the tests show."""

from tests.providers import matrix
from tests.providers.vendors import VENDORS


def test_the_table_is_that_of_the_tests():
    _, _, rest = matrix.DOCS.read_text().partition(matrix.BEGIN)
    written = [line for line in rest.partition(matrix.END)[0].splitlines() if line]
    head, _, *lines = written
    assert lines == [line for line in matrix.rows() if line], "python -m tests.providers.matrix"
    # Which versions they were is told as of when it was written.
    assert [cell.split()[0] for cell in head.strip("| ").split(" | ")] == list(VENDORS)


def test_every_note_is_on_a_case():
    assert {name for _, name in matrix.NOTES} <= matrix.cases().keys()
