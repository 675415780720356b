"""What looks like a secret, by its name or by what it holds: it is in no snapshot and in no image."""

from __future__ import annotations

import re
from pathlib import Path

NAMES = frozenset({
    ".env", ".netrc", ".pgpass", ".pypirc", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
})  # fmt: skip
FOLDERS = frozenset({".aws", ".ssh"})
ENV = ".env."
SAMPLES = (".example", ".sample", ".template", ".dist")
"""Ends of what is made to be copied and filled in, and so holds no secret yet."""
KEYS = (".pem", ".key", ".p12", ".pfx")
JSON = ".json"
LARGEST = 1024 * 1024
"""Bytes; no key is larger, so what is larger is not read."""
PRIVATE_PEM = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
PRIVATE_DER = re.compile(
    rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...)"  # a sequence, of any length
    rb"(?:\x02\x01[\x00\x01](?:\x30|\x02|\x04)"  # a version, as PKCS#8, PKCS#1 and SEC 1 have it
    rb"|\x30.{1,3}?\x06.\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05|\x0c\x01))",  # or an encryption with a password
    re.DOTALL,
)
KEY_BAG = re.compile(rb"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x0a\x01[\x01\x02]")
"""The identifier of a private key, plain or shrouded, among the things that a PKCS#12 file holds."""
CREDENTIAL = re.compile(rb'"(?:private_key|refresh_token)"\s*:\s*"[^"]')


def is_named(name: str, *, directory: bool) -> bool:
    """Return whether a file or directory of this name looks like a secret, whatever it holds."""
    plain = name.lower()
    if directory and plain in FOLDERS:
        return True
    return plain in NAMES or (plain.startswith(ENV) and not plain.endswith(SAMPLES))


def is_held(path: str, size: int) -> bool:
    """
    Return whether a file holds a secret: a private key or a credential, by the end of its name; OSError.

    One that may not be read by us holds one.
    """
    plain = path.lower()
    if not plain.endswith((*KEYS, JSON)) or not 0 < size <= LARGEST:
        return False
    try:
        data = Path(path).read_bytes()
    except PermissionError:
        return True
    # text as some editors and shells write it, two bytes a character, reads like any other without the zeros
    text = data.replace(b"\0", b"")
    if plain.endswith(JSON):
        return bool(CREDENTIAL.search(text))
    return bool(PRIVATE_PEM.search(text) or PRIVATE_DER.match(data) or KEY_BAG.search(data))


def leads_to(goal: str, shown: str) -> bool:
    """Return whether what a link leads to looks like a secret; `shown` is the goal as far as its names count."""
    *folders, name = shown.split("/")
    place = Path(goal)
    if any(folder.lower() in FOLDERS for folder in folders) or is_named(name, directory=place.is_dir()):
        return True
    try:
        return place.is_file() and is_held(goal, place.stat().st_size)
    except OSError:  # whoever reads it will be told
        return False
