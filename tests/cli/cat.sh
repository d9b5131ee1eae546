#!/bin/bash
# Printing: every form of output, and filters.
. "$(dirname "$0")/lib.sh"

printf 'one\ntwo\r\n\ncaf\xc3\xa9\n' | "$SEGLOG" append log --tag 3
printf 'bad \xff \0 utf\0' | "$SEGLOG" append log -0
run cat log
status_is 'cat prints' 0
err_is_empty 'and says nothing'
printf 'one\ntwo\r\n\ncaf\xc3\xa9\nbad \xff \n utf\n' >want
same_bytes 'a line for each record' out want
run cat log -o line
same_bytes '-o line is the default' out want
run cat log -o raw
printf 'onetwo\rcaf\xc3\xa9bad \xff  utf' >want
same_bytes '-o raw is payload alone' out want
run cat log -o hex
out_is '-o hex' $'6f6e65\n74776f0d\n\n636166c3a9\n62616420ff20\n20757466'
run cat log -n 2 -o lp
printf '\3\0\0\0one\4\0\0\0two\r' >want
same_bytes '-o lp' out want
run cat log -o none
status_is '-o none finds something' 0
[ ! -s out ]
fact $? 'and prints nothing'
run cat log -o json
is 'JSON: numbers' "$(jq -c '[.seq,.tag,.len]' out | tr -d '\n')" '[0,3,3][1,3,4][2,3,0][3,3,5][4,0,6][5,0,4]'
is 'JSON: text where it is UTF-8' "$(jq -r '.text // "-"' out | head -n 4)" $'one\ntwo\r\n\ncafé'
is 'JSON: base64 where it is not' "$(jq -r '.base64 // empty' out)" 'YmFkIP8g'
is 'JSON: never both' "$(jq -r 'select(has("text") == has("base64"))' out)" ''
[ "$(jq -r .time out | grep -cE '^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{9}Z$')" -eq 6 ]
fact $? 'JSON: times are RFC 3339, UTC, nine digits'

# Formats.
run cat log -n 2 -f '%o|%s|%S|%k|%%|\n'
out_is '-f with fields' $'0|one|3|3|%|\n1|two\r|4|3|%|'
run cat log -n 1 --format '%s'
[ "$(wc -c <out)" -eq 3 ]
fact $? 'nothing is added behind --format'
run cat log -n 1 -f '\t\x41\\\0\r'
printf '\tA\\\0\r' >want
same_bytes 'escapes in formats' out want
run cat log -n 1 -f '%t %T'
read -r ns stamp <out
is '%t and %T are the same time' "$(date -u -d "$stamp" +%s%N)" "$ns"
run cat log -n 1 -f ''
status_is 'an empty format prints nothing of something' 0
for format in '%' '%q' '\' '\q' '\x1' '\xzz'; do
    refused "a format '$format' is refused" 2 cat log -f "$format"
done
refused 'an unknown form is refused' 2 cat log -o yaml

# Counts and filters.
run cat log -n 0
status_is 'none asked for is none found' 1
run cat log -n 99
is 'more asked for than there is' "$(wc -l <out)" 6
for count in -1 x '' 1x 99999999999999999999; do
    refused "a count '$count' is refused" 2 cat log -n "$count"
done
run cat log --tag 0 -o hex
out_is '--tag' $'62616420ff20\n20757466'
run cat log --tag 8
status_is 'a tag that nobody has' 1
run cat log --tag 3 -n 1 --reverse
out_is '--tag backward' $'caf\xc3\xa9'
run cat log --reverse -o hex
out_is '--reverse' $'20757466\n62616420ff20\n636166c3a9\n\n74776f0d\n6f6e65'
run cat log --reverse -n 2 -o hex
out_is '-n counts from the end then' $'20757466\n62616420ff20'

seq 1 3000 | "$SEGLOG" append many
printf 'a\0b\n\xff\xfe tail\nx\ny' >zero
"$SEGLOG" append many --whole zero
run cat many --grep 77
out_is '--grep finds a string' "$(seq 1 3000 | grep 77)"
run cat many --grep '^(12|34)$'
out_is '--grep knows extended expressions' $'12\n34'
run cat many --grep '9{3}' -n 1
out_is '--grep with -n' 999
run cat many --grep '99.$' --reverse -n 2
out_is '--grep backward' $'2999\n2998'
run cat many --grep $'b' -o hex
is '--grep looks behind a zero byte' "$(wc -l <out)" 1
run cat many --grep 'b.*tail' -o raw
same_bytes 'also with an expression, through invalid UTF-8 and newlines' out zero
run cat many --grep 'y$' -o raw
same_bytes 'the end is that of the record' out zero
run cat many --grep '^x'
status_is 'not that of a line in it' 1
run cat many --grep nowhere
status_is 'nothing found is 1' 1
err_is_empty 'without a word'
refused 'half an expression is refused' 2 cat many --grep '('
err_like 'and named' '^seglog: cat: --grep: \(: '
run cat log --grep '^$' -o json
is 'an empty record matches an empty line' "$(jq .seq out)" 2
run cat many --no-verify -n 3
out_is '--no-verify reads on' $'1\n2\n3'

# Nothing there.
"$SEGLOG" create empty
run cat empty
status_is 'an empty log' 1
refused 'no log' 66 cat nosuch
err_like 'with a hint' 'seglog create makes a log'
mkdir files && touch files/x
refused 'a directory of other files' 66 cat files
err_like 'is no log' 'not a seglog log'
refused 'a file' 66 cat zero
mkdir void
refused 'an empty directory' 66 cat void

# Output that goes away or is full.
"$SEGLOG" create dropped --segment-size 64K
seq 1 5000 | "$SEGLOG" append dropped
is '--drop-behind reads the same' "$("$SEGLOG" cat dropped --drop-behind | cksum)" "$(seq 1 5000 | cksum)"
seq 1 300000 | "$SEGLOG" append long --sync none
"$SEGLOG" cat long 2>err | head -n 1 >out
code=${PIPESTATUS[0]}
[ "$code" -eq 0 ] || [ "$code" -eq 141 ]
fact $? 'a reader that goes away is no failure'
err_is_empty 'and not worth a word'
out_is 'the reader has what it wanted' 1
(
    trap '' PIPE
    "$SEGLOG" cat long 2>err | head -n 1 >out
    exit "${PIPESTATUS[0]}"
)
code=$?
[ "$code" -eq 0 ] || [ "$code" -eq 141 ]
fact $? 'also where SIGPIPE is ignored'
err_is_empty 'without a word there too'
"$SEGLOG" cat long >/dev/full 2>err
code=$?
status_is 'a full disk is 73' 73
err_like 'in one line' '^seglog: cat: standard output: No space left on device'
"$SEGLOG" cat long >&- 2>err
code=$?
[ "$code" -ne 0 ]
fact $? 'a closed output is a failure'

# Asked to stop.
mkfifo slow
"$SEGLOG" cat long >slow 2>stop.err &
pid=$!
jobs_started+=("$pid")
exec 9<slow
read -r first <&9
kill -TERM "$pid"
cat <&9 >rest
exec 9<&-
wait "$pid"
code=$?
is 'the first record is out' "$first" 1
[ "$code" -eq 0 ]
fact $? 'SIGTERM ends cat in order'
grep -Eq 'printed [0-9]+ records, [0-9]+ bytes' stop.err
fact $? 'with totals'
seq 2 "$(($(wc -l <rest) + 1))" | cmp -s - rest
fact $? 'and whole records'
done_testing
