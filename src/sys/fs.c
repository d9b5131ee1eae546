/*
 * What the file systems of Linux can do for a log.
 *
 * Refused are those that another machine or a user-space server can change beneath us: their shared
 * mappings and their locks are not coherent with the other side; and hugetlbfs, which knows no
 * write(2). `reserves` is claimed only where a store into a block that fallocate() gave cannot fail
 * for want of space later: not on copy-on-write file systems, nor on layers whose lower part is
 * unknown.
 */
#include "sys/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/vfs.h>

#define REFUSED   (1u << 0)
#define VOLATILE  (1u << 1)
#define RESERVES  (1u << 2)
#define MAPS_ONLY (1u << 3)
#define LAYERED   (1u << 4)

struct fs_kind {
    uint32_t magic;
    uint32_t traits;
    const char *name;
};

/* linux/magic.h lacks many of these; statfs(2) and the kernel's sources have them. */
static const struct fs_kind fs_kinds[] = {
    {0x0000ef53, RESERVES, "ext2/ext3/ext4"},
    {0x58465342, RESERVES, "xfs"},
    {0x01021994, VOLATILE | RESERVES, "tmpfs"},
    {0x858458f6, VOLATILE, "ramfs"},
    {0x958458f6, REFUSED | VOLATILE | MAPS_ONLY, "hugetlbfs"},
    {0x9123683e, 0, "btrfs"},
    {0xf2f52010, 0, "f2fs"},
    {0x2fc12fc1, 0, "zfs"},
    {0xca451a4e, 0, "bcachefs"},
    {0x794c7630, LAYERED, "overlay"},
    {0x0000f15f, 0, "ecryptfs"},
    {0x3153464a, 0, "jfs"},
    {0x52654973, 0, "reiserfs"},
    {0x00003434, 0, "nilfs2"},
    {0x24051905, 0, "ubifs"},
    {0x00004d44, 0, "vfat"},
    {0x2011bab0, 0, "exfat"},
    {0x7366746e, 0, "ntfs3"},
    {0x00006969, REFUSED, "nfs"},
    {0x0000517b, REFUSED, "smb"},
    {0xff534d42, REFUSED, "cifs"},
    {0xfe534d42, REFUSED, "smb2"},
    {0x65735546, REFUSED, "fuse"},
    {0x01021997, REFUSED, "9p"},
    {0x5346414f, REFUSED, "afs"}, /* the kernel's and OpenAFS's */
    {0x6b414653, REFUSED, "afs"}, /* kAFS */
    {0x00c36400, REFUSED, "ceph"},
    {0x73757245, REFUSED, "coda"},
    {0x0000564c, REFUSED, "ncp"},
    {0x01161970, REFUSED, "gfs2"},
    {0x7461636f, REFUSED, "ocfs2"},
    {0x0bd00bd0, REFUSED, "lustre"},
    {0x47504653, REFUSED, "gpfs"},
    {0x19830326, REFUSED, "beegfs"},
    {0x20030528, REFUSED, "orangefs"},
    {0xaad7aaea, REFUSED, "panfs"},
    {0xbacbacbc, REFUSED, "vmhgfs"},
    {0x786f4256, REFUSED, "vboxsf"},
    {0x7c7c6673, REFUSED, "prl_fs"},
};

int fs_facts(int fd, struct fs_facts *out)
{
    const struct fs_kind *kind = NULL;
    struct statfs st;
    int rc;

    do
        rc = fstatfs(fd, &st);
    while (rc < 0 && errno == EINTR);
    if (rc < 0)
        return -errno;

    /* The field is signed on some architectures; the magic numbers have 32 bits on all. */
    const uint32_t magic = (uint32_t)st.f_type;
    for (size_t i = 0; i < sizeof(fs_kinds) / sizeof(fs_kinds[0]) && !kind; i++) {
        if (fs_kinds[i].magic == magic)
            kind = &fs_kinds[i];
    }

    *out = (struct fs_facts){
        .is_refused = kind && (kind->traits & REFUSED),
        .maps_only = kind && (kind->traits & MAPS_ONLY),
        .is_volatile = kind && (kind->traits & VOLATILE),
        .is_layered = kind && (kind->traits & LAYERED),
        .reserves = kind && (kind->traits & RESERVES),
        .free_bytes = (uint64_t)st.f_bavail * (uint64_t)(st.f_frsize ? st.f_frsize : st.f_bsize),
    };
    if (kind)
        (void)snprintf(out->name, sizeof(out->name), "%s", kind->name);
    else
        (void)snprintf(out->name, sizeof(out->name), "0x%08" PRIx32, magic);
    return 0;
}
