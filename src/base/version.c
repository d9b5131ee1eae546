/*
 * The version of the library as linked.
 */
#include <seglog/seglog.h>

const char *seglog_version(void)
{
    return SEGLOG_VERSION;
}
