#!/usr/bin/env python3
"""Checks receipts of mistap offline with jwcrypto, which knows nothing of mistap.

    pip install jwcrypto
    curl -s http://127.0.0.1:7070/.well-known/jwks.json > jwks.json
    python3 receipt.py jwks.json < receipts.txt

Reads a receipt a line, and prints a line of JSON for each: what it says, or why it is refused.
Ends with 1 if any is refused. Keep the keys with the receipts: they are public, and old ones are
published for ever.
"""

import json
import pathlib
import sys

from jwcrypto.common import JWException
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS


def check(receipt, keys):
    """The claims of a receipt. Raises if it is none, or was changed."""
    token = JWS()
    token.allowed_algs = ["EdDSA"]
    token.deserialize(receipt)
    key = keys.get_key(token.jose_header.get("kid"))
    if key is None:
        raise ValueError("signed with a key that is not in the set")
    token.verify(key)
    return json.loads(token.payload)


def main():
    """Checks what comes on standard input against the keys in a file."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} JWKS < RECEIPTS")
    keys = JWKSet.from_json(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    are_refused = False
    for line in sys.stdin:
        try:
            said = {"claims": check(line.strip(), keys)}
        except (JWException, ValueError) as error:
            said = {"refused": str(error) or type(error).__name__}
            are_refused = True
        print(json.dumps(said))
    sys.exit(are_refused)


if __name__ == "__main__":
    main()
