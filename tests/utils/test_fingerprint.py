"""The version of the code."""

from catran_causalbench.utils.fingerprint import code_version


def test_the_version_of_the_code_changes_with_the_code(tmp_path, monkeypatch):
    versions = set()
    (tmp_path / "utils").mkdir()
    monkeypatch.setattr("catran_causalbench.utils.fingerprint.__file__", str(tmp_path / "utils" / "fingerprint.py"))
    for content in ("a = 1", "a = 1", "a = 2"):
        (tmp_path / "module.py").write_text(content)
        versions.add(code_version.__wrapped__())
    assert len(versions) == 2
