#!/bin/sh
# What users see of the library: only seglog_* symbols in both libraries, every function that the
# headers declare in both, and headers that compile alone, as C11 and as C++17.
#
# usage: symbols.sh ROOT LIBSEGLOG.SO LIBSEGLOG.A      (environment: CC, CXX, NM)
set -eu
root=$1 shared=$2 static=$3
cc=${CC:-cc} nm=${NM:-nm}
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-symbols.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    echo "$*"
    failed=1
}

# Names defined for others; the version node and what sanitizers plant are not ours.
"$nm" -D --defined-only "$shared" >"$work/shared.nm"
"$nm" -g --defined-only "$static" >"$work/static.nm"
for library in shared static; do
    awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' "$work/$library.nm" |
        grep -vE '^(__asan_|__odr_asan|__tsan_|__ubsan_|__start_|__stop_|___asan)' |
        LC_ALL=C sort -u >"$work/$library"
    foreign=$(grep -v '^seglog_' "$work/$library" || true)
    if [ -n "$foreign" ]; then
        fail "the $library library exports more than seglog_*:" $foreign
    fi
done

# Functions as the headers declare them: after the preprocessor, SEGLOG_API is the attribute.
for header in "$root"/include/seglog/*.h; do
    echo "#include <seglog/${header##*/}>"
done >"$work/all.c"
"$cc" -std=c11 -I"$root/include" -E -P "$work/all.c" | tr '\n' ' ' |
    grep -oE 'visibility\("default"\)\)\)[^;(]*\(' | grep -oE 'seglog_[a-z0-9_]+ *\($' |
    tr -d ' (' | LC_ALL=C sort -u >"$work/declared"
if [ ! -s "$work/declared" ]; then
    fail "no function was found in the headers"
fi
for library in shared static; do
    missing=$(LC_ALL=C comm -23 "$work/declared" "$work/$library")
    undeclared=$(LC_ALL=C comm -13 "$work/declared" "$work/$library")
    if [ -n "$missing" ]; then
        fail "declared, but not in the $library library:" $missing
    fi
    if [ -n "$undeclared" ]; then
        fail "in the $library library, but declared in no header:" $undeclared
    fi
done

# A header must not lean on what was included before it, nor on _GNU_SOURCE.
cxx=${CXX:-}
for candidate in c++ g++ clang++; do
    if [ -z "$cxx" ] && command -v $candidate >/dev/null; then cxx=$candidate; fi
done
for header in "$root"/include/seglog/*.h; do
    name=${header##*/}
    echo "#include <seglog/$name>" | tee "$work/alone.c" >"$work/alone.cc"
    "$cc" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -fsyntax-only \
        "$work/alone.c" || fail "$name does not compile alone as C11"
    if [ -n "$cxx" ]; then
        "$cxx" -std=c++17 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -fsyntax-only \
            "$work/alone.cc" || fail "$name does not compile alone as C++17"
    fi
done
if [ -z "$cxx" ]; then
    echo "no C++ compiler: headers were checked as C11 only"
fi

exit $failed
