#!/bin/bash
# Damaged logs: what is lost is named, the rest is served.
. "$(dirname "$0")/lib.sh"

# spoil FILE TEXT: change one byte of TEXT in the file.
spoil() {
    local at
    at=$(LC_ALL=C grep -obUa -m1 -e "$2" "$1" | head -n 1 | cut -d: -f1)
    [ -n "$at" ] && printf '~' | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
first_segment() {
    find "$1" -name '*.seg' | sort | head -n 1
}
make() { # LOG: five segments, sealed
    rm -rf "$1"
    "$SEGLOG" create "$1" --segment-size 64K
    seq -f 'record number %06g.' 0 3999 | "$SEGLOG" append "$1"
    "$SEGLOG" seal "$1"
}

make log
run verify log
status_is 'a sound log' 0
out_like 'is called so' '^sound: 4000 records'
err_is_empty 'and no meter where no terminal is'
run verify --json log
is 'in JSON too' "$(jq -c '[.ok,.records,.damage,.torn_tail]' out)" '[true,4000,[],false]'
run verify --fast log
status_is 'its footers too' 0

spoil "$(first_segment log)" 'record number 000123\.'
fact $? 'a byte of a sealed record is changed'
run cat log
status_is 'cat says 65' 65
err_like 'and names the range' '^seglog: cat: log: segment [0-9]+, offset [0-9]+: .*123'
is 'once' "$(wc -l <err)" 1
lost=$(comm -13 <(sort out) <(seq -f 'record number %06g.' 0 3999 | sort) | grep -o '[0-9]*')
is 'the rest is printed' "$(echo "$lost" | head -n 1)" 000123
[ "$(wc -l <out)" -ge 3000 ]
fact $? 'all the rest'
run verify log
status_is 'verify says 1' 1
out_like 'names the place' '^segment [0-9]+, offset [0-9]+: .*123'
out_like 'and sums up' '^DAMAGED: '
run verify --json log
status_is 'in JSON too' 1
is 'with the range' "$(jq -c '[.ok,.damage[0].first_seq,.records]' out)" '[false,123,'"$((4000 - $(echo "$lost" | wc -l)))]"
jq -e '.damage[0] | has("segment") and has("offset") and has("last_seq") and has("cause")' out >/dev/null
fact $? 'and all its fields'
run cat log --to 100
status_is 'damage behind the interval does not matter' 0
run cat log --from 3000
status_is 'nor in front of it' 0
run cat log --from 3000 --reverse
status_is 'nor backward' 0
run cat log -n 50
status_is 'nor behind the last that was asked for' 0
run cat log --reverse
status_is 'backward it is met too' 65
run tail log
status_is 'tail has nothing to do with it' 0
run tail -n 3950 log
status_is 'unless it goes back so far' 65
run cat log --no-verify
status_is '--no-verify does not see payloads' 0
run info log
status_is 'info is no check' 0
echo more | "$SEGLOG" append log
is 'appending goes on' "$("$SEGLOG" tail -n 1 log)" more

make gone
rm "$(first_segment gone)"
run cat gone
status_is 'a missing segment is 65' 65
for place in first 0 100 -3999 @-1h; do
    run cat gone --from $place
    status_is "also from $place" 65
done
for place in -1 -3000 2000 last @-0; do
    run tail gone --from $place
    [ $code -le 1 ]
    fact $? "but not from $place"
done
run cat gone
[ -s out ]
fact $? 'and the rest is printed'
run verify gone
status_is 'verify finds it' 1

make headless
dd if=/dev/zero of="$(first_segment headless)" bs=4096 count=1 conv=notrunc status=none
run cat headless
status_is 'a segment without its header is 65' 65
[ -s out ]
fact $? 'and the rest is printed'
run verify headless
status_is 'verify finds that' 1
run verify --json headless
is 'and says so in JSON' "$(jq .ok out)" false

# The log's own settings.
make unset
find unset -type f ! -name '*.seg' -exec \
    dd if=/dev/zero of={} bs=4096 count=1 conv=notrunc status=none ';'
run cat unset
[ "$code" -eq 65 ] || [ "$code" -eq 66 ]
fact $? 'without its settings a log cannot be read'
[ "$(wc -l <err)" -eq 1 ]
fact $? 'in one line'
run verify unset
[ "$code" -eq 1 ] || [ "$code" -eq 66 ]
fact $? 'and verify does not call it sound'
refused 'verify of no log' 66 verify nosuch
done_testing
