#!/usr/bin/env bash
# The public part of an ed25519 key in PEM as Restate writes it, `publickeyv1_…`: what `classify serve --identity-key` takes. The same
# as the node logs when it starts. Needs openssl and Python.
set -euo pipefail
openssl pkey -in "${1:?which PEM file?}" -pubout -outform DER | python3 -c '
import sys
key = sys.stdin.buffer.read()[-32:]
assert len(key) == 32, "no ed25519 key"
digits, number, text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(key, "big"), ""
while number:
    number, digit = divmod(number, 58)
    text = digits[digit] + text
print("publickeyv1_" + "1" * (32 - len(key.lstrip(b"\0"))) + text)'
