"""The optional `signature` of a bundle: ed25519 over manifest.json (RFC 8032). Needs the extra `cloud` (cryptography)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fermion.bundle.bundle import Bundle
from fermion.bundle.manifest import SIGNATURE
from fermion.bundle.placing import replacing
from fermion.core import lazy
from fermion.core.errors import BundleError, Told


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public key and what it signed, base64. Who holds the key is yours to know: compare `key` with the one you expect."""

    key: bytes
    signature: bytes


def _ed25519() -> Any:
    return lazy.load("cryptography.hazmat.primitives.asymmetric.ed25519", extra="cloud")


def new_key() -> bytes:
    """A new private key, 32 random bytes. Keep it outside the repository."""
    return _ed25519().Ed25519PrivateKey.generate().private_bytes_raw()


def sign(bundle: Bundle, private: bytes) -> Path:
    """Write the signature beside the manifest of a bundle that is a folder.

    Args:
        private: 32 bytes, from `new_key`.

    Raises:
        BundleError: the bundle is a zip, or the key is none.
    """
    if not bundle.path.is_dir():
        raise BundleError("the bundle to sign", rule="a folder", given=str(bundle.path), remedy="Unpack it, sign it, zip it again.")
    try:
        key = _ed25519().Ed25519PrivateKey.from_private_bytes(private)
    except ValueError:
        given = Told(f"{len(private)} bytes")
        raise BundleError("the private key", rule="32 bytes", given=given, remedy="Make one with `new_key`.") from None
    signature = Signature(key=key.public_key().public_bytes_raw(), signature=key.sign(bundle.manifest_bytes()))
    target = bundle.path / SIGNATURE
    with replacing(target) as scratch:
        scratch.write_bytes(msgspec.json.encode(signature))
    return target


def check(manifest: bytes, signature: bytes, *, expected: bytes | None = None) -> str:
    """The base64 public key that signed this manifest.

    Raises:
        BundleError: the signature does not fit, or the key is not the expected one.
        MissingExtra: cryptography is not installed.
    """
    try:
        read = msgspec.json.decode(signature, type=Signature)
        public = _ed25519().Ed25519PublicKey.from_public_bytes(read.key)
    except (msgspec.DecodeError, ValueError) as bad:
        remedy = "Sign the bundle again, or remove the file `signature`."
        raise BundleError("the signature", rule="an ed25519 key and signature", given=Told(str(bad)), remedy=remedy) from None
    invalid = lazy.load("cryptography.exceptions", extra="cloud").InvalidSignature
    try:
        public.verify(read.signature, manifest)
    except invalid:
        remedy = "Do not use the bundle: it is not what was signed."
        raise BundleError("the signature", rule="made over this manifest", given=Told("another signature"), remedy=remedy) from None
    name = base64.b64encode(read.key).decode()
    if expected is not None and read.key != expected:
        rule = base64.b64encode(expected).decode()
        raise BundleError("the key that signed", rule=rule, given=Told(name), remedy="Do not use the bundle: someone else signed it.")
    return name
