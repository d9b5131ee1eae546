#!/bin/bash
# salvage, export, import: what comes out is what went in, by number, time, tag and payload; what is lost
# is exactly what is damaged, and named.
. "$(dirname "$0")/lib.sh"

# A log of live, sealed and archived segments that begins late and has void numbers.
"$SEGLOG" create log --segment-size 64K
seq 1 3000 | sed 's/.*/record & of them, alike/' | "$SEGLOG" append log --tag 3
"$SEGLOG" seal log
seq 3001 6000 | sed 's/.*/record & of them, alike/' | "$SEGLOG" append log --tag 4
"$SEGLOG" archive --keep 3 log >out
"$SEGLOG" trim --keep-segments 6 log 2>err
printf 'no\377text\n\na \\"b\n' | "$SEGLOG" append log --tag 4294967295
"$SEGLOG" info log | grep -q ' archived ' && "$SEGLOG" info log | grep -q ' sealed ' &&
    "$SEGLOG" info log | grep -q ' active '
fact $? 'a log of every kind of segment'
first=$("$SEGLOG" cat log -n 1 --format '%o')
[ "$first" -gt 0 ]
fact $? 'that begins late'

content() {
    "$SEGLOG" cat "$1" -o json
}
numbers() {
    "$SEGLOG" info --json "$1" | tr -d '{}[],"' | grep -oE '(records|first_seq|next_seq|bytes): [0-9]+' | head -4
}
content log >want
numbers log >want.numbers

# same FACT LOG: the same records, and the same numbers at both ends.
same() {
    content "$2" | cmp -s - want && "$SEGLOG" verify -q "$2" >verified
    fact $? "$1: the same records, and sound"
    [ "$("$SEGLOG" info --json "$2" | grep -oE '"(first|next)_seq": [0-9]+' | head -2)" = \
        "$("$SEGLOG" info --json log | grep -oE '"(first|next)_seq": [0-9]+' | head -2)" ]
    fact $? "$1: the same numbers at both ends"
}

"$SEGLOG" export log >stream
fact $? 'export'
run import copy stream
status_is 'import' 0
out_like 'says how many' '^imported [0-9]+ records'
same 'import of export' copy
"$SEGLOG" export copy | cmp -s - stream
fact $? 'and its export is the same stream'
"$SEGLOG" export log | "$SEGLOG" import --segment-size 1M --sync none --json wide >out
fact $? 'through a pipe, into other segments'
same 'other segments' wide
content log | "$SEGLOG" import lines >out
fact $? 'import of JSON lines'
same 'JSON lines' lines
"$SEGLOG" export --json log | cmp -s - want
fact $? 'export --json is cat -o json'
run salvage log saved
status_is 'salvage of a sound log' 0
out_like 'finds nothing lost' 'nothing is lost$'
same 'salvage' saved

# Void numbers, in the middle and at the end.
for n in 0 1 2 5 6 700 5000; do echo "{\"seq\":$n,\"text\":\"r$n\"}"; done | "$SEGLOG" import gaps --segment-size 64K --json >out
grep -q '"void": 4994}' out && [ "$("$SEGLOG" cat gaps --format '%o%s ')" = '0r0 1r1 2r2 5r5 6r6 700r700 5000r5000 ' ]
fact $? 'numbers that are left out are void'
"$SEGLOG" cat gaps --to 5000 -o json >part
"$SEGLOG" export gaps | "$SEGLOG" import gaps2 >out
[ "$("$SEGLOG" cat gaps -o json)" = "$("$SEGLOG" cat gaps2 -o json)" ] && "$SEGLOG" verify gaps2 >out
fact $? 'and stay so'
"$SEGLOG" create empty && "$SEGLOG" export empty | "$SEGLOG" import empty2 >out &&
    "$SEGLOG" info --json empty2 | grep -q '"next_seq": 0,'
fact $? 'an empty log is one, too'

# Damage: a byte of a payload in each kind of segment, and a header.
harm() { # another byte than the one that is there
    local there
    there=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\$(printf %o $((there ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
cp -r log bad
sealed=$(ls bad/*.seg | head -1)
harm "$sealed" $((20480 + 64 * 10 + 40)) # the payload of record 10 in it
harm "$sealed" $((20480 + 64 * 20 + 16)) # the header of record 20, and so
harm "$sealed" $((20480 + 64 * 21 + 16)) # that behind it
base=$("$SEGLOG" info --json bad | tr '{' '\n' | grep '"state": "sealed"' | head -1 |
    grep -oE '"first_seq": [0-9]+' | grep -oE '[0-9]+')
# One byte of a packed block may lead to a match of the same bytes, and harm nothing: so a few.
packed=$(ls bad/*.arc | tail -1)
for at in $(seq 5000 5015); do harm "$packed" "$at"; done
find bad -type f -exec md5sum {} + | sort >before
"$SEGLOG" salvage --json bad good >out
status_is_ok=$?
fact $status_is_ok 'salvage of a damaged log'
grep -q "\"first_seq\": $((base + 10)), \"last_seq\": $((base + 10))," out
fact $? 'names the record whose payload is bad'
grep -q "\"first_seq\": $((base + 20)), \"last_seq\": $((base + 21))," out
fact $? 'and the two whose headers are'
find bad -type f -exec md5sum {} + | sort | cmp -s - before
fact $? 'and writes nothing to the old log'
content bad >left 2>err
content good | cmp -s - left && "$SEGLOG" verify -q good >verified
fact $? 'all that can be read is in the new one, which is sound'
lost=$(tr '}' '\n' <out | grep -oE '"first_seq": [0-9]+, "last_seq": [0-9]+' | tr -dc '0-9 \n' |
    while read -r from to; do seq "$from" "$to"; done | wc -l)
[ $((lost + $(wc -l <left))) -eq "$(wc -l <want)" ] && [ "$lost" -gt 3 ]
fact $? 'and what is named is what is missing, no more'
"$SEGLOG" export bad >part.stream 2>err
[ $? -eq 65 ] && [ "$(wc -l <err)" -ge 3 ] && "$SEGLOG" import part.log part.stream >out &&
    content part.log | cmp -s - left
fact $? 'export names damage, and exports the rest'

# What is refused.
# ---- compact ---------------------------------------------------------------------------------------
"$SEGLOG" create many --segment-size 64K --sync none
seq 1 5000 | awk '{ print "key" $1 % 37 "=" $1 }' | "$SEGLOG" append many
run compact many few --key until:=
status_is 'compact' 0
out_like 'says what it kept' 'kept 37 records, .*; 4963 had a newer one'
is 'the newest of each key' "$("$SEGLOG" cat few | sort -t= -k2n | md5sum)" \
    "$(seq 4964 5000 | awk '{ print "key" $1 % 37 "=" $1 }' | md5sum)"
is 'with their numbers' "$("$SEGLOG" cat few -o json | jq -r .seq | head -n 1)" 4963
run info --json few
is 'and the next one' "$(jq .next_seq out)" 5000
run compact many all --key bytes:100:4 --json
is 'what has no key stays' "$(jq -c '[.records, .dropped]' out)" '[5000,0]'
run compact many one --key tag --json
is 'a tag is a key' "$(jq -c '[.records, .dropped]' out)" '[1,4999]'
is 'no table is left' "$(ls -d ./*.keys 2>/dev/null)" ''
refused 'compact wants a key' 2 compact many none
refused 'and one that it knows' 2 compact many none --key colour
refused 'compact into a log that is there' 73 compact many few --key tag
refused 'compact of nothing' 66 compact nowhere out.log --key tag
refused 'compact of a damaged log' 65 compact bad better --key tag

refused 'salvage into a log that is there' 73 salvage log copy
refused 'salvage into the log itself' 2 salvage log log/inside
refused 'salvage of nothing' 66 salvage nowhere out.log
refused 'no OUT' 2 salvage log
refused 'import into a log that is there' 73 import copy stream
refused 'import of nothing' 66 import new nowhere
refused 'import of what is no stream' 65 import new want.numbers
[ ! -e new ]
fact $? 'which makes no log'
head -c 40000 stream >cut
run import cut.log cut
status_is 'a stream that was cut off: 65' 65
err_like 'and says so' 'cut off'
content cut.log | cmp -s - <(head -n "$("$SEGLOG" cat cut.log | wc -l)" want)
fact $? 'what came before is there'
cp stream rotten && harm rotten 30000
run import rotten.log rotten
status_is 'a stream with a bad byte: 65' 65
err_like 'and says where' 'byte [0-9]+: damaged'
printf '{"seq":5,"text":"a"}\n{"seq":4,"text":"b"}\n' >order
run import order.log order
status_is 'numbers that descend: 65' 65
done_testing
