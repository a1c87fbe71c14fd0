// SPDX-License-Identifier: Apache-2.0
// Compression by zlib.
#ifndef MESHER_GZIP_H
#define MESHER_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// The most bytes that `length` bytes can become.
size_t cmesher_gzip_bound(size_t length);

/// Compresses into the gzip format (RFC 1952); returns the number of bytes written, 0 when it does not work.
size_t cmesher_gzip(const uint8_t *input, size_t length, uint8_t *output, size_t capacity);

/// Compresses everything that can be read from `source` into `target`, which is closed in any case. False when reading or
/// writing failed; errno says why, and is 0 where the system does not know.
bool cmesher_gzip_file(int source, int target);

#endif
