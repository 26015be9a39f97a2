#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""parks.py SOURCE-ROOT: FILCH_PARKS and the words agree.

A public function that may park the calling task carries FILCH_PARKS, and the Context line of its comment says "parks"; any other says
"never parks" or that it blocks the thread."""

import re
from sources import functions, main, sources


def check(root, complain):
    for source in sources(root, 'include', '*.h'):
        for line, name, declaration, doc in functions(source):
            context = re.search(r'Context:(.*)', doc, re.S)
            if not context:
                continue  # names.py says so
            marked = 'FILCH_PARKS' in declaration
            says = bool(re.search(r'(?<!never )\bparks\b', re.sub(r'\s*\n\s*\*\s*', ' ', context[1])))
            if says and not marked:
                complain(source, line, f'{name}: its Context says "parks", FILCH_PARKS is missing')
            if marked and not says:
                complain(source, line, f'{name}: FILCH_PARKS, but its Context does not say "parks"')


main(check)
