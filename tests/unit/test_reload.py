"""What `dev --reload` watches."""

from duragraph.reload import directories


def test_code_is_watched_and_nothing_else(tmp_path, monkeypatch):
    for file in (
        "graphs.py",
        "tools/search.py",
        "tools/deep/more.py",
        "data/postgres/base/1",
        ".duragraph/postgres/x.py",
        "env/pyvenv.cfg",
        "env/lib/x.py",
        "node_modules/x/x.py",
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    code = {tmp_path, tmp_path / "tools", tmp_path / "tools/deep"}
    assert set(directories([f"{tmp_path}/graphs.py:A", f"{tmp_path}/tools/search.py:B"])) == code
    assert set(directories([f"{tmp_path}/tools/search.py:B"])) == code - {tmp_path}
    monkeypatch.chdir(tmp_path)
    assert set(directories(["graphs:A"])) == code
