#!/bin/sh
# Run one example with a directory to work in: a path that does not exist yet, under a temporary one
# that goes away afterwards. The example's exit status is the verdict.
set -eu
program=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-example.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$program" "$work/log" </dev/null
