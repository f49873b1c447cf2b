"""A file behind an https:// address, fetched whole, checked by its sha256 and kept under its address."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from msgspec import structs

from fermion.core.errors import DataError, SpecError, Told
from fermion.data.addresses import public, scrubbed
from fermion.data.reading import Reading, digest_of, unpack

LOCAL = ("localhost", "127.0.0.1", "::1")
SECONDS = 60.0  # without a byte


def download(at: str, reading: Reading) -> tuple[Path, Reading]:
    """The file, and the reading for it. One that is pinned by `sha256` and already here is not fetched again.

    Raises:
        SpecError: plain http:// to another machine.
        DataError: it cannot be fetched whole, is larger than the disk has room for, or has another sha256.
    """
    _refuse_plain(at, reading.where)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(PurePosixPath(urlsplit(at).path).name))[-80:] or "file"
    target = reading.room() / f"web-{digest_of(at)}-{name}"
    shown, pinned = public(at), reading.source.sha256
    if not (pinned and target.is_file() and sha256_of(target) == pinned):
        _fetch(at, target, shown)
    digest = sha256_of(target)
    if pinned and digest != pinned:
        target.unlink()
        raise wrong_digest(pinned, digest, shown)
    if not pinned:
        reading.tell(f"{shown} is not pinned: it may change unnoticed. Add to the source: sha256: {digest}")
    source = structs.replace(reading.source, sha256=None)
    return target, structs.replace(reading, source=source, known_as=(target, shown))


def tag_of(at: str) -> tuple[int, str]:
    """Size and version (ETag, else the time of change) that the server tells without sending the file.

    Raises:
        OSError: it does not answer.
    """
    request = urllib.request.Request(at, method="HEAD", headers={"User-Agent": "fermion"})
    with _opener().open(request, timeout=10) as answer:
        return int(answer.headers.get("Content-Length") or 0), answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""


def sha256_of(path: Path) -> str:
    """The sha256 of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def wrong_digest(pinned: str, digest: str, where: str) -> DataError:
    """The error for a file that is not the one that was pinned."""
    return DataError(
        "a file",
        rule=f"of the sha256 that its source names, {pinned[:12]}...",
        given=Told(digest),
        remedy="It was changed or damaged: find out which, then correct data.source.sha256.",
        where=where,
    )


def _fetch(at: str, target: Path, shown: str) -> None:
    try:
        with _opener().open(urllib.request.Request(at, headers={"User-Agent": "fermion"}), timeout=SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            unpack(answer, target, limit=int(length) if length else None, name=shown)
            if length and target.stat().st_size != int(length):
                came = target.stat().st_size
                target.unlink()
                raise OSError(f"{came:,} of {int(length):,} bytes came")
    except (OSError, http.client.HTTPException) as failed:
        why = f"{failed.code} {failed.reason}" if isinstance(failed, urllib.error.HTTPError) else str(failed) or type(failed).__name__
        raise DataError(
            "data.source",
            rule="an address whose file can be fetched whole",
            given=Told(f"{shown}: {scrubbed(why, at)}"),
            remedy="Check the address and the connection; a file that is fetched by hand works too.",
        ) from None


def _refuse_plain(at: str, where: str) -> None:
    parts = urlsplit(at)
    if parts.scheme == "http" and parts.hostname not in LOCAL:
        raise SpecError(
            "data.source",
            rule="an https:// address (http:// only to this machine)",
            given=public(at),
            remedy="Write https://, or fetch the file yourself.",
            where=where,
        )


class _Careful(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl, "")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> Any:
    return urllib.request.build_opener(_Careful)
