/*
 * Huge pages for a test: some are taken from the machine for as long as it runs, and a hugetlbfs is
 * mounted where nobody else sees it. Both need rights that are not always there.
 */
#ifndef TEST_SUPPORT_HUGE_H
#define TEST_SUPPORT_HUGE_H

#include <stdbool.h>

/* The pages, of which no other test takes any meanwhile. */
struct huge_pages {
    int turn;
    long before;
};

/* false: they cannot be had, and nothing is held. */
bool huge_pages_take(struct huge_pages *pages, long wanted);
void huge_pages_give(struct huge_pages *pages);

/* In a child: mount hugetlbfs there, for this process alone. false: that may not be done. */
bool huge_mount(const char *dir);

#endif
