"""The documentation page: vendored files are the ones we took, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import re

import pytest

from contacts_api import docs

VENDORED = docs.STATIC / "swagger-ui"


def test_vendored_files_are_the_ones_that_were_taken() -> None:
    lines = (VENDORED / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split() for line in lines)}
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in VENDORED.iterdir()}
    del found["SHA256SUMS"]
    assert found == listed
    assert "LICENSE" in found


@pytest.mark.parametrize("name", ["index.html", "initialise.js"])
def test_our_page_loads_only_files_of_this_service(name: str) -> None:
    content = docs.asset(name).content.decode()
    assert not re.search(r"https?:|//[a-z]", re.sub(r"//\s.*", "", content))
    assert "<script>" not in content
    for path in re.findall(r'"/docs/([^"]+)"', content):
        assert docs.asset(path).content


def test_only_the_named_files_are_served() -> None:
    for name in ("SHA256SUMS", "LICENSE", "../docs.py", "", "index.html/"):
        with pytest.raises(KeyError):
            docs.asset(name)


def test_the_policy_lets_in_no_other_origin() -> None:
    sources = set(docs.CONTENT_SECURITY_POLICY.replace(";", " ").split())
    assert not {source for source in sources if "*" in source or "//" in source}
    assert "script-src 'self';" in docs.CONTENT_SECURITY_POLICY
