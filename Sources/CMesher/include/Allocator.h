// SPDX-License-Identifier: Apache-2.0
// What the allocator of the C library says of itself.
#ifndef MESHER_ALLOCATOR_H
#define MESHER_ALLOCATOR_H

#include <stdbool.h>
#include <stdint.h>

/// Totals over all arenas, in bytes.
typedef struct {
    /// Taken from the system for the arenas.
    uint64_t arenas;
    /// In the arenas and handed out, overhead included. What threads keep in their caches counts as handed out.
    uint64_t used;
    /// In the arenas and free.
    uint64_t free;
    /// At the end of the main arena: what trimming could give back at once.
    uint64_t trimmable;
    /// In blocks with mappings of their own; `mapped_blocks` is their number.
    uint64_t mapped;
    uint64_t mapped_blocks;
} cmesher_allocator_totals;

/// Reads the totals. Locks each arena in turn while it counts its free blocks. False when the allocator is not glibc's.
bool cmesher_allocator_read(cmesher_allocator_totals *totals);

/// The document of malloc_info(3), to be freed with `free`; NULL when there is none. Locks like the above.
char *cmesher_allocator_document(void);

#endif
