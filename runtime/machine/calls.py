#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""calls.py OUTPUT COMPILER...: the names of the system calls of the machine that COMPILER compiles for, as a C table by number.

They are those of its <asm/unistd.h>. Calls that other headers know under a name of one CPU family alone are in none of the tables."""

import re
import subprocess
import sys

output, compiler = sys.argv[1], sys.argv[2:]
macros = subprocess.run([*compiler, '-E', '-dM', '-x', 'c', '-'], input='#include <asm/unistd.h>\n', check=True,
                        stdout=subprocess.PIPE, encoding='utf-8').stdout
values = dict(re.findall(r'^#define (__NR\w+) (\S+)', macros, re.M))


def number(value, depth=0):
    """Some are defined by another's name (aarch64: __NR_read is 63, __NR_fcntl is __NR3264_fcntl)."""
    if value.isdigit():
        return int(value)
    return number(values[value], depth + 1) if value in values and depth < 4 else None


calls = {}
for macro, value in values.items():
    name, n = re.match(r'__NR_(\w+)', macro), number(value)
    if name and n is not None and n < 1024 and name[1] not in ('syscalls', 'arch_specific_syscall'):
        calls[n] = name[1]

with open(output, 'w', encoding='utf-8') as file:
    file.write('/* Made by calls.py from <asm/unistd.h>. */\nextern const char *const fl_call_names[];\nextern const unsigned fl_call_count;\n\n')
    file.write('const char *const fl_call_names[] = {\n')
    file.writelines(f'    [{n}] = "{name}",\n' for n, name in sorted(calls.items()))
    file.write('};\nconst unsigned fl_call_count = sizeof fl_call_names / sizeof *fl_call_names;\n')
