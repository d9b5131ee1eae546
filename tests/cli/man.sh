#!/bin/bash
# The manual: a page for every command, with every option, and well-formed.
pages=$(realpath "$(dirname "$0")/../../docs/man") # before lib.sh goes elsewhere
. "$(dirname "$0")/lib.sh"

for c in create append cat tail info verify salvage compact export import seal archive trim cursor config doctor bench; do
    page=$pages/seglog-$c.1
    [ -f "$page" ]
    fact $? "$c has a page"
    grep -q "^\.Xr seglog-$c 1" "$pages/seglog.1"
    fact $? "the overview names it"
    for option in $("$SEGLOG" "$c" --help | grep -oE '^ +(-[a-zA-Z0-9]|--[a-z-]+)' |
        grep -vxE ' *(-q|-v|--color|--help|--version)'); do
        # What tail shares with cat is described there.
        grep -qE "Fl ${option#-}( |\$)" "$page" ||
            { [ "$c" = tail ] && grep -qE "Fl ${option#-}( |\$)" "$pages/seglog-cat.1"; }
        fact $? "the page of $c tells of $option"
    done
done
while read -r family rest; do
    for c in $rest; do
        grep -q "$family $c" "$pages/seglog-$family.1"
        fact $? "the page of $family tells of $c"
        for option in $("$SEGLOG" "$family" "$c" --help | grep -oE '^ +(-[a-zA-Z0-9]|--[a-z-]+)' |
            grep -vxE ' *(-q|-v|--color|--help|--version)'); do
            grep -qE "Fl ${option#-}( |\$)" "$pages/seglog-$family.1" ||
                { [ "$family" = ring ] &&
                    grep -qE "Fl ${option#-}( |\$)" "$pages/seglog-append.1" "$pages/seglog-cat.1"; }
            fact $? "a page tells of $option of $family $c"
        done
    done
done <<'END'
ring create put get info snapshot rm
cell get set watch
table get put del ls stat
END
for option in quiet verbose color help version; do
    grep -qE "Fl -$option( |\$)" "$pages/seglog.1"
    fact $? "the overview tells of --$option"
done
for c in stat top; do
    grep -q "seglog-$c" "$pages"/*.1
    [ $? -ne 0 ]
    fact $? "no page promises $c"
done
if command -v mandoc >/dev/null; then
    mandoc -Tlint -W warning "$pages"/*.1 >err 2>&1
    fact $? 'the pages are well-formed'
fi
done_testing
