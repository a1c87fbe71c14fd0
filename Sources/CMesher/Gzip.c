// SPDX-License-Identifier: Apache-2.0
#include "Gzip.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/// The header and trailer that gzip has instead of zlib's.
#define GZIP_FRAME 18

size_t cmesher_gzip_bound(size_t length) { return compressBound(length) + GZIP_FRAME; }

size_t cmesher_gzip(const uint8_t *input, size_t length, uint8_t *output, size_t capacity) {
    if (length > UINT_MAX || capacity > UINT_MAX) return 0;
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    // 15 bits of window, and 16 for "as gzip".
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
    stream.next_in = (Bytef *)(uintptr_t)input;  // zlib does not write there
    stream.avail_in = (uInt)length;
    stream.next_out = output;
    stream.avail_out = (uInt)capacity;
    int result = deflate(&stream, Z_FINISH);
    size_t written = stream.total_out;
    deflateEnd(&stream);
    return result == Z_STREAM_END ? written : 0;
}

bool cmesher_gzip_file(int source, int target) {
    errno = 0;
    gzFile file = gzdopen(target, "wb");
    if (file == NULL) {
        close(target);
        return false;
    }
    char buffer[16 * 1024];
    bool is_whole = true;
    while (is_whole) {
        ssize_t count = read(source, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR) continue;
        if (count == 0) break;
        is_whole = count > 0 && gzwrite(file, buffer, (unsigned)count) == count;
    }
    int code = errno;
    bool is_closed = gzclose(file) == Z_OK;
    if (!is_whole) errno = code;
    return is_whole && is_closed;
}
