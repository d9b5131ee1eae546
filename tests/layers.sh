#!/bin/sh
# The include graph must follow src/layers.txt: a folder of src uses itself and what stands above it
# in that list, never what stands below. Public headers include public headers only; benchmarks and
# examples see what a user sees.
#
# The check is run on the tree, and then on copies with one bad line planted in each: a check that
# cannot fail proves nothing.
#
# usage: layers.sh [ROOT]
set -eu
root=$(cd "${1:-$(dirname "$0")/..}" && pwd)

# Print every include that may not be, one a line; nothing when the tree is sound.
check() (
    cd "$1"
    folders=
    for folder in include src bench examples; do
        if [ -d $folder ]; then folders="$folders $folder"; fi
    done
    # bench/roll.c drops segments, for which there is no public call yet: it may see everything.
    # shellcheck disable=SC2086
    find $folders -name '*.[ch]' | grep -vx bench/roll.c | LC_ALL=C sort >"$work/files"
    awk -v list=src/layers.txt -v files="$work/files" '
        function normal(path,    part, n, i, out, m, result) {
            n = split(path, part, "/")
            m = 0
            for (i = 1; i <= n; i++) {
                if (part[i] == "." || part[i] == "")
                    continue
                if (part[i] == ".." && m > 0)
                    m--
                else
                    out[++m] = part[i]
            }
            result = out[1]
            for (i = 2; i <= m; i++)
                result = result "/" out[i]
            return result
        }
        function dirname(path) {
            sub("/[^/]*$", "", path)
            return path
        }
        # Where a path belongs: "include", a folder of src, or the top folder.
        function home(path,    part) {
            split(path, part, "/")
            return part[1] == "src" ? part[2] : part[1]
        }
        function bad(why) {
            printf "%s:%d: %s: %s\n", file, line_number, name, why
        }
        function may_use(from, to,    i, n, allowed) {
            if (to == from)
                return 1
            if (from == "include" || from == "bench" || from == "examples")
                return to == "include"
            if (from in only) {
                n = split(only[from], allowed, " ")
                for (i = 1; i <= n; i++)
                    if (allowed[i] == to)
                        return 1
                return 0
            }
            return to == "include" || (to in rank && rank[to] < rank[from])
        }
        function edge(from, text,    quoted, target) {
            quoted = text ~ /include[ \t]*"/
            name = text
            sub(/^[^"<]*["<]/, "", name)
            sub(/[">].*$/, "", name)
            if (quoted && normal(dirname(file) "/" name) in exists)
                target = normal(dirname(file) "/" name)
            else if (quoted && ("src/" name) in exists)
                target = "src/" name
            else if (("include/" name) in exists)
                target = "include/" name
            else if (quoted || name ~ /^seglog\//) {
                bad("no such file in src or include")
                return
            } else
                return # the system has it: <> never finds ours, src is on the path of "" only
            if (!may_use(from, home(target)))
                bad(from " may not use " home(target))
            edges++
        }
        BEGIN {
            while ((getline line < list) > 0) {
                if (line !~ /^[a-z]/)
                    continue
                split(line, word, " ")
                rank[word[1]] = ++layers
                if (sub(/^[a-z_]+ +only/, "", line))
                    only[word[1]] = line " include"
            }
            while ((getline line < files) > 0) {
                exists[line] = 1
                order[++count] = line
            }
            for (i = 1; i <= count; i++) {
                file = order[i]
                from = home(file)
                line_number = 0
                name = file
                if (file ~ /^src\// && !(from in rank))
                    bad("folder " from " is not in " list)
                while ((getline line < file) > 0) {
                    line_number++
                    if (line ~ /^[ \t]*#[ \t]*include[ \t]*["<]/)
                        edge(from, line)
                }
                close(file)
            }
            if (layers == 0 || edges == 0)
                print "nothing was checked: " layers + 0 " layers, " edges + 0 " includes"
        }'
)

work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-layers.XXXXXX")
trap 'rm -rf "$work"' EXIT
failed=0

found=$(check "$root")
if [ -n "$found" ]; then
    echo "$found"
    failed=1
fi

# Plant LINE in FILE of a fresh copy; the check must name that file and say why.
must_fail() {
    file=$1 line=$2 why=$3
    rm -rf "$work/tree"
    mkdir "$work/tree"
    cp -R "$root/src" "$root/include" "$work/tree/"
    mkdir -p "$work/tree/$(dirname "$file")"
    echo "$line" >>"$work/tree/$file"
    if ! check "$work/tree" | grep -q "^$file:[0-9]*: .*$why"; then
        echo "the check did not notice: $line in $file"
        failed=1
    fi
}
must_fail src/base/planted.h '#include "sys/file.h"' 'base may not use sys'
must_fail src/base/planted.c '#include "../sys/file.h"' 'base may not use sys'
must_fail src/format/planted.c '#  include "sys/file.h"' 'format may not use sys'
must_fail src/sys/planted.c '#include "format/layout.h"' 'sys may not use format'
must_fail src/cli/planted.c '#include "base/bytes.h"' 'cli may not use base'
must_fail src/log/planted.c '#include "../../tests/support/check.h"' 'no such file'
must_fail src/planted/planted.c '#include <errno.h>' 'is not in src/layers.txt'
must_fail include/seglog/planted.h '#include "base/bytes.h"' 'include may not use base'
must_fail examples/planted.c '#include "base/bytes.h"' 'examples may not use base'

exit $failed
