/*
 * What is known of cursors, as lines and as JSON.
 */
#ifndef CLI_CURSORS_H
#define CLI_CURSORS_H

#include <jansson.h>
#include <seglog/cursor.h>

json_t *cursors_json(const struct seglog_cursor_info *info);

/* The line above those of cursors, and one of these. On stdout. */
void cursors_print_head(const char *bold, const char *plain);
void cursors_print(const struct seglog_cursor_info *info);

#endif
