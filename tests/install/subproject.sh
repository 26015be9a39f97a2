#!/bin/sh
# SPDX-License-Identifier: MIT
# subproject.sh MESON SOURCE-ROOT: a project of its own, with filch below subprojects/, configures, builds and runs with
# dependency('filch'). It gets neither our tests nor our programs.
set -eu
meson=$1 source=$2

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/subprojects/filch"
for part in meson.build meson_options.txt runtime include; do
    ln -s "$source/$part" "$dir/subprojects/filch/$part"
done
cp "$source/tests/install/hello.c" "$dir"
cat >"$dir/meson.build" <<'END'
project('guest', 'c', version: '7', default_options: ['warning_level=3', 'werror=true'])
executable('hello', 'hello.c', dependencies: dependency('filch', fallback: 'filch'))
END

for library in shared static; do
    echo "== default_library=$library"
    "$meson" setup "$dir/build-$library" "$dir" --wrap-mode=forcefallback -Ddefault_library=$library >"$dir/log" || {
        cat "$dir/log"
        exit 1
    }
    "$meson" compile -C "$dir/build-$library" >"$dir/log" || { cat "$dir/log"; exit 1; }
    out=$("$dir/build-$library/hello")
    echo "$out"
    case $out in
    *'= 25') ;;
    *) exit 1 ;;
    esac
done
