/*
 * Places as commands take them. See place.h.
 */
#include "place.h"

#include "fail.h"
#include "parse.h"
#include "stamp.h"

#include <seglog/cursor.h>

#include <errno.h>
#include <string.h>

static const char prefix[] = "cursor:";

const char *place_parse(const char *text, struct seglog_place *out, const char **cursor)
{
    *cursor = NULL;
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return parse_place(text, stamp_now_ns(), out);
    if (!text[sizeof(prefix) - 1])
        return "the name of a cursor is expected after cursor:";
    *cursor = text + sizeof(prefix) - 1;
    return NULL;
}

int place_of_cursor(const struct cli *cli, const char *dir, const char *what, const char *cursor,
                    struct seglog_place *out)
{
    struct seglog_cursor_info info;
    int rc;

    if (!cursor)
        return 0;
    rc = seglog_cursor_info_read(dir, cursor, &info);
    if (rc == -ENODATA)
        return fail_text(cli, EX_NOINPUT, what, "cursor %s: no such cursor", cursor);
    if (rc == -EINVAL)
        return fail_usage(cli, what, "cursor %s: no cursor can have that name", cursor);
    if (rc < 0)
        return fail_status(cli, dir, rc);
    if (info.status == SEGLOG_ECORRUPT)
        return fail_text(cli, EX_DATAERR, what,
                         "cursor %s: its file is damaged; seglog cursor set makes it whole",
                         cursor);
    *out = (struct seglog_place){
        .kind = SEGLOG_PLACE_SEQ,
        .value = info.status == SEGLOG_EREWOUND ? info.resume_seq : info.seq,
    };
    return 0;
}

int place_number(const char *dir, const struct seglog_place *place, uint64_t *seq)
{
    const struct seglog_reader_options options = {.from = *place};
    struct seglog_reader *reader;
    int rc = seglog_reader_open(dir, &options, &reader);

    if (rc == SEGLOG_ETRIMMED) { /* all before it is gone already */
        *seq = 0;
        return 0;
    }
    if (rc < 0)
        return rc;
    rc = seglog_reader_position(reader, seq, NULL);
    seglog_reader_close(reader);
    return rc;
}
