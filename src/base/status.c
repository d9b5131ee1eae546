/*
 * Names and texts of statuses.
 *
 * The texts of errno are the C library's untranslated ones: static strings, which strerror() cannot
 * promise. Our own are tabled here, in the order of status.h.
 */
#include <seglog/status.h>

#include <stddef.h>
#include <string.h>

/* The last errno that the kernel can return. */
#define ERRNO_MAX 4095

struct status_text {
    const char *name;
    const char *text;
};

#define STATUS_FIRST SEGLOG_ECORRUPT
#define STATUS(name_, text_)     \
    [STATUS_FIRST - (name_)] = { \
        .name = #name_,          \
        .text = (text_),         \
    }

static const struct status_text status_table[] = {
    STATUS(SEGLOG_ECORRUPT, "stored or shared bytes are damaged"),
    STATUS(SEGLOG_ENOTLOG, "not a seglog log or ring"),
    STATUS(SEGLOG_EVERSION, "written by a newer version of the format"),
    STATUS(SEGLOG_EENDIAN, "written with the other byte order"),
    STATUS(SEGLOG_EMISMATCH, "the settings asked for differ from those stored in the log"),
    STATUS(SEGLOG_ETRIMMED, "retention has removed the record that was to be read next"),
    STATUS(SEGLOG_EREWOUND, "the place lies beyond what a recovery cut off"),
    STATUS(SEGLOG_EPOISONED, "a sync failed earlier, so nothing more can be made durable"),
    STATUS(SEGLOG_EEVICTED, "the claim was open for too long and was taken away"),
    STATUS(SEGLOG_EFORKED, "the handle was made before fork() and is not for this process"),
    STATUS(SEGLOG_EFS, "this file system cannot carry a log"),
    STATUS(SEGLOG_EVOLATILE, "this file system keeps nothing across a power cut"),
    STATUS(SEGLOG_EREADONLY, "the log has a feature that allows reading only"),
    STATUS(SEGLOG_EMISSING, "a segment file is missing"),
    STATUS(SEGLOG_ETRUNCATED, "the file was made shorter than what is mapped of it"),
    STATUS(SEGLOG_ELAPPED, "messages gave way before they were read"),
};

static const struct status_text *status_find(int status)
{
    const long index = (long)STATUS_FIRST - status;

    if (index < 0 || index >= (long)(sizeof(status_table) / sizeof(status_table[0])))
        return NULL;
    return &status_table[index];
}

const char *seglog_strerror(int status)
{
    const struct status_text *own;
    const char *text = NULL;

    if (status >= 0)
        return "success";
    if (status >= -ERRNO_MAX)
        text = strerrordesc_np(-status);
    else if ((own = status_find(status)) != NULL)
        text = own->text;
    return text ? text : "unknown status";
}

const char *seglog_status_name(int status)
{
    const struct status_text *own;
    const char *name = NULL;

    if (status >= 0)
        return "0";
    if (status >= -ERRNO_MAX)
        name = strerrorname_np(-status);
    else if ((own = status_find(status)) != NULL)
        name = own->name;
    return name ? name : "?";
}
