"""The interactive page at /docs: Swagger UI from files of this package, under a policy that lets in no others."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

STATIC: Final = Path(__file__).parent / "static"
#: Everything that is served; the folders hold licences and checksums besides.
FILES: Final = {
    "index.html": (STATIC / "docs", "text/html; charset=utf-8"),
    "initialise.js": (STATIC / "docs", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (STATIC / "swagger-ui", "text/css; charset=utf-8"),
    "swagger-ui-bundle.js": (STATIC / "swagger-ui", "text/javascript; charset=utf-8"),
    "favicon-32x32.png": (STATIC / "swagger-ui", "image/png"),
}
#: Swagger UI draws its icons from data: images and sets styles on elements; scripts and connections stay here.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; font-src 'self'; img-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Asset(NamedTuple):
    content: bytes
    content_type: str
    etag: str


@lru_cache(maxsize=len(FILES))
def asset(name: str) -> Asset:
    """Raises KeyError for anything but the named files, so no path reaches the file system."""
    folder, content_type = FILES[name]
    content = (folder / name).read_bytes()
    return Asset(content, content_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
