#!/bin/bash
# Appending: what becomes a record, and what does not.
. "$(dirname "$0")/lib.sh"

records() { # payloads in hexadecimal, one a line, and a final point
    "$SEGLOG" cat "$1" -o hex 2>&1
    echo .
}

# Lines.
run_in append log --count < <(printf 'one\ntwo\r\n\nlast without end')
status_is 'lines are appended' 0
is 'the count' "$(cat err)" 'appended 4 records, 23 bytes, first 0, last 3'
is 'CR stays, an empty line counts, a last line without its end too' "$(records log)" \
    $'6f6e65\n74776f0d\n\n6c61737420776974686f757420656e64\n.'
run append log --count
status_is 'nothing appended is no failure' 0
is 'and counted' "$(cat err)" 'appended 0 records, 0 bytes, first -, last -'
run_in append log --count < <(printf 'x\n')
is 'numbers go on' "$(cat err)" 'appended 1 records, 1 bytes, first 4, last 4'
run_in append log < <(printf 'x\n')
err_is_empty 'not a word without --count'
run_in append log -v < <(printf 'x\n')
err_like '-v counts too' '^appended 1 records'
run_in append -q log --count < <(printf 'x\n')
err_like '--count is what was asked for, even with -q' '^appended 1 records'

# The other framings, with bytes that text does not have.
run_in append nul -0 < <(printf 'a\nb\0\0c')
is '-0 separates by NUL' "$(records nul)" $'610a62\n\n63\n.'
run_in append comma -D , < <(printf 'a,b\n,,c')
is '-D separates by a character' "$(records comma)" $'61\n620a\n\n63\n.'
run_in append tab -D '\t' < <(printf 'a\tb')
is '-D knows escapes' "$(records tab)" $'61\n62\n.'
run_in append ff -D '\xff' < <(printf 'a\xffb')
is '-D takes any byte' "$(records ff)" $'61\n62\n.'
for char in '' ab '\q' '\x1' '\' '\xfff'; do
    [ "$char" = '\' ] && continue
    refused "-D '$char' is refused" 2 append log -D "$char"
done
run_in append lp -p < <(printf '\5\0\0\0he\nlo\0\0\0\0\1\0\0\0\0')
is '-p takes lengths' "$(records lp)" $'68650a6c6f\n\n00\n.'
printf 'a\nb\n' >f1
: >f2
run append whole --whole f1 f2
is '--whole takes files' "$(records whole)" $'610a620a\n\n.'
run_in append whole2 --whole f1 - < <(printf 'in\n')
is '- is standard input' "$(records whole2)" $'610a620a\n696e0a\n.'
printf 'c' >f3
run_in append files f1 - f3 < <(printf 'mid\n')
is 'files and standard input in order' "$(records files)" $'61\n62\n6d6964\n63\n.'
run append files2 f1 f3 f1
is 'a last line without its end does not run into the next file' "$(records files2)" \
    $'61\n62\n63\n61\n62\n.'

refused 'two framings do not go together' 2 append log -0 -p
refused 'nor do others' 2 append log --json --whole
refused 'a missing FILE is 66' 66 append fresh f1 nosuch
[ ! -e fresh ]
fact $? 'before anything is made or appended'
refused 'a directory is no FILE' 66 append fresh f1 log
refused 'a file is no log' 73 append f1
mkdir busy && touch busy/x
refused 'nor are other files' 73 append busy
refused 'a missing parent is 73' 73 append no/such

# Lengths that lie.
run_in append lp2 -p < <(printf '\5\0\0\0hel')
status_is 'an input that ends inside a record is 65' 65
err_like 'and says so' '^seglog: append: standard input: record 1: .*ends inside the record'
run_in append lp3 -p < <(printf '\1\0\0\0a\5\0')
status_is 'an input that ends inside a length is 65' 65
is 'what came before stays' "$(records lp3)" $'61\n.'
run_in append lp4 -p < <(printf '\xff\xff\xff\xff')
err_like 'a huge length is too large' 'record 1: 4294967295 bytes, .* at most 16777184'

# Tags.
run_in append tags --tag 7 < <(printf 'a\n')
run_in append tags --tag=4294967295 < <(printf 'b\n')
run_in append tags < <(printf 'c\n')
is 'tags are kept' "$("$SEGLOG" cat tags -f '%k\n')" $'7\n4294967295\n0'
for tag in -1 4294967296 x '' 1x; do
    refused "a tag '$tag' is refused" 2 append tags --tag "$tag"
done

# JSON.
{
    printf 'plain\nquote " back \\ tab \t bell \a\n\n'
    printf 'caf\xc3\xa9 \xf0\x9f\x90\xa7\nbad \xff\xfe utf\n\xed\xa0\x80\n'
    head -c 5000 /dev/urandom | tr -d '\n'
    printf '\nzero \0 byte\ncr\r\n'
} >bytes
"$SEGLOG" append j1 --tag 9 <bytes
"$SEGLOG" cat j1 -o json >j1.json
"$SEGLOG" append j2 --json <j1.json
"$SEGLOG" cat j1 -f '%k %s\n' >p1
"$SEGLOG" cat j2 -f '%k %s\n' >p2
same_bytes 'JSON brings every byte and tag back' p1 p2
"$SEGLOG" append j3 --json --tag 1 <j1.json
is '--tag wins over that of the object' "$("$SEGLOG" cat j3 -f '%k\n' | sort -u)" 1
run_in append j4 --json < <(printf '{"text":"a"}\n\n  \n{"base64":"//4=","seq":99,"more":[1]}\r\n{"text":"","tag":3}')
is 'blank lines and unknown names are passed over' "$(records j4)" $'61\nfffe\n\n.'
bad_json() { # TEXT FACT
    rm -rf jbad
    run_in append jbad --json < <(printf '{"text":"good"}\n%s\n{"text":"after"}\n' "$1")
    status_is "$2 is 65" 65
    err_like "$2: the line is named" '^seglog: append: standard input: line 2: '
    is "$2: what came before stays" "$("$SEGLOG" cat jbad)" good
}
bad_json '{"text":"x"' 'half an object'
bad_json 'text' 'no JSON'
bad_json '[1]' 'an array'
bad_json '{}' 'an object without a payload'
bad_json '{"text":1}' 'a payload that is a number'
bad_json '{"text":"a","base64":"YQ=="}' 'two payloads'
bad_json '{"base64":"YQ="}' 'half a base64'
bad_json '{"base64":"YR=="}' 'base64 with loose bits'
bad_json '{"base64":"Y Q="}' 'base64 with a blank'
bad_json '{"text":"a","tag":-1}' 'a negative tag'
bad_json '{"text":"a","tag":4294967296}' 'a tag that is too large'
bad_json '{"text":"a","tag":"1"}' 'a tag that is a string'
bad_json '{"text":"a"} x' 'something behind the object'
bad_json $'{"text":"\xff"}' 'invalid UTF-8'
bad_json '{"text":"\ud800"}' 'half a surrogate pair'

# Too large.
"$SEGLOG" create small --segment-size 64K
head -c 16352 /dev/zero | tr '\0' m >max
run_in append small --count < <({ cat max; echo; })
status_is 'the largest record fits' 0
run_in append small < <({ printf 'ok\n'; cat max; printf 'm\nafter\n'; })
status_is 'one byte more is 65' 65
err_like 'with its line, its size and the limit' \
    '^seglog: append: standard input: line 2: 16353 bytes, .* at most 16352;'
is 'what came before stays, what comes after does not' \
    "$("$SEGLOG" cat small -f '%S\n' | tr '\n' ' ')" '16352 2 '
head -c 3000000 /dev/zero | tr '\0' m >huge
run append small huge
err_like 'a line longer than the buffer is measured' '^seglog: append: huge: line 1: 3000000 bytes'
run_in append small < <({ cat huge; echo; echo b; })
err_like 'also up to its end in mid-stream' 'line 1: 3000000 bytes'
run append small --whole f1 huge
err_like 'a whole file that is too large' '^seglog: append: huge: 3000000 bytes'
run_in append small -p < <({ printf '\xa0\x86\x01\0'; head -c 100000 huge; })
err_like 'a length that is too large' 'record 1: 100000 bytes'
run_in append small --json < <(printf '{"text":"%s"}\n' "$(head -c 16353 huge)")
err_like 'a JSON text that is too large' 'line 1: 16353 bytes'
run_in append small -0 < <(printf 'a\0%s' "$(head -c 16353 huge)")
err_like 'with -0 records are counted' 'record 2: 16353 bytes'
"$SEGLOG" append large --whole huge
"$SEGLOG" cat large -o raw >back
same_bytes 'a large record comes back' huge back
{ cat huge; printf '\nx\n'; cat huge; } | "$SEGLOG" append large2
is 'lines longer than the buffer come back' "$("$SEGLOG" cat large2 -f '%S ')" '3000000 1 3000000 '

# Many, through small segments, in every framing; random bytes.
"$SEGLOG" create many --segment-size 64K --sync none
seq 1 100000 >numbers
run_in append many --count <numbers
is 'all are counted' "$(cat err)" 'appended 100000 records, 488895 bytes, first 0, last 99999'
"$SEGLOG" cat many >back
same_bytes 'all come back, over many segments' numbers back
head -c 3000000 /dev/urandom >random
for how in '' -0 '-D x'; do
    rm -rf round
    # shellcheck disable=SC2086
    "$SEGLOG" append round $how <random
    case $how in
    '') "$SEGLOG" cat round ;;
    -0) "$SEGLOG" cat round -f '%s\0' ;;
    *) "$SEGLOG" cat round -f '%sx' ;;
    esac | head -c 3000000 >back
    same_bytes "random bytes come back (${how:-lines})" random back
done
"$SEGLOG" cat round -o lp >lp.bin
"$SEGLOG" append round2 -p <lp.bin
"$SEGLOG" cat round2 -o lp >lp2.bin
same_bytes 'random bytes come back (length-prefixed)' lp.bin lp2.bin
"$SEGLOG" cat round -o json | "$SEGLOG" append round3 --json
"$SEGLOG" cat round3 -o lp >lp3.bin
same_bytes 'random bytes come back (JSON)' lp.bin lp3.bin

# Settings of the log.
run_in append sync --sync none < <(printf 'a\n')
is '--sync is that of a new log' "$("$SEGLOG" info --json sync | jq -r .sync)" none
run_in append sync --sync none < <(printf 'a\n')
status_is 'the same again is fine' 0
run_in append sync --sync sealed < <(printf 'a\n')
status_is 'another one is that of what is appended now' 0
is 'and the log keeps its own' "$("$SEGLOG" info --json sync | jq -r .sync)" none

# Rates.
for rate in 0 -1 x 1/m '' 1/s/s; do
    refused "a rate '$rate' is refused" 2 append log --rate "$rate"
done
begin=$(date +%s%N)
run_in append rated --rate 100/s --count < <(seq 1 21)
spent=$((($(date +%s%N) - begin) / 1000000))
[ $spent -ge 190 ]
fact $? '--rate holds back'
is 'and appends all' "$("$SEGLOG" cat rated -o none -v 2>&1)" 'seglog: cat: printed 21 records, 33 bytes'
run_in append rated2 --rate 10000000 --count < <(seq 1 100000)
err_like 'a high rate is no hindrance' '^appended 100000 records'

# Told, not asserted: it depends on the machine.
begin=$(date +%s%N)
echo x | "$SEGLOG" append log
printf '# one line to a log that exists: %d us\n' $((($(date +%s%N) - begin) / 1000))
done_testing
