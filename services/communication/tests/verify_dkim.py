#!/usr/bin/env python3
"""Checks the signatures of mails with dkimpy, a verifier that is not ours: tests/verify_dkim.py FOLDER.

FIREWATCH_DKIM=FOLDER cargo test -p communication signature writes the folder. Needs: pip install dkimpy==1.1.8 pynacl==1.6.2
"""

import pathlib
import sys

import dkim

folder = pathlib.Path(sys.argv[1])
mails = sorted(folder.glob("*.eml"))
if not mails:
    sys.exit(f"{folder} holds no mails")
for mail in mails:
    record = (folder / f"{mail.stem.split('-')[0]}.txt").read_bytes()
    text = mail.read_bytes()
    if not dkim.verify(text, dnsfunc=lambda name, timeout=5: record):
        sys.exit(f"{mail.name}: the signature is not valid")
    if dkim.verify(text.replace(b"Subject: ", b"Subject: x", 1), dnsfunc=lambda name, timeout=5: record):
        sys.exit(f"{mail.name}: a changed mail passes")
    print(f"{mail.name}: valid")
