#!/bin/bash
# Deliberate mistakes: does the suite notice them?
#
# Each NAME.patch here is one mistake, with what it is and which test program must fail for it
# (PROGRAM, or PROGRAM:FILTER to run some of its tests, and variables for it). One at a time is applied
# to a copy of the tree, what it needs is built (with the sanitizer that the patch may name), and the
# program run; programs after the first are run until one fails. A mistake that nobody notices, or a
# patch that does not apply any more, is a failure. Prints a table of what noticed which.
#
# usage: run.sh [-w DIR] [-d N [-s SECONDS]] [NAME...]    default: all
#   -w DIR      holds the copy and the build, and is kept
#   -d N        N drawn ones; SEGLOG_SEED chooses which (default: the clock)
#   -s SECONDS  begin no other one after that time
# When all are made, the programs are run without a mistake first: they must not fail then.
# Exits with 77 where it cannot be done.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=
draw=
until=
while getopts w:d:s: option; do
    case $option in
    w) work=$OPTARG ;;
    d) draw=$OPTARG ;;
    s) until=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
for tool in patch cmake git tar; do
    command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
done
if [ -n "$work" ]; then
    mkdir -p "$work"
else
    work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-sabotage-XXXXXX")
    trap 'rm -rf "$work"' EXIT
fi
tree=$work/tree
limit=${SEGLOG_SABOTAGE_LIMIT:-240} # seconds for one program
jobs=${SEGLOG_JOBS:-$(nproc)}

sound_first=
if [ $# -eq 0 ]; then
    set -- "$here"/*.patch
    set -- "${@##*/}"
    set -- "${@%.patch}"
    if [ -n "$draw" ]; then
        seed=${SEGLOG_SEED:-$(date +%s)}
        echo "# SEGLOG_SEED=$seed"
        mapfile -t drawn < <(printf '%s\n' "$@" | awk -v seed="$seed" \
            'BEGIN { srand(seed) } { print rand(), $0 }' | sort | head -n "$draw" | cut -d' ' -f2)
        set -- "${drawn[@]}"
    else
        sound_first=yes
    fi
fi

field() { sed -n "s/^$2: //p" "$here/$1.patch"; }

# The copy, so that builds are of what lies here and nothing here is touched. Only what differs is
# written, and as of now: a file that got back its old time after a mistake would look older than the
# object made of the mistake, which would then stay for all that follow.
mkdir -p "$tree" || exit 1
(cd "$root" && git ls-files -z --cached --others --exclude-standard) >"$work/files" || {
    echo "git does not say what belongs to the tree"
    exit 77
}
(cd "$tree" && find . -type f -printf '%P\0') | sort -z >"$work/there"
sort -z "$work/files" | comm -z -13 - "$work/there" | (cd "$tree" && xargs -0 -r rm -f)
while IFS= read -r -d '' file; do
    if [ -f "$root/$file" ] && ! cmp -s "$root/$file" "$tree/$file"; then
        mkdir -p "$tree/$(dirname "$file")" && cp "$root/$file" "$tree/$file" || exit 1
    fi
done <"$work/files"

# configure DIR [OPTION...], once
configure() {
    [ ! -e "$1/CMakeCache.txt" ] || return 0
    cmake -S "$tree" -B "$1" -DCMAKE_BUILD_TYPE=Debug -DSEGLOG_BENCH=OFF \
        -DSEGLOG_EXAMPLES=OFF "${@:2}" >"$work/cmake.log" 2>&1 || {
        cat "$work/cmake.log"
        return 1
    }
}

make_program() {
    if [ -z "$sanitizer" ]; then
        configure "$build"
    else
        configure "$build" -DCMAKE_C_FLAGS=-O1 -DSEGLOG_SANITIZE="$sanitizer"
    fi && cmake --build "$build" -j "$jobs" --target "$1" >"$work/build.log" 2>&1
}

# A mistake may leave processes that no group holds together: whatever still runs from this build.
sweep_processes() {
    local exe

    for exe in /proc/[0-9]*/exe; do
        case $(readlink "$exe" 2>/dev/null) in
        "$work"/build*) kill -KILL "$(basename "$(dirname "$exe")")" 2>/dev/null ;;
        esac
    done
}

# Run PROGRAM[:FILTER] with its variables: the names of the tests that failed; nothing when all is well.
# 1: it could not be run, or not to its end in time: whether that is due to the mistake nobody can tell.
failing() {
    local status=0 program=${1%%:*}
    local command=("$root/tests/run.sh" - "$build/tests/$program")

    if [ "$1" != "$program" ] && [ -n "$sanitizer" ]; then # tests/runner.c takes part of a name
        command+=("${1##*/}")
    elif [ "$1" != "$program" ]; then
        command+=(--filter "${1#*:}")
    fi
    if [ "$sanitizer" = thread ]; then # see .ci/run
        export TSAN_OPTIONS=die_after_fork=0
        if setarch -R true 2>/dev/null; then command=(setarch -R "${command[@]}"); fi
    fi
    rm -f "$work/tap"
    (cd "$work" && env "${@:2}" SEGLOG_TEST_QUICK=1 CRITERION_OUTPUTS="tap:$work/tap" \
        timeout -k 5 "$limit" "${command[@]}") >"$work/run.log" 2>&1 || status=$?
    sweep_processes
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then
        echo "TAKES TOO LONG"
        return 1
    elif [ $status -eq 126 ] || [ $status -eq 127 ]; then
        echo "CANNOT BE RUN"
        return 1
    elif [ $status -ne 0 ]; then
        sed -n 's/^not ok - \([^ ]*\).*/\1/p' "$work/tap" 2>/dev/null | sort -u | head -n 3 |
            tr '\n' ' ' | grep . || echo "$program"
    fi
}

# Who is to notice: the words of "Caught by", programs in $programs, NAME=VALUE in $variables; and how
# they are built.
who_notices() {
    local words word

    sanitizer=$(field "$1" Sanitizer)
    build=$work/build${sanitizer:+-$sanitizer}
    read -r -a words <<<"$(field "$1" "Caught by")"
    programs=() variables=()
    for word in "${words[@]}"; do
        if [[ $word == *=* ]]; then variables+=("$word"); else programs+=("$word"); fi
    done
}

# One mistake. 0: noticed.
sabotage() {
    local program caught

    patch -d "$tree" -p1 -s --no-backup-if-mismatch <"$here/$1.patch" >"$work/patch.log" 2>&1 || {
        echo "DOES NOT APPLY"
        return 1
    }
    who_notices "$1"
    for program in "${programs[@]}"; do
        if ! make_program "${program%%:*}"; then
            echo "DOES NOT BUILD"
            return 1
        fi
        caught=$(failing "$program" "${variables[@]}") || {
            echo "${program%%:*}: $caught"
            return 1
        }
        if [ -n "$caught" ]; then
            echo "${program%%:*}: $caught"
            return 0
        fi
    done
    echo "NOBODY NOTICED"
    return 1
}

undo() {
    sed -n 's|^+++ b/||p' "$here/$1.patch" | while read -r file; do
        rm -f "$tree/$file.rej" "$tree/$file.orig"
        cp "$root/$file" "$tree/$file"
    done
}

# What notices must not cry without a reason.
sound() {
    local name program caught key
    declare -A done=()

    for name in "$@"; do
        who_notices "$name"
        for program in "${programs[@]}"; do
            key="$program ${variables[*]} $sanitizer"
            [ -z "${done[$key]:-}" ] || continue
            done[$key]=yes
            make_program "${program%%:*}" || { echo "$program does not build"; return 1; }
            caught=$(failing "$program" "${variables[@]}")
            [ -z "$caught" ] || { echo "without a mistake, $key: $caught"; return 1; }
        done
    done
}

[ -z "$sound_first" ] || sound "$@" || exit 1
count=0
missed=0
for name in "$@"; do
    begun=$SECONDS
    if [ -n "$until" ] && [ "$begun" -ge "$until" ]; then
        echo "# no time for $(($# - count)) of them"
        break
    fi
    result=$(sabotage "$name") || missed=$((missed + 1))
    undo "$name"
    count=$((count + 1))
    printf '# %-32s %4d s  %s\n' "$name" $((SECONDS - begun)) "$result"
done
echo "# $count mistakes, $((count - missed)) noticed"
[ "$missed" -eq 0 ] && [ "$count" -gt 0 ]
