#!/bin/sh
# Install what building needs, on a bare Debian 12 or Ubuntu. Does nothing, quickly, when all of it
# is there.
#
# usage: packages.sh [core|all]
#   core  to build the library and the command
#   all   (default) also what the tests and .ci/run need
set -eu

core="gcc libc6-dev make cmake pkg-config libxxhash-dev liburing-dev liblz4-dev libjansson-dev"
extra="g++ git libcriterion-dev clang clang-format mandoc bindfs afl++ lz4 patch jq python3"
# Installed with those; where they cannot be had, the steps fscut-* are left out.
optional="e2fsprogs xfsprogs"

case ${1:-all} in
core) wanted=$core ;;
all) wanted="$core $extra" ;;
*)
    echo "usage: packages.sh [core|all]" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "packages.sh: no dpkg here; needed are the equivalents of: $wanted" >&2
    exit 0
fi

# A name may be provided by another package (pkg-config by pkgconf); both spellings count.
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' 2>/dev/null |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr ' ,' '\n\n' | sort -u)

has() {
    echo "$installed" | grep -qxF "$1"
}

# clang's sanitizers and libFuzzer are in a package that carries clang's version in its name, and
# that Ubuntu before 23.04 did not split from libclang-common.
clang_runtime() {
    version=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
    for name in libclang-rt-$version-dev libclang-common-$version-dev; do
        if [ -n "$version" ] && apt-cache show "$name" >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
}

missing=
for name in $wanted; do
    has "$name" || missing="$missing $name"
done
runtime_missing=no
if [ "$wanted" != "$core" ]; then
    resources=$(clang -print-resource-dir 2>/dev/null || true)
    ls "$resources"/lib/*/libclang_rt.fuzzer*.a >/dev/null 2>&1 || runtime_missing=yes
fi
if [ -z "$missing" ] && [ $runtime_missing = no ]; then
    exit 0
fi

root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "packages.sh: not root and no sudo; please install:$missing" >&2
        exit 1
    fi
    root="sudo -n"
fi

# Installed quietly: the output is shown when something went wrong.
quietly() {
    log=$(mktemp)
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ $status -ne 0 ]; then
        cat "$log" >&2
    fi
    rm -f "$log"
    return $status
}

quietly $root env DEBIAN_FRONTEND=noninteractive apt-get -q update ||
    echo "packages.sh: apt-get update failed; trying with the lists that are there" >&2
if [ $runtime_missing = yes ]; then
    missing="$missing $(clang_runtime)"
fi
echo "packages.sh: installing$missing" >&2
# shellcheck disable=SC2086
quietly $root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
    install $missing
if [ "$wanted" != "$core" ]; then
    # shellcheck disable=SC2086
    quietly $root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        install $optional || echo "packages.sh: not to be had: $optional" >&2
fi
