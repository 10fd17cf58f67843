"""Matrix Market: what scipy writes is read, and what is damaged is refused with the reason."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

from dsae.data import open_rows, read_rows

SQUARE = np.array([[0, 2, 0], [2, -1, 0], [0, 0, 4]])
SKEW = np.array([[0, 2, 0], [-2, 0, 1], [0, -1, 0]])
MATRICES = {
    "real": (sp.coo_matrix(np.array([[0, 1.5], [0, 0], [-2.25, 0]])), {}),
    "integer": (sp.coo_matrix(np.array([[0, 1], [0, 0], [-2, 7]])), {}),
    "pattern": (sp.coo_matrix(np.array([[0, 1], [0, 0], [1, 1]])), {"field": "pattern"}),
    "array": (np.array([[0, 1.5], [0, 3], [-2.25, 0]]), {}),
    "symmetric": (sp.coo_matrix(SQUARE), {"symmetry": "symmetric"}),
    "skew-symmetric": (sp.coo_matrix(SKEW), {"symmetry": "skew-symmetric"}),
    "empty": (sp.coo_matrix((4, 3)), {}),
}
HEAD = "%%MatrixMarket matrix coordinate real general\n"
DAMAGED = {
    "another file": ("hello\n", "it does not begin with %%MatrixMarket matrix"),
    "complex": (HEAD.replace("real", "complex"), "coordinate complex general is not read; a general matrix of real"),
    "hermitian": (HEAD.replace("general", "hermitian"), "coordinate real hermitian is not read"),
    "no sizes": (HEAD, "its sizes read ''"),
    "sizes of an array": (HEAD + "3 2\n1 1 1\n", "its sizes read '3 2'"),
    "more than there is": (HEAD + "3 2 10000000\n1 1 1\n", r"it promises 3 2 10000000 in \d+ bytes"),
    "rows without end": (HEAD + "99999999999 2 1\n1 1 1\n", "it promises 99999999999 2 1 in"),
    "too few": (HEAD + "3 2 2\n1 1 1\n", "it promises 2 entries and has 1"),
    "too many": (HEAD + "3 2 1\n1 1 1\n2 2 1\n", "lines of 3 numbers, 2 or more of 1"),
    "short lines": (HEAD + "3 2 1\n1 1\n", "lines of 2 numbers, 1 or more of 1"),
    "outside": (HEAD + "3 2 1\n1 3 1\n", "entries outside of the matrix"),
    "counted from 0": (HEAD + "3 2 1\n0 1 1\n", "entries outside of the matrix"),
    "between rows": (HEAD + "3 2 1\n1.5 1 1\n", "entries outside of the matrix"),
    "nowhere": (HEAD + "3 2 1\nnan 1 1\n", "entries that are nowhere"),
    "no numbers": (HEAD + "3 2 1\n1 1 x\n", "could not convert"),
}


@pytest.mark.parametrize("kind", MATRICES)
def test_what_scipy_writes_is_read(tmp_path, kind):
    matrix, how = MATRICES[kind]
    scipy.io.mmwrite(tmp_path / "x.mtx", matrix, **how)
    rows, names = read_rows(tmp_path / "x.mtx")
    assert sp.issparse(rows) == sp.issparse(matrix)
    wanted = scipy.io.mmread(tmp_path / "x.mtx")
    np.testing.assert_array_equal(*(m.toarray() if sp.issparse(m) else m for m in (rows, wanted)))
    assert names is None


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_refused_with_the_reason(tmp_path, what):
    content, reason = DAMAGED[what]
    (tmp_path / "x.mtx").write_text(content)
    with pytest.raises(ValueError, match=rf"^\[read\] .*x\.mtx must be a whole Matrix Market file; .*{reason}"):
        open_rows(tmp_path / "x.mtx")
