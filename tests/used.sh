#!/bin/sh
# Every public function is called by at least one test, and every status of our own is expected by
# one. Names in comments do not count.
#
# usage: used.sh [ROOT]
set -eu
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The tests without their comments.
find tests -name '*.[ch]' -exec cat {} + |
    awk '{
        while (1) {
            if (inside) {
                at = index($0, "*/")
                if (!at) { $0 = ""; break }
                $0 = substr($0, at + 2)
                inside = 0
            }
            at = index($0, "/*")
            if (!at) break
            printf "%s ", substr($0, 1, at - 1)
            $0 = substr($0, at + 2)
            inside = 1
        }
        print
    }' >"$work/tests"

# lacking FILE: which of the names in it the tests do not know.
lacking() {
    while read -r name; do
        grep -qw "$name" "$work/tests" || echo "$name"
    done <"$1"
}

grep -v '^#define' include/seglog/*.h -h | tr '\n' ' ' | grep -oE 'SEGLOG_API [^;]*' |
    sed -E 's/.*[ *](seglog_[a-z_0-9]+)\(.*/\1/' | sort -u >"$work/functions"
grep -oE '^    SEGLOG_E[A-Z]+ = -' include/seglog/status.h | awk '{ print $1 }' >"$work/statuses"
[ -s "$work/functions" ] && [ -s "$work/statuses" ]
missing=$(lacking "$work/functions"; lacking "$work/statuses")
if [ -n "$missing" ]; then
    echo "no test uses:"
    echo "$missing"
    exit 1
fi

# A check that cannot fail proves nothing.
echo seglog_no_such_function >"$work/planted"
[ -n "$(lacking "$work/planted")" ]
echo "$(wc -l <"$work/functions") functions and $(wc -l <"$work/statuses") statuses, all used by tests"
