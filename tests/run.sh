#!/bin/sh
# Run one test so that nothing of it stays behind: it gets a process group and a temporary directory
# of its own, and when it has ended, whatever is left of both is removed. Without this a process that
# a failed test left would fill the disk, and keep ctest waiting for the end of its output.
#
# usage: run.sh TAP-FILE PROGRAM [ARG...]
#   TAP-FILE  gets the lines "ok ..." and "not ok ..." that a script prints; "-" for a program that
#             writes them itself, or has none
set -u
tap=$1
shift
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-run.XXXXXX") || exit 1
mkdir -m 1777 "$work/tmp"
chmod 711 "$work" # tests that give up their rights still have to get there
group=

tidy() {
    if [ -n "$group" ]; then kill -KILL -- "-$group" 2>/dev/null; fi
    chmod -R u+rwx "$work" 2>/dev/null
    rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

if [ "$tap" = - ]; then
    TMPDIR=$work/tmp setsid "$@" </dev/null &
else
    TMPDIR=$work/tmp setsid "$@" >"$work/out" </dev/null &
fi
group=$!
wait "$group"
status=$?

if [ "$tap" != - ]; then
    cat "$work/out"
    if grep -qE '^(not )?ok ' "$work/out"; then
        grep -E '^(not )?ok ' "$work/out" >"$tap"
    fi
fi
if kill -0 -- "-$group" 2>/dev/null; then
    echo "run.sh: $1 left processes behind" >&2
fi
exit $status
