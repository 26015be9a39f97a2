#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""names.py SOURCE-ROOT: public functions are named filch_noun_verb and documented.

The comment before each says what it does, what it returns unless it is void, and its Context. Names that end in `_` are private: they
need none."""

import re
from sources import functions, main, sources


def check(root, complain):
    for source in sources(root, 'include', '*.h'):
        for line, name, declaration, doc in functions(source):
            if not re.fullmatch(r'filch_[a-z0-9_]+', name):
                complain(source, line, f'{name}: a public function is called filch_...')
            if name.endswith('_'):
                continue
            if not doc:
                complain(source, line, f'{name}: no /** comment */ directly before it')
                continue
            if 'Context:' not in doc:
                complain(source, line, f'{name}: its comment has no "Context:"')
            returns_code = re.search(r'\b(int|ssize_t)\s+\w+\s*\(', declaration)
            if returns_code and '@return' not in doc:
                complain(source, line, f'{name}: it returns a code, and its comment has no @return')


main(check)
