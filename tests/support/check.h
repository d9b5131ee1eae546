/*
 * Checks of a status that say it in words when they fail.
 */
#ifndef TEST_SUPPORT_CHECK_H
#define TEST_SUPPORT_CHECK_H

#include <criterion/criterion.h>
#include <seglog/status.h>

/* The call must give exactly this status. */
#define cr_assert_status(call, want)                                                             \
    do {                                                                                         \
        const int check_got_ = (int)(call);                                                      \
        const int check_want_ = (int)(want);                                                     \
        cr_assert(check_got_ == check_want_, "%s gave %d %s, not %d %s", #call, check_got_,      \
                  seglog_status_name(check_got_), check_want_, seglog_status_name(check_want_)); \
    } while (0)

/* The call must succeed: 0 or more. */
#define cr_assert_ok(call)                                             \
    do {                                                               \
        const int check_got_ = (int)(call);                            \
        cr_assert(check_got_ >= 0, "%s gave %d %s", #call, check_got_, \
                  seglog_status_name(check_got_));                     \
    } while (0)

#endif
