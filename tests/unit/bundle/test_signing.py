from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fermion.bundle import bundle as bundles
from fermion.bundle import signing
from fermion.bundle.bundle import Bundle
from fermion.bundle.verify import verify
from fermion.core.errors import MissingExtra
from fermion.core.store import Folder
from fermion.testing.bundles import failed

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def key() -> bytes:
    return signing.new_key()


@pytest.fixture
def signed(bundle: Bundle, key: bytes) -> Bundle:
    signing.sign(bundle, key)
    return bundles.open(bundle.path)


def checked(bundle: Bundle, **more: Any) -> str:
    signature = bundle.signature()
    assert signature is not None
    return signing.check(bundle.manifest_bytes(), signature, **more)


def test_a_signed_bundle_is_the_same_bundle(bundle: Bundle, signed: Bundle) -> None:
    assert signed.id == bundle.id
    name = checked(signed)
    assert checked(signed, expected=base64.b64decode(name)) == name
    assert verify(signed.path)[-1].detail == f"signed by {name}"
    assert failed(verify(signed.path)) == []


def test_an_unsigned_bundle_says_so(bundle: Bundle) -> None:
    assert bundle.signature() is None
    assert verify(bundle.path)[-1].detail == "not signed"


def test_the_signature_travels(signed: Bundle, tmp_path: Path) -> None:
    zipped = bundles.open(signed.save_zip(tmp_path / "signed.zip"))
    store = Folder(tmp_path / "store")
    back = bundles.pull(store, zipped.push(store), tmp_path / "back")
    assert zipped.signature() == back.signature() == signed.signature()
    assert failed(verify(back.path)) == failed(verify(zipped.path)) == []


def test_another_key(told: Any, signed: Bundle) -> None:
    with told("the key that signed must be", "someone else signed it"):
        checked(signed, expected=bytes(32))


def test_an_altered_manifest(told: Any, signed: Bundle) -> None:
    signature = signed.signature()
    assert signature is not None
    with told("the signature must be made over this manifest, got another signature", "Do not use the bundle"):
        signing.check(signed.manifest_bytes().replace(b"handmade", b"handMade"), signature)
    manifest = signed.path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"handmade", b"handMade"))
    assert [check.name for check in failed(verify(signed.path))] == ["signature"]


@pytest.mark.parametrize("signature", [b"", b"{}", b"x" * 9000, b'{"key": "AAAA", "signature": "AAAA"}', b'{"key": "!", "signature": ""}'])
def test_no_signature(told: Any, bundle: Bundle, signature: bytes) -> None:
    (bundle.path / "signature").write_bytes(signature)
    with told("the signature must be an ed25519 key and signature"):
        checked(bundle)
    assert [check.name for check in failed(verify(bundle.path))] == ["signature"]


def test_a_signature_of_another_length(told: Any, signed: Bundle) -> None:
    raw: Any = msgspec.json.decode(signed.signature() or b"")
    with told("the signature must be made over this manifest"):
        signing.check(signed.manifest_bytes(), msgspec.json.encode(raw | {"signature": "AAAA"}))


def test_what_cannot_sign(told: Any, bundle: Bundle, key: bytes, tmp_path: Path) -> None:
    with told("the private key must be 32 bytes, got 5 bytes"):
        signing.sign(bundle, b"short")
    with told("the bundle to sign must be a folder"):
        signing.sign(bundles.open(bundle.save_zip(tmp_path / "bundle.zip")), key)


def test_without_cryptography(signed: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'fermion\[cloud\]'"):
        checked(signed)
    assert [check.name for check in failed(verify(signed.path))] == ["signature"]
