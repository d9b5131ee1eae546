/*
 * The settings that may change: one page, written anew under another name and renamed over the old one,
 * so that whoever looks finds the one or the other.
 */
#include "log/trim.h"

#include <errno.h>
#include <string.h>

static void settings_out(const struct settings_facts *s, struct seglog_log_settings *out)
{
    *out = (struct seglog_log_settings){
        .segment_size = s->segment_size,
        .max_record = s->segment_size / 4 - FRAME_HEADER,
        .created_ns = s->created_ns,
        .sync = s->sync,
        .mode = s->mode,
        .sync_interval_ns = s->sync_interval_ns,
        .keep_size = s->keep_size,
        .keep_age_ns = s->keep_age_ns,
        .keep_segments = s->keep_segments,
        .archive_after_ns = s->archive_after_ns,
        .archive_level = s->archive_level,
    };
    memcpy(out->uuid, s->uuid, sizeof(out->uuid));
}

int seglog_log_settings(const struct seglog_log *log, struct seglog_log_settings *out)
{
    settings_out(&log->view.settings, out);
    return 0;
}

int seglog_settings_read(const char *dir, struct seglog_log_settings *out)
{
    struct log_view view;
    const int rc = log_view_open(dir, true, &view);

    if (rc < 0)
        return rc;
    settings_out(&view.settings, out);
    log_view_close(&view);
    return 0;
}

static int fill_settings(const void *page, int fd)
{
    const int rc = file_pwrite(fd, page, sizeof(struct settings_page), 0);

    return rc < 0 ? rc : file_sync(fd);
}

int seglog_log_configure(struct seglog_log *log, const struct seglog_log_settings *want)
{
    const struct seglog_log_options asked = {.sync = want->sync,
                                             .sync_interval_ns = want->sync_interval_ns,
                                             .archive_level = want->archive_level};
    struct settings_facts facts;
    struct settings_page page;
    struct owner lock;
    int rc = log_check_options(&asked);

    if (*log->guard != 1)
        return SEGLOG_EFORKED;
    if (rc < 0 || want->sync == SEGLOG_SYNC_DEFAULT)
        return -EINVAL;
    if (want->sync >= SEGLOG_SYNC_INTERVAL && log->view.fs.is_volatile)
        return SEGLOG_EVOLATILE;
    rc = stored_lock(&log->view, true, &lock);
    if (rc < 0)
        return rc;
    rc = log_view_settings(&log->view, &facts);
    if (rc == 0) {
        facts.sync = want->sync;
        facts.sync_interval_ns = want->sync_interval_ns;
        if (want->sync == SEGLOG_SYNC_INTERVAL && want->sync_interval_ns == 0)
            facts.sync_interval_ns = SEGLOG_SYNC_INTERVAL_DEFAULT;
        facts.keep_size = want->keep_size;
        facts.keep_age_ns = want->keep_age_ns;
        facts.keep_segments = want->keep_segments;
        facts.archive_after_ns = want->archive_after_ns;
        facts.archive_level = want->archive_level;
        settings_encode(&page, &facts);
        /* G1: a temporary file: the settings are as before. */
        rc = file_replace_whole(log->view.dirfd, NAME_SETTINGS, (mode_t)facts.mode, fill_settings,
                                &page);
    }
    /* G2: renamed, the directory not synced: after a power cut the one or the other. */
    if (rc == 0)
        rc = dir_sync(log->view.dirfd);
    owner_close(&lock);
    if (rc == 0)
        log_ask(log, 0, true); /* what they want gone may go now */
    return rc;
}
