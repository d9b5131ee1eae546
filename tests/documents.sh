#!/bin/bash
# The documents say what is true: the examples in README.md are the files in examples/, what README.md
# prints is what the commands print, the bytes in docs/FORMAT.md are those of the golden logs, tests
# and functions that are named exist, and links lead somewhere.
#
# Times and ids differ from run to run and are compared by their shape; the work directory may lie
# in memory, which info remarks on.
#
# usage: documents.sh PATH-OF-SEGLOG
set -u
case $1 in
/*) seglog=$1 ;;
*) seglog=$PWD/$1 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/seglog-documents.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
unset NO_COLOR
mkdir "$work/bin" "$work/place"
ln -s "$seglog" "$work/bin/seglog"
PATH=$work/bin:$PATH
failures=0

# fact RESULT TEXT
fact() {
    if [ "$1" -eq 0 ]; then
        echo "ok - $2"
    else
        echo "not ok - $2"
        failures=$((failures + 1))
    fi
}

# ---- the examples --------------------------------------------------------------------------------

# A block follows the line that names its file.
for name in append ring; do
    sed -n "/^\`examples\/$name.c\`, whole:\$/,/^\`\`\`\$/p" "$root/README.md" |
        sed '1,/^```c$/d; $d' >"$work/example.c"
    diff -u "$root/examples/$name.c" "$work/example.c"
    fact $? "the example in README.md is examples/$name.c"
done
[ "$(grep -c '^```c$' "$root/README.md")" -eq 2 ]
fact $? "there is no other one"

# ---- the tour ------------------------------------------------------------------------------------

shape() {
    sed -E 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{9}Z/TIME/g
        s/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/ID/g
        s/, but this file system keeps nothing across a power cut//'
}

sed -n '/^```console$/,/^```$/p' "$root/README.md" | grep -v '^```' >"$work/tour"
cd "$work/place" || exit 1
while IFS= read -r line; do
    case $line in
    '$ '*)
        printf '%s\n' "$line"
        eval "${line#??}" 2>&1 </dev/null
        ;;
    esac
done <"$work/tour" >"$work/said"
cd "$work" || exit 1
diff -u <(shape <tour) <(shape <said)
fact $? "the commands in README.md print what it says"
[ "$(grep -c '^\$ ' tour)" -ge 10 ]
fact $? "they are ten or more"
if [ -n "${SEGLOG_SHOW_TOUR:-}" ]; then cat said; fi

# ---- the bytes -----------------------------------------------------------------------------------

# A line "0052a0  0a 00 ..." must be what some golden segment has there. The golden files are text, 32
# bytes a line, lines of zeros left out.
sed -nE 's/^    ([0-9a-f]{6})  (([0-9a-f]{2} ){15}[0-9a-f]{2}).*/\1 \2/p' "$root/docs/FORMAT.md" |
    sed -E 's/^([0-9a-f]+) (.*)/\1\t\2/; :again s/(\t.*) /\1/; t again' >bytes
bad=$(awk -F '[ \t]' '
    FNR == NR { if (FILENAME != last) { last = FILENAME } }
    FILENAME != "bytes" {
        if (length($2) >= 64) { have[FILENAME, $1] = $2; file[FILENAME] = 1 }
        next
    }
    {
        low = substr($1, 6) == "0" && index("02468ace", substr($1, 5, 1)) > 0
        line = low ? $1 : sprintf("%s%s0", substr($1, 1, 4), substr("02468ace", \
            index("13579bdf", substr($1, 5, 1)), 1))
        found = $2 ~ /^0*$/
        for (f in file)
            found = found || substr(have[f, line], low ? 1 : 33, 32) == $2
        if (!found) print $1
    }' "$root"/tests/golden/v1/*/*.seg.hex bytes)
[ -z "$bad" ] && [ "$(wc -l <bytes)" -ge 20 ]
fact $? "the bytes in docs/FORMAT.md are in the golden logs${bad:+, but for $bad}"

# ---- names ---------------------------------------------------------------------------------------

# `suite, name_of_a_test` and `function()` in docs/*.md are those of tests and sources.
missing=
text=$(cat "$root"/docs/*.md | tr '\n' ' ')
while IFS= read -r name; do
    grep -rqF "Test($name" "$root"/tests --include='*.c' || missing="$missing ($name)"
done < <(grep -oE '`[a-z_]+, [a-z_0-9]{12,}`' <<<"$text" | tr -d '`' | sort -u)
while IFS= read -r name; do
    grep -rqE "\\b$name\\(" "$root"/src "$root"/include || missing="$missing $name()"
done < <(grep -oE '`[a-z]+_[a-z_]+\(\)`' <<<"$text" | tr -d '`()' | sort -u)
[ -z "$missing" ]
fact $? "every test and function that is named exists${missing:+, but for$missing}"

# ---- links ---------------------------------------------------------------------------------------

missing=
for page in "$root"/README.md "$root"/docs/*.md; do
    for link in $(grep -oE '\]\([^)#]+' "$page" | sed 's/^](//' | grep -v ://); do
        [ -e "$(dirname "$page")/$link" ] || missing="$missing $(basename "$page"):$link"
    done
done
[ -z "$missing" ]
fact $? "every link leads to a file${missing:+, but for$missing}"

[ $failures -eq 0 ]
