#!/bin/bash
# seglog archive: compressed in place, read as before, unpacked by the stock tool.
. "$(dirname "$0")/lib.sh"

seq 1 20000 | sed 's/.*/line number & of many, all alike/' >lines
"$SEGLOG" create log --segment-size 256K
"$SEGLOG" append log lines
"$SEGLOG" seal log
before=$(ls log/*.seg | wc -l)
sealed=$("$SEGLOG" info log | grep -cE '^[0-9]+ +sealed ')
"$SEGLOG" archive --keep 1 --json log >out 2>err
fact $? 'archives'
[ "$sealed" -gt 3 ] && grep -q "\"archived\": $((sealed - 1))," out
fact $? 'all sealed ones but the newest'
[ "$(ls log/*.arc | wc -l)" = $((sealed - 1)) ] &&
    [ "$(ls log/*.seg | wc -l)" = $((before - sealed + 1)) ]
fact $? 'each in place of its segment'
"$SEGLOG" cat log | cmp - lines
fact $? 'every record is read as before'
"$SEGLOG" cat --reverse log | tac | cmp - lines
fact $? 'and backward'
[ "$("$SEGLOG" cat log --from 7000 -n 1)" = "$(sed -n 7001p lines)" ]
fact $? 'and from a number'
"$SEGLOG" info log | grep -q '^0 *archived '
fact $? 'info says which'
"$SEGLOG" verify log >out
fact $? 'verify finds them sound'

"$SEGLOG" archive log >out
fact $? 'again: the newest too'
"$SEGLOG" archive log >out 2>err
fact $? 'nothing left to do is no failure'
"$SEGLOG" archive --level 13 log 2>err
[ $? -eq 2 ]
fact $? 'an unknown level is wrong use'
"$SEGLOG" archive nowhere 2>err
[ $? -eq 66 ]
fact $? 'no log: 66'
echo one more | "$SEGLOG" append log
"$SEGLOG" tail -n 1 log | grep -q 'one more'
fact $? 'appending goes on'

# By itself.
"$SEGLOG" create ruled --segment-size 64K --archive-after 0 --archive-level 9
"$SEGLOG" config ruled >out && grep -qx 'archive-after=1ns' out && grep -qx 'archive-level=9' out
fact $? 'a rule of the log'
mkfifo feed
"$SEGLOG" append ruled <feed &
jobs_started+=($!)
exec 7>feed
seq 0 4999 >&7
until_true test -f ruled/0000000000000000.arc
fact $? 'is carried out beside appending'
exec 7>&-
wait $!
"$SEGLOG" cat ruled | cmp - <(seq 0 4999)
fact $? 'and the records are the same'
"$SEGLOG" create brief --segment-size 64K --archive-after 0s
seq 0 4999 | "$SEGLOG" append brief
[ -f brief/0000000000000000.arc ] && ! "$SEGLOG" info brief | grep -qE '^[0-9]+ +sealed'
fact $? 'by one that ends at once, too'
"$SEGLOG" cat brief | cmp - <(seq 0 4999)
fact $? 'without harm'
"$SEGLOG" config ruled archive-after=off && "$SEGLOG" config ruled | grep -qx 'archive-after=off'
fact $? 'it can be taken back'
"$SEGLOG" config ruled archive-level=13 2>err
[ $? -eq 2 ]
fact $? 'an unknown level is wrong use'

if command -v lz4 >/dev/null; then
    cp -r log unpacked
    for archive in unpacked/*.arc; do
        lz4 -dq "$archive" "${archive%.arc}.seg" && rm "$archive"
    done
    fact $? 'the stock tool unpacks them'
    "$SEGLOG" verify unpacked >out
    fact $? 'what it makes of them are sound segments'
    "$SEGLOG" cat unpacked | head -n 20000 | cmp - lines
    fact $? 'with the same records'
    "$SEGLOG" info unpacked | grep -q archived
    [ $? -ne 0 ]
    fact $? 'that nothing tells from segments never archived'
fi
done_testing
