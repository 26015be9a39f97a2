#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What quickstart, check and .ci/run share; sourced by them, from the root of the source tree.
#
#   ./tools/setup.sh peers               as a command: installs the runtimes that filch-bench compares with, docs/concepts/bench.md
#   ./tools/setup.sh report              the same for what filch-bench report takes, and what its tests look at a page with
#
#   need PACKAGE...                      Debian packages: says which are missing and installs those
#   configure FOLDER OPTION...           a Meson build folder with these options; does nothing if it has them
#   build FOLDER                         compiles what has changed
#   quietly LABEL COMMAND...             runs a command with its output in a log; a sign of life every ten seconds, the log when it fails
#
# Nothing here reads standard input.
exec </dev/null
export DEBIAN_FRONTEND=noninteractive

build_packages=(gcc libc6-dev pkg-config meson ninja-build libhwloc-dev liburing-dev)
bench_packages=(libjansson-dev nettle-dev libxxhash-dev libhttp-parser-dev)
check_packages=(g++ clang libdw-dev libcriterion-dev python3 binutils gdb clang-format gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user valgrind)
client_packages=(curl wrk apache2-utils socat netcat-openbsd) # for the tests of docs/examples; without one, what it would show is skipped

# What filch-bench compares with. Nobody installs them unasked: together they take most of a gigabyte.
peer_packages=(gcc g++ clang libomp-dev libtbb-dev golang-go libboost-fiber-dev libpth-dev libst-dev erlang-base erlang-crypto
    default-jdk-headless rustc)

# What filch-bench report draws with and counts kernel entries with; the tests look at its pages with the rest, where that is there.
report_packages=(python3-matplotlib strace)
report_check_packages=(chromium python3-pil)

say() {
    printf '\n== %s\n' "$*"
}

quietly() {
    local label=$1 log started=$SECONDS pid
    shift
    log=$(mktemp)
    "$@" >"$log" 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - started)) -ge 10 ] && [ $(((SECONDS - started) % 10)) -eq 0 ]; then
            printf '   %s: %d s, %.90s\n' "$label" $((SECONDS - started)) "$(tail -n 1 "$log" | tr -d '\r')"
            sleep 1
        fi
    done
    if wait $pid; then
        rm -f "$log"
    else
        tail -n 30 "$log"
        rm -f "$log"
        return 1
    fi
}

install_packages() {
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo -n)
    local get=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    "${get[@]}" install --no-install-recommends "$@" && return
    echo 'Once more, with fresh package lists.'
    "${get[@]}" update && "${get[@]}" install --no-install-recommends "$@"
}

need() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "This is not Debian; the build needs what Debian calls $*"
        return
    fi
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then
        say 'All packages are there'
        return
    fi
    say "Missing packages, installed now: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "That needs root. Please run: apt-get install --no-install-recommends ${missing[*]}"
        return 1
    fi
    quietly 'installing' install_packages "${missing[@]}"
}

configure() {
    local folder=$1
    shift
    if [ -f "$folder/build.ninja" ]; then
        [ "$(cat "$folder/options" 2>/dev/null)" = "$*" ] || meson configure "$folder" "$@" || return
    else
        meson setup "$folder" "$@" || return
    fi
    printf '%s\n' "$*" >"$folder/options"
}

build() {
    meson compile -C "$1"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case "$*" in
    peers)
        need "${peer_packages[@]}"
        echo 'Build folders that are there already find them with: meson setup --reconfigure build'
        ;;
    report)
        need "${report_packages[@]}" "${report_check_packages[@]}"
        ;;
    *)
        echo 'usage: ./tools/setup.sh peers | report'
        exit 2
        ;;
    esac
fi
