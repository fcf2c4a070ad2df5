/* The superblock, as the HDF5 File Format Specification (version 3, II.A) has it:
 *
 *     versions 0, 1   signature [8] | version | three versions of 0 | 0 | bytes of an
 *                     offset, of a length | 0 | leaf k [2] | internal k [2] | flags [4]
 *                     | (1: chunk k [2] | 0 [2]) | base [8] ...
 *     versions 2, 3   signature [8] | version | bytes of an offset, of a length | flags
 *                     | base [8] | extension [8] | end of file [8] | root [8] | checksum
 *
 * The library holds the later ones to their checksum, and nothing to the earlier. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/h5.h"
#include "common/stand_in.h"

enum { BLOCK_BYTES = 48, WORD_BYTES = 8, MOST_K = 1024 };

static unsigned two(const unsigned char *at)
{
    return at[0] | (unsigned)at[1] << 8;
}

static const char *find_fault(const unsigned char block[BLOCK_BYTES])
{
    static const unsigned char zeros[WORD_BYTES];
    const unsigned version = block[8];
    if (version > 3)
        return "its version is none that is known";
    const bool old = version < 2;
    const unsigned char *sizes = block + (old ? 13 : 9),
                        *base = block + (version == 0   ? 24
                                         : version == 1 ? 28
                                                        : 12);
    if (sizes[0] != WORD_BYTES || sizes[1] != WORD_BYTES)
        return "offsets and lengths are not of 8 bytes";
    if (memcmp(base, zeros, sizeof zeros) != 0)
        return "its base is not the beginning of the file";
    if (old && (block[9] != 0 || block[10] != 0 || block[12] != 0))
        return "a version in it is none that is known";
    if (old && (two(block + 16) < 1 || two(block + 16) > MOST_K || two(block + 18) < 1 ||
                two(block + 18) > MOST_K))
        return "its groups' nodes have no size that can be";
    return NULL;
}

int ol_h5_check(const char *path, struct ol_error *err)
{
    static const unsigned char signature[] = {0x89, 'H',  'D',  'F',
                                              '\r', '\n', 0x1a, '\n'};
    unsigned char block[BLOCK_BYTES] = {0};
    struct stat info;
    const int fd = ol_file_open(path, O_RDONLY, err);
    if (fd < 0)
        return -1;
    int status = 0;
    const char *fault = NULL, *meaning = NULL;
    if (fstat(fd, &info) != 0)
        status = ol_fail_errno(err, "%s: cannot be read", path);
    else
        status = ol_file_read_at(
            fd, path, block,
            info.st_size < BLOCK_BYTES ? (size_t)info.st_size : BLOCK_BYTES, 0, err);
    if (status == 0)
        meaning = ol_stand_in((const char *)block, sizeof block);
    if (meaning != NULL)
        status = ol_fail(err, "%s: %s", path, meaning);
    if (status == 0 && info.st_size >= BLOCK_BYTES &&
        memcmp(block, signature, sizeof signature) == 0)
        fault = find_fault(block);
    if (fault != NULL)
        status = ol_fail(err, "%s: the superblock is damaged: %s", path, fault);
    close(fd);
    return status;
}
