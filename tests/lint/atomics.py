#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""atomics.py SOURCE-ROOT: every atomic operation of the runtime says what it is for.

  1. Memory orders, <stdatomic.h> functions and compiler builtins are written in base/atomic.h only. It has operations with the order in
     their name.
  2. Each such operation has a role in a comment, beside it (in the same statement) or directly before the statement:
         [edge] ...    one of the edges that the file's essay names
         own: ...      only the owner writes it
         hint: ...     a stale value is fine, and why
         counter       its order against other memory does not matter
         init: ...     nobody else can see it yet, or any more
  3. An edge has two ends: its name stands at two operations or more.
  4. A function named behind "pairs with" exists.

Public headers must do with the __atomic builtins, because C++ includes them; for the rest the same holds there.
The two halves of the asymmetric barrier, fl_barrier_light and fl_barrier_heavy, count as operations."""

import re
from collections import defaultdict
from sources import main, sources

FOREIGN = re.compile(r'\b(memory_order_\w+|atomic_(?:load|store|exchange|compare_exchange|fetch|thread_fence|signal_fence|init|flag)\w*'
                     r'|__atomic_\w+|__sync_\w+)')
OPERATION = re.compile(r'\b(?:(?:load|store|cas|cas_weak|exchange|add|sub|or|and|xor)_(?:relaxed|acquire|release|acq_rel|seq_cst)'
                       r'|fence_seq_cst'
                       r'|fl_barrier_light|fl_barrier_heavy)\s*\(')
BUILTIN = re.compile(r'\b__atomic_\w+\s*\(')
ROLE = re.compile(r'(?<![\w\])])\[([a-z][a-z0-9 _-]*)\]|\bown:|\bhint:|\bcounter\b|\binit:')
PAIRS = re.compile(r'pairs with (?:the [\w ]+ (?:of|in) )?((?:fl|filch)_\w+)')
DEFINED_IN = {'runtime/base/atomic.h', 'runtime/base/barrier.h', 'runtime/machine/barrier.c'}


def around(source, lines, comments, first, last):
    """The comments of lines first..last, and those directly before."""
    found = comments[first:last + 1]
    before = first - 1
    while before >= 0 and comments[before].strip() and not lines[before].strip():
        found.insert(0, comments[before])
        before -= 1
    return '\n'.join(found)


def statement(lines, line):
    """First and last line of the statement at `line`."""
    ends = lambda text: not text.strip() or re.search(r'[;{}:]\s*\\?\s*$', text) or text.lstrip().startswith('#')
    first = last = line
    while first > 0 and not ends(lines[first - 1]):
        first -= 1
    while last < len(lines) - 1 and not ends(lines[last]):
        last += 1
    return first, last


def check(root, complain):
    edges = defaultdict(list)
    public = sources(root, 'include', '*.h')
    tree = sources(root, 'runtime') + public
    words = {word for source in tree for word in re.findall(r'\b(?:fl|filch)_\w+', source.code)}
    for source in tree:
        if str(source.path) == 'runtime/base/atomic.h':
            continue
        for m in FOREIGN.finditer(source.code) if source not in public else []:
            line = source.code.count('\n', 0, m.start()) + 1
            complain(source, line, f'{m[1]}: only base/atomic.h writes this; take an operation from there')
        for m in PAIRS.finditer(source.comments):
            if m[1] not in words:
                complain(source, source.text.count('\n', 0, m.start()) + 1, f'pairs with {m[1]}, which does not exist')
        if str(source.path) in DEFINED_IN:
            continue
        lines, comments = source.code.split('\n'), source.comments.split('\n')
        for m in (BUILTIN if source in public else OPERATION).finditer(source.code):
            line = source.code.count('\n', 0, m.start())
            text = around(source, lines, comments, *statement(lines, line))
            roles = list(ROLE.finditer(text))
            if not roles:
                complain(source, line + 1, f'{m[0].rstrip("( ")} without a role: [edge], own:, hint:, counter or init:')
            for role in roles:
                if role[1]:
                    edges[role[1]].append((source, line + 1))
    for name, ends in sorted(edges.items()):
        if len(set((str(source.path), line) for source, line in ends)) < 2:
            complain(*ends[0], f'[{name}] stands here only: an edge has two ends')


main(check)
