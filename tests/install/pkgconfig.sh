#!/bin/sh
# SPDX-License-Identifier: MIT
# pkgconfig.sh MESON SOURCE-ROOT BUILD-ROOT PREFIX LIBDIR VERSION COMPILER...
# Installs into an empty folder, and builds and runs hello.c in another one with nothing but what pkg-config says: with the shared
# library, then with the static one.
set -eu
meson=$1 source=$2 build=$3 prefix=$4 libdir=$5 version=$6
shift 6

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$meson" install -C "$build" --no-rebuild --quiet --destdir "$dir/root"
where=$dir/root$prefix
unset LD_LIBRARY_PATH
export PKG_CONFIG_PATH="$where/$libdir/pkgconfig"
pc() { pkg-config --define-variable=prefix="$where" "$@" filch; }

[ "$(pc --modversion)" = "$version" ]
expected="filch $version: 3 * 3 + 4 * 4 = 25"
mkdir "$dir/clean"
cp "$source/tests/install/hello.c" "$dir/clean"
cd "$dir/clean"

echo '== shared'
"$@" -Wall -Werror -o hello-shared hello.c $(pc --cflags --libs)
readelf -d hello-shared | grep -q 'NEEDED.*libfilch\.so\.0'
out=$(LD_LIBRARY_PATH="$where/$libdir" ./hello-shared)
echo "$out"
[ "$out" = "$expected" ]

echo '== static'
rm "$where/$libdir"/libfilch.so*
"$@" -Wall -Werror -o hello-static hello.c $(pc --static --cflags --libs)
if readelf -d hello-static | grep libfilch; then exit 1; fi
out=$(./hello-static)
echo "$out"
[ "$out" = "$expected" ]
