"""What `dev --reload` watches."""

import asyncio

from duragraph import reload
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


async def test_a_directory_that_goes_before_it_is_watched_is_no_end(tmp_path, monkeypatch):
    looks = iter([[tmp_path / "gone"]])
    monkeypatch.setattr(reload, "directories", lambda *_: next(looks, [tmp_path]))
    edited = asyncio.Event()
    watching = asyncio.create_task(reload.watch([f"{tmp_path}/graphs.py:A"], edited))
    async with asyncio.timeout(20):
        while not edited.is_set():
            (tmp_path / "graphs.py").touch()
            await asyncio.wait([watching], timeout=0.05)
            assert not watching.done()
    watching.cancel()
